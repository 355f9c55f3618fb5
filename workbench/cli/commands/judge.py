"""`judge score`: what a file of judgments says, by the formulas of those who publish such files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli import output
from workbench.cli.state import Json

if TYPE_CHECKING:
    from workbench.core.results import Interval
    from workbench.score.judging.published import HumanAgreement, PairRate, PublishedJudgments

judge_app = typer.Typer(help="Judgments: win rates, errors and agreement.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.add_typer(judge_app, name="judge")


@judge_app.command()
def score(
    file: Annotated[
        Path, typer.Argument(help="AlpacaEval annotations, MT-Bench or arena judgments, ratings (JSON, Parquet, CSV).")
    ],
    people: Annotated[
        Path | None, typer.Option("--people", help="Judgments of people on the same pairs, in any of these formats.")
    ] = None,
    judge: Annotated[str | None, typer.Option("--judge", help="Only the rows of this judge.")] = None,
    turn: Annotated[int | None, typer.Option("--turn", min=1, help="Only this turn of every conversation.")] = None,
    json: Json = False,
) -> None:
    """Win rate, standard error, length-adjusted rate, ties, and agreement with people, of a file of judgments.

    \b
    Examples:
      workbench judge score annotations.json
      workbench judge score gpt-4_pair.jsonl --people human.jsonl --turn 1
      workbench judge score all.jsonl --judge gpt-4 --json
    """
    found = _summarised(file, people, judge, turn)
    if json:
        output.print_json({"file": str(file), **found.model_dump(mode="json")})
    else:
        output.print_text("\n".join(_lines(found)))


def _summarised(file: Path, people: Path | None, judge: str | None, turn: int | None) -> PublishedJudgments:
    from workbench.core.errors import UsageError
    from workbench.score.judging.annotations import Mark, Vote, read_annotations
    from workbench.score.judging.published import summarise_marks, summarise_votes  # numpy, 0.1 s

    rows = read_annotations(file)
    chosen = [row for row in rows if judge in (None, row.judge) and turn in (None, row.turn)]
    votes = [row for row in chosen if isinstance(row, Vote)]
    marks = [row for row in chosen if isinstance(row, Mark)]
    if not votes and not marks:
        names = ", ".join(sorted({row.judge for row in rows}))
        raise UsageError("no row is left", where=str(file), next_step=f"judges in the file: {names}")
    if people is None:
        return summarise_votes(votes) if votes else summarise_marks(marks)
    rated = [row for row in read_annotations(people) if isinstance(row, Vote) and turn in (None, row.turn)]
    if not votes or not rated:
        raise UsageError("agreement with people needs judgments of pairs on both sides", where=str(people))
    found = summarise_votes(votes, rated)
    if found.people is None:
        raise UsageError(
            "the two files have no pair of answers in common that others than the judge have judged", where=str(people)
        )
    return found


def _lines(found: PublishedJudgments) -> list[str]:
    judges = ", ".join(found.judges[:5]) + (f" and {len(found.judges) - 5} more" if len(found.judges) > 5 else "")
    lines = [f"{found.rows} rows, {found.failed} without a verdict" + (f"; judge {judges}" if judges else "")]
    if len(found.judges) > 1:
        lines.append("several judges in one file: rates are over all their rows; choose one with --judge")
    for pair in found.pairs:
        lines += _pair_lines(pair)
    for rate in found.models:
        lines.append(
            f"{rate.model}: {rate.wins} won, {rate.losses} lost, {rate.ties} tied; win rate {_percent(rate.win_rate)}, "
            f"with half of the ties {_percent(rate.win_rate_adjusted)} (standard error {_percent(rate.standard_error)})"
        )
    for grade in found.grades:
        turns = ", ".join(f"turn {turn} {mean:.2f}" for turn, mean in grade.by_turn.items())
        errors = f"standard error {grade.standard_error:.2f}, {grade.n} answers, {grade.failed} failed"
        lines.append(f"{grade.model}: {grade.average:.2f} ({errors}; {turns})")
    if found.among_judges is not None:
        lines.append(f"judges among each other: alpha {_interval(found.among_judges)}")
    if found.people is not None:
        lines += _people_lines(found.people)
    return [output.clean(line) for line in lines]


def _pair_lines(pair: PairRate) -> list[str]:
    low, high = _percent(pair.win_rate.low), _percent(pair.win_rate.high)
    lines = [
        f"{pair.model_2} against {pair.model_1}: win rate {_percent(pair.win_rate.value)} "
        f"(standard error {_percent(pair.standard_error)}; {low} to {high}), "
        f"{pair.wins} won, {pair.losses} lost, {pair.draws} drawn of {pair.n}"
    ]
    if pair.failed:
        bounds = f"{_percent(pair.all_lost)} if all were lost, {_percent(pair.all_won)} if all were won"
        lines.append(f"  {pair.failed} failed: {bounds}")
    if pair.length_adjusted is not None and pair.mean_lengths is not None:
        adjusted = pair.length_adjusted
        first, second = pair.mean_lengths
        lines.append(
            f"  length-adjusted {_percent(adjusted.value)} ({_percent(adjusted.low)} to {_percent(adjusted.high)}); "
            f"mean characters {second:.0f} against {first:.0f}"
        )
    else:
        lines.append(f"  no length-adjusted rate: {pair.length_note}")
    if pair.position_inconsistent is not None:
        lines.append(f"  changed with the order: {_percent(pair.position_inconsistent.value)}")
    return lines


def _people_lines(people: HumanAgreement) -> list[str]:
    lines = [
        f"people: {people.contests} pairs in common; the judge says what most people say in "
        f"{_percent(people.agreement.value)}, kappa {_interval(people.kappa)}",
        f"  of {people.votes} single votes it agrees with {_percent(people.votes_agree.value)}, "
        f"without ties {_percent(people.clear_votes_agree.value)}; two people with each other in "
        f"{_percent(people.people_agree.value)}, without ties {_percent(people.clear_people_agree.value)}",
    ]
    if people.alpha is not None:
        among = "" if people.among_people is None else f"; people among each other {_interval(people.among_people)}"
        lines.append(f"  alpha {_interval(people.alpha)}{among}")
    return lines


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _interval(found: Interval) -> str:
    return f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"
