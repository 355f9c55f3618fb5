"""Ratings so far: progress, win rate, and how far raters agree with each other and with the judge.

    summarise(contests, log, judgments)
        ->  RatingSummary(rated=40, verdicts={"before": 9, "after": 22, "tie": 7, "neither": 2}, win_rate=..., ...)

The win rate counts contests, not ratings: several raters of one contest are one observation, their mean. Its interval
is Wilson's with ties and contests without a winner as half a win.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import Any

from workbench.core.rates import wilson
from workbench.core.records import HumanRating, Judgment, contest_id
from workbench.core.results import Interval, PeopleAgreement
from workbench.core.wire import Wire
from workbench.loop.contests import Contests
from workbench.loop.ratings import RatingLog

_PREFERENCES = {"before": 0.0, "tie": 0.5, "neither": 0.5, "after": 1.0}


class RaterSummary(Wire):
    """One rater."""

    rater: str
    rated: int
    verdicts: dict[str, int]
    first_preferred: Interval | None
    """Share of the verdicts for a side that went to the answer shown first: half, if the side does not matter."""
    notes: int


class RatingSummary(Wire):
    """Where the rating of a run's answers stands."""

    run: str
    before: str
    after: str
    contests: int
    """Pairs of different answers."""
    equal: int
    """Documents on which both arms say the same; they are not asked."""
    failed: int
    unpaired: int
    rated: int
    """Contests that somebody rated."""
    ratings: int
    verdicts: dict[str, int]
    win_rate: Interval | None
    """Share of the rated contests that the arm after wins, ties half; None without ratings."""
    raters: tuple[RaterSummary, ...]
    among_raters: Interval | None
    """Krippendorff's alpha (interval distances) with its bootstrap interval; None unless two rated the same contest."""
    judge: PeopleAgreement | None
    """Agreement of the judge with the people; None where it judged none of the rated contests."""
    unreadable: int
    """Lines of the file that are no ratings."""


def summarise(found: Contests, log: RatingLog, judgments: Iterable[Judgment], seed: int = 0) -> RatingSummary:
    """Where the rating of the contests stands; the statistics of agreement load numpy."""
    contests = {contest.id: contest for contest in found.contests}
    standing = {key: rating for key, rating in log.standing().items() if key[0] in contests}
    by_contest: dict[str, list[float]] = {}
    for (contest, _), rating in standing.items():
        by_contest.setdefault(contest, []).append(_PREFERENCES[rating.verdict])
    ratings = list(standing.values())
    raters = dict.fromkeys(rating.rater for rating in ratings)
    return RatingSummary(
        run=found.run,
        before=found.before,
        after=found.after,
        contests=len(contests),
        equal=found.equal,
        failed=found.failed,
        unpaired=found.unpaired,
        rated=len(by_contest),
        ratings=len(ratings),
        verdicts=_verdicts(ratings),
        win_rate=_share(sum(map(fmean, by_contest.values())), len(by_contest)),
        raters=tuple(_rater(name, [rating for rating in ratings if rating.rater == name]) for name in raters),
        among_raters=_among(list(by_contest.values()), seed),
        judge=_with_judge(found, standing, judgments, seed),
        unreadable=len(log.unreadable),
    )


def _verdicts(ratings: Sequence[HumanRating]) -> dict[str, int]:
    counted = Counter(rating.verdict for rating in ratings)
    return {verdict: counted[verdict] for verdict in ("before", "after", "tie", "neither")}


def _rater(name: str, ratings: Sequence[HumanRating]) -> RaterSummary:
    sided = [rating for rating in ratings if rating.shown_first and rating.verdict in ("before", "after")]
    first = sum(rating.verdict == rating.shown_first for rating in sided)
    return RaterSummary(
        rater=name,
        rated=len(ratings),
        verdicts=_verdicts(ratings),
        first_preferred=_share(first, len(sided)),
        notes=sum(bool(rating.note) for rating in ratings),
    )


def _share(wins: float, n: int) -> Interval | None:
    """The share of `wins`, a tie being half a win; None if there is nothing to count."""
    return wilson(wins, n) if n else None


def _among(units: Sequence[Sequence[float]], seed: int) -> Interval | None:
    if not any(len(unit) > 1 for unit in units):
        return None
    from workbench.score.judging.agreement import alpha_interval  # numpy, 0.1 s

    return alpha_interval(units, seed)


def _with_judge(
    found: Contests, standing: dict[tuple[str, str], HumanRating], judgments: Iterable[Judgment], seed: int
) -> PeopleAgreement | None:
    """Agreement with the judge on the contests that both it and people answered: of the arms' answers, or, for a judge
    that was not asked about them, of the contests that people rated, which may have the arms in each other's place."""
    from workbench.score.judging.ratings import RATED_ARMS

    on_arms: dict[tuple[str, str, int], dict[str, list[float | None]]] = {}
    on_rated: dict[tuple[str, str, int], dict[str, list[float | None]]] = {}
    for judgment in judgments:
        arms = (judgment.before, judgment.after)
        if arms in (RATED_ARMS, (found.before, found.after)):
            calls = on_rated if arms == RATED_ARMS else on_arms
            orders = calls.setdefault((judgment.suite, judgment.doc_hash, judgment.occurrence), {})
            orders.setdefault(judgment.order, []).append(judgment.preference)
    rated = {contest for contest, _ in standing}
    both = {}
    for contest in found.contests:
        orders = on_arms.get((contest.suite, contest.doc_hash, contest.occurrence), {})
        orders = orders or on_rated.get((contest.suite, contest.id, 0), {})
        turned = contest_id(contest.prompt, contest.after_output, contest.before_output)
        orders = orders or _swapped(on_rated.get((contest.suite, turned, 0), {}))
        if orders and contest.id in rated:
            both[contest.id] = (contest, orders)
    if not both:
        return None
    return _agreement(both, standing, seed)


def _swapped(orders: dict[str, list[float | None]]) -> dict[str, list[float | None]]:
    """Calls about a contest seen from the other side."""
    names = {"before_first": "after_first", "after_first": "before_first"}
    return {
        names[order]: [None if preference is None else 1 - preference for preference in preferences]
        for order, preferences in orders.items()
    }


def _agreement(
    both: dict[str, tuple[Any, dict[str, list[float | None]]]],
    standing: dict[tuple[str, str], HumanRating],
    seed: int,
) -> PeopleAgreement:
    import math

    from workbench.compare.judgments import win  # numpy, 0.1 s
    from workbench.score.judging.agreement import level
    from workbench.score.judging.pairwise import Bout
    from workbench.score.judging.people import people_agreement
    from workbench.score.judging.ratings import Rated

    rated, verdicts = [], []
    for id_, (contest, orders) in both.items():
        votes = {rating.rater: _PREFERENCES[rating.verdict] for key, rating in standing.items() if key[0] == id_}
        rated.append(Rated(Bout(contest.prompt, contest.before_output, contest.after_output), votes))
        won = win(orders)
        verdicts.append(None if math.isnan(won) else level(won))
    return people_agreement(rated, verdicts, seed)


def render(summary: RatingSummary) -> str:
    """The summary as text for a terminal, names and all, without control characters."""
    from workbench.core.wire import printable

    verdicts = summary.verdicts
    asked = f"{summary.contests} pairs of different answers; {summary.equal} equal, {summary.failed} failed"
    lines = [
        f"{summary.run}: {summary.before} against {summary.after}",
        f"  {asked}, {summary.unpaired} unpaired are not asked",
        f"  rated {summary.rated} of {summary.contests} ({summary.ratings} ratings by {len(summary.raters)})",
    ]
    if summary.win_rate is not None:
        lines += [
            f"  {summary.after} wins {_percent(summary.win_rate)}; a tie is half a win",
            f"  verdicts: {summary.before} {verdicts['before']}, {summary.after} {verdicts['after']}, "
            f"tie {verdicts['tie']}, neither {verdicts['neither']}",
        ]
    for rater in summary.raters:
        side = "" if rater.first_preferred is None else f"; chose the first shown {_percent(rater.first_preferred)}"
        notes = f"; {rater.notes} notes" if rater.notes else ""
        lines.append(f"  {rater.rater}: {rater.rated} rated{side}{notes}")
    if summary.among_raters is not None:
        lines.append(f"  raters among themselves: Krippendorff's alpha {_number(summary.among_raters)}")
    if summary.judge is not None:
        judge = summary.judge
        lines.append(
            f"  judge with people: {judge.contests} contests, agreement {_percent(judge.agreement)}, "
            f"weighted kappa {_number(judge.kappa)}"
        )
    if summary.unreadable:
        lines.append(f"  {summary.unreadable} lines of the file are no ratings and were left out")
    return printable("\n".join(lines))


def _percent(interval: Interval) -> str:
    return f"{100 * interval.value:.1f}% [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def _number(interval: Interval) -> str:
    return f"{interval.value:.2f} [{interval.low:.2f}, {interval.high:.2f}]"
