"""Numbers of published judgments, by the formulas of those who published them.

    805 AlpacaEval annotations   ->  win rate 50.0 %, standard error 1.5, discrete win rate, length-adjusted rate
    MT-Bench pairs               ->  wins, losses, ties and adjusted win rate of each model over all its opponents
    MT-Bench grades              ->  mean grade of each model by turn and overall

Win rate: mean preference for the second model, draws one half; standard error: sample standard deviation over the root
of n (AlpacaEval). Adjusted win rate: wins and half of the ties over all games (MT-Bench). Failed rows are left out of
the mean, as the publishers do, and counted; `all_lost` and `all_won` say what they could change.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations

from workbench.core.rates import wilson
from workbench.core.results import Interval
from workbench.core.wire import Wire
from workbench.score.judging.agreement import alpha_interval, kappa_interval, level, majority
from workbench.score.judging.annotations import Mark, Vote
from workbench.score.judging.findings import mean_interval, standard_error
from workbench.score.judging.length import length_adjusted, length_correlation

Directions = dict[tuple[str, ...], tuple[str, str]]
"""Which side of each contest is the first."""


class PairRate(Wire):
    """One model against another; every rate is the second one's."""

    model_1: str
    model_2: str
    n: int
    """Rows with a verdict."""
    failed: int
    wins: int
    losses: int
    draws: int
    win_rate: Interval
    """Mean preference with its t interval."""
    standard_error: float
    discrete_win_rate: float
    """Wins and half of the draws over n."""
    all_lost: float
    """Win rate if every failed row had been lost."""
    all_won: float
    length_adjusted: Interval | None = None
    """At equal length. Not AlpacaEval's length-controlled rate, which also knows how hard each instruction is."""
    length_note: str = ""
    length_correlation: Interval | None = None
    mean_lengths: tuple[float, float] | None = None
    position_inconsistent: Interval | None = None
    """Share of rows whose verdict changed with the order, where both orders are known."""


class ModelRate(Wire):
    """One model over all its opponents."""

    model: str
    games: int
    wins: int
    losses: int
    ties: int
    win_rate: float
    loss_rate: float
    win_rate_adjusted: float
    standard_error: float
    """Of the adjusted win rate."""


class ModelGrade(Wire):
    """Mean grade of one model."""

    model: str
    by_turn: dict[int, float]
    average: float
    """Over all answers."""
    standard_error: float
    n: int
    failed: int


class HumanAgreement(Wire):
    """A judge and people on the same pairs of answers."""

    contests: int
    """Pairs that both judged."""
    agreement: Interval
    """Share where the judge says what most people say."""
    kappa: Interval
    """Quadratic weights."""
    alpha: Interval | None
    among_people: Interval | None
    """Alpha of the people alone."""
    votes: int
    """Single human votes on these pairs."""
    votes_agree: Interval
    """Share of the votes that say what the judge says, ties included."""
    clear_votes_agree: Interval
    """The same without ties on either side."""
    people_agree: Interval
    """Share of the pairs of votes of two people that say the same."""
    clear_people_agree: Interval


class PublishedJudgments(Wire):
    """What a file of judgments says."""

    rows: int
    failed: int
    judges: tuple[str, ...]
    pairs: tuple[PairRate, ...] = ()
    models: tuple[ModelRate, ...] = ()
    grades: tuple[ModelGrade, ...] = ()
    among_judges: Interval | None = None
    """Krippendorff's alpha of the judges in the file, where several judged the same pairs."""
    people: HumanAgreement | None = None


def summarise_votes(votes: Sequence[Vote], people: Sequence[Vote] = (), seed: int = 0) -> PublishedJudgments:
    """Rates of every pair and model, and the agreement with `people` where they judged the same pairs; who is a judge
    of `votes` is none of the people."""
    groups: dict[frozenset[str], list[Vote]] = {}
    for vote in votes:
        group = groups.setdefault(frozenset(vote.models), [])
        group.append(vote if not group or group[0].models == vote.models else vote.swapped())
    judges = tuple(sorted({vote.judge for vote in votes if vote.judge}))
    return PublishedJudgments(
        rows=len(votes),
        failed=sum(vote.preference is None for vote in votes),
        judges=judges,
        pairs=tuple(_pair(group) for group in groups.values()),
        models=_models(votes),
        among_judges=alpha_interval(_one_verdict_each(votes), seed) if len(judges) > 1 else None,
        people=_people(votes, [vote for vote in people if vote.judge not in judges], seed),
    )


def summarise_marks(marks: Sequence[Mark]) -> PublishedJudgments:
    """Mean grades, best model first."""
    by_model: dict[str, list[Mark]] = {}
    for mark in marks:
        by_model.setdefault(mark.model, []).append(mark)
    grades = [_grade(model, held) for model, held in by_model.items()]
    return PublishedJudgments(
        rows=len(marks),
        failed=sum(mark.score is None for mark in marks),
        judges=tuple(sorted({mark.judge for mark in marks if mark.judge})),
        grades=tuple(sorted((grade for grade in grades if grade is not None), key=lambda grade: -grade.average)),
    )


def _pair(votes: Sequence[Vote]) -> PairRate:
    """`votes` have their models in one order."""
    told = [(vote, vote.preference) for vote in votes if vote.preference is not None]
    wins = [preference for _, preference in told]
    n, failed = len(wins), len(votes) - len(wins)
    clear = Counter(level(preference) for preference in wins)
    discrete = (clear[1.0] + clear[0.5] / 2) / n if n else 0.0
    lengths = [(vote.lengths, preference) for vote, preference in told if vote.lengths is not None]
    gaps = [held[1] - held[0] for held, _ in lengths]
    with_lengths = [preference for _, preference in lengths]
    adjusted = length_adjusted(with_lengths, gaps) if lengths else "the file holds no answers"
    games = [vote.games for vote in votes if vote.games is not None and None not in vote.games]
    return PairRate(
        model_1=votes[0].models[0],
        model_2=votes[0].models[1],
        n=n,
        failed=failed,
        wins=clear[1.0],
        losses=clear[0.0],
        draws=clear[0.5],
        win_rate=mean_interval(wins, 0, 1) if wins else Interval(value=0.5, low=0, high=1),
        standard_error=standard_error(wins),
        discrete_win_rate=discrete,
        all_lost=sum(wins) / len(votes),
        all_won=(sum(wins) + failed) / len(votes),
        length_adjusted=None if isinstance(adjusted, str) else adjusted,
        length_note=adjusted if isinstance(adjusted, str) else "",
        length_correlation=length_correlation(with_lengths, gaps),
        mean_lengths=(_mean([held[0] for held, _ in lengths]), _mean([held[1] for held, _ in lengths]))
        if lengths
        else None,
        position_inconsistent=wilson(sum(first != second for first, second in games), len(games)) if games else None,
    )


def _models(votes: Sequence[Vote]) -> tuple[ModelRate, ...]:
    """Every model's games against all others, best first; nothing where there are two models alone."""
    results: dict[str, list[float]] = {}
    for vote in votes:
        if vote.preference is not None:
            verdict = level(vote.preference)
            assert verdict is not None
            results.setdefault(vote.models[0], []).append(1 - verdict)
            results.setdefault(vote.models[1], []).append(verdict)
    if len(results) < 3:
        return ()
    rates = []
    for model, games in results.items():
        count = Counter(games)
        rates.append(
            ModelRate(
                model=model,
                games=len(games),
                wins=count[1.0],
                losses=count[0.0],
                ties=count[0.5],
                win_rate=count[1.0] / len(games),
                loss_rate=count[0.0] / len(games),
                win_rate_adjusted=_mean(games),
                standard_error=standard_error(games),
            )
        )
    return tuple(sorted(rates, key=lambda rate: -rate.win_rate_adjusted))


def _grade(model: str, marks: Sequence[Mark]) -> ModelGrade | None:
    scores = [(mark.turn, mark.score) for mark in marks if mark.score is not None]
    if not scores:
        return None
    values = [score for _, score in scores]
    return ModelGrade(
        model=model,
        by_turn={turn: _mean([score for own, score in scores if own == turn]) for turn in sorted(dict(scores))},
        average=_mean(values),
        standard_error=standard_error(values),
        n=len(values),
        failed=len(marks) - len(values),
    )


def _people(votes: Sequence[Vote], people: Sequence[Vote], seed: int) -> HumanAgreement | None:
    """None if no pair of answers was judged by both."""
    by_answer = all(any(vote.answers is not None for vote in side) for side in (votes, people))
    directions: Directions = {}
    judged, rated = (_by_contest(side, directions, by_answer=by_answer) for side in (votes, people))
    shared = [key for key in judged if key in rated]
    if not shared:
        return None
    judge, humans = ([majority(side[key]) for key in shared] for side in (judged, rated))
    ballots = [(mine, vote) for key, mine in zip(shared, judge, strict=True) for vote in rated[key]]
    clear = [(mine, vote) for mine, vote in ballots if 0.5 not in (mine, vote)]
    meetings = [both for key in shared for both in combinations(rated[key], 2)]
    return HumanAgreement(
        contests=len(shared),
        agreement=_equal(list(zip(judge, humans, strict=True))),
        kappa=kappa_interval(humans, judge, seed),
        alpha=alpha_interval(list(zip(judge, humans, strict=True)), seed),
        among_people=alpha_interval([rated[key] for key in shared], seed),
        votes=len(ballots),
        votes_agree=_equal(ballots),
        clear_votes_agree=_equal(clear),
        people_agree=_equal(meetings),
        clear_people_agree=_equal([(a, b) for a, b in meetings if 0.5 not in (a, b)]),
    )


def _equal(pairs: Sequence[tuple[float, float]]) -> Interval:
    """Share of pairs that are equal, Wilson interval."""
    return wilson(sum(left == right for left, right in pairs), len(pairs))


def _one_verdict_each(votes: Sequence[Vote]) -> list[list[float]]:
    """What each judge says of each contest, whoever says it twice counted once."""
    judges: dict[str, list[Vote]] = {}
    for vote in votes:
        judges.setdefault(vote.judge, []).append(vote)
    units: dict[tuple[str, ...], list[float]] = {}
    directions: Directions = {}
    for own in judges.values():
        for key, verdicts in _by_contest(own, directions).items():
            units.setdefault(key, []).append(majority(verdicts))
    return list(units.values())


def _by_contest(
    votes: Sequence[Vote], directions: Directions, *, by_answer: bool = True
) -> dict[tuple[str, ...], list[float]]:
    """Verdicts by question and sides: the answers themselves where they are known, else the models' names. They are
    for the second side in the direction in which a contest is first seen, which `directions` remembers: kappa and
    alpha depend on it. Votes on a question that the file does not name belong to no contest."""
    contests: dict[tuple[str, ...], list[float]] = {}
    for vote in votes:
        sides = vote.answers if by_answer and vote.answers is not None else vote.models
        if not vote.question:
            continue
        key = (vote.question, *sorted(sides))
        turned = directions.setdefault(key, sides) != sides
        verdict = level(vote.preference)
        if verdict is None:
            continue
        contests.setdefault(key, []).append(1 - verdict if turned else verdict)
    return contests


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
