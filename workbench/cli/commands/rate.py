"""`rate`: which of two arms answers better? People say, without knowing which is which."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli import output
from workbench.cli.state import Json

if TYPE_CHECKING:
    from workbench.core.paths import Project
    from workbench.core.records import Judgment
    from workbench.loop.contests import Contests


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(short_help="Rate two arms' answers side by side, blind.")(rate)


def rate(
    context: typer.Context,
    run: Annotated[str | None, typer.Argument(help="Run; default: the newest that kept answers of two arms.")] = None,
    suite: Annotated[str | None, typer.Option("--suite", help="Answers to this suite alone.")] = None,
    before: Annotated[str | None, typer.Option("--before", metavar="ARM", help="Default: the deciding pair's.")] = None,
    after: Annotated[str | None, typer.Option("--after", metavar="ARM", help="Default: the deciding pair's.")] = None,
    rater: Annotated[
        str | None, typer.Option("--rater", help="Who rates; default: the user's name. With --export: theirs alone.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="So many pairs, the same ones for every rater.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the draw of pairs, order and sides.")] = 0,
    summary: Annotated[
        bool, typer.Option("--summary", help="Counts, win rate, agreement so far; rate nothing.")
    ] = False,
    export: Annotated[
        Path | None, typer.Option("--export", metavar="FILE.jsonl", help="Write the ratings that hold to a file.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be asked or written.")] = False,
    json: Json = False,
) -> None:
    """Rate two arms' answers side by side: names hidden, sides drawn, every verdict kept at once.

    Keys: a, b, t(ie), n(either), s(kip), u(ndo), w (a note), r(eference), q(uit). The next time it goes on where you
    stopped. Equal answers are not asked.

    \b
    Examples:
      workbench rate
      workbench rate demo-20261122-101500 --suite mt-bench --rater ada --limit 40
      workbench rate --before base --after base@nf4
      workbench rate --summary
    """
    from workbench.core.who import user_name
    from workbench.loop.contests import find_contests
    from workbench.loop.ratings import RatingSession, ratings_path

    project: Project = context.obj.project
    if export is not None:
        _refuse_export(project, export, summary=summary)
    found = find_contests(project, run, suite, before, after)
    name = _rater(user_name() if rater is None else rater)
    if summary:
        _summarise(project, found, as_json=json)
        return
    if export is not None:
        _export(project, found, export, None if rater is None else name, dry_run=dry_run, as_json=json)
        return
    if json or dry_run:
        session = RatingSession(ratings_path(project), found.contests, name, seed=seed, limit=limit)
        _say_waiting(found, name, session.done, session.total, as_json=json)
        return
    _refuse_no_terminal()
    _open(project, found, name, seed, limit)


def _rater(name: str) -> str:
    from workbench.core.errors import UsageError
    from workbench.core.wire import printable

    if not name.strip() or printable(name) != name or "\n" in name:
        raise UsageError("a rater's name has at least one letter and no control characters", where="--rater")
    return name.strip()


def _refuse_export(project: Project, path: Path, *, summary: bool) -> None:
    from workbench.core.errors import UsageError
    from workbench.loop.ratings import ratings_path

    if summary:
        raise UsageError("--summary and --export are two commands", where="--export", next_step="give one of them")
    if path.is_dir():
        raise UsageError(f"{path} is a directory", where="--export", next_step="name a file: --export ratings.jsonl")
    if path.resolve() == ratings_path(project).resolve():
        raise UsageError("this file holds all ratings and is only ever added to", where="--export")


def _refuse_no_terminal() -> None:
    from workbench.core.errors import UsageError

    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError(
            "rating needs a terminal",
            where="standard input or output",
            next_step="run it in one; without: workbench rate --summary, --export FILE or --dry-run",
        )


def _open(project: Project, found: Contests, rater: str, seed: int, limit: int | None) -> None:
    from workbench.loop.indexing import index_decisions
    from workbench.loop.ratings import ratings_path, read_log
    from workbench.tui.app import WorkbenchApp
    from workbench.tui.screens.rate import RateScreen

    read_log(ratings_path(project))  # refused here, with its exit code, and not in the interface
    WorkbenchApp(project, first=RateScreen(found, rater, seed=seed, limit=limit)).run()
    if problem := index_decisions(project):
        output.say(f"the ratings are kept; the index has them not yet: {problem}")
    output.say(f"so far: workbench rate {found.run} --summary")


def _say_waiting(found: Contests, rater: str, done: int, total: int, *, as_json: bool) -> None:
    waiting: dict[str, Any] = {
        "run": found.run,
        "before": found.before,
        "after": found.after,
        "rater": rater,
        "to_rate": total,
        "rated": done,
        "equal": found.equal,
        "failed": found.failed,
        "unpaired": found.unpaired,
    }
    if as_json:
        output.print_json(waiting)
        return
    output.print_text(f"{found.run}: {found.before} against {found.after}")
    output.print_text(f"{rater} has rated {done} of {total} pairs")
    output.print_text(f"not asked: {found.equal} equal, {found.failed} failed, {found.unpaired} unpaired")


def _summarise(project: Project, found: Contests, *, as_json: bool) -> None:
    from workbench.loop.rating_summary import render, summarise
    from workbench.loop.ratings import ratings_path, read_log

    made = summarise(found, read_log(ratings_path(project)), _judgments(project, found.run))
    output.print_json({"summary": made.model_dump(mode="json")}) if as_json else output.print_text(render(made))


def _judgments(project: Project, run: str) -> list[Judgment]:
    """What the run's judge said of the arms' answers, and of the pairs that people had rated, if it had one."""
    from workbench.core.parts import read_rows
    from workbench.core.records import Judgment
    from workbench.loop.scored import run_artifact

    artifact = run_artifact(project, run, "score:judge")
    if artifact is None:
        return []
    rated = artifact.part("rated.jsonl")
    parts = [artifact.part("judgments.jsonl"), *([rated] if rated.is_file() else [])]
    return [row for part in parts for row in read_rows(part, Judgment)]


def _export(project: Project, found: Contests, path: Path, rater: str | None, *, dry_run: bool, as_json: bool) -> None:
    from workbench.core.errors import UsageError
    from workbench.core.parts import write_rows
    from workbench.loop.ratings import ratings_path, read_log

    wanted = {contest.id for contest in found.contests}
    standing = read_log(ratings_path(project)).standing(rater)
    ratings = [rating for (contest, _), rating in standing.items() if contest in wanted]
    if rater is not None and not ratings:
        raise UsageError(f"{rater!r} has rated none of these pairs", where="--rater")
    if not dry_run:
        write_rows(path, ratings)
    if as_json:
        output.print_json({"file": str(path), "ratings": len(ratings), "written": not dry_run})
    else:
        output.print_text(f"{len(ratings)} ratings {'would go' if dry_run else 'written'} to {path}")
