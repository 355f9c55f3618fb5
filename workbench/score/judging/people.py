"""How far the judge agrees with people, and people with each other.

    40 contests, judge and two raters  ->  kappa .71 [.49, .88], alpha .70 [.48, .87], among people .78 [.60, .92]
"""

from __future__ import annotations

from collections.abc import Sequence

from workbench.core.rates import wilson
from workbench.core.results import PeopleAgreement
from workbench.score.judging.agreement import alpha_interval, kappa_interval, level, majority
from workbench.score.judging.ratings import Rated


def people_agreement(rated: Sequence[Rated], verdicts: Sequence[float | None], seed: int) -> PeopleAgreement:
    """Agreement of the judge's verdicts (0, 0.5, 1, None) with what most people said, and of people with each other."""
    people = [majority(list(contest.by_rater.values())) for contest in rated]
    agreed = sum(mine == theirs for mine, theirs in zip(verdicts, people, strict=True))
    together = [(level(mine), theirs) for mine, theirs in zip(verdicts, people, strict=True)]
    alpha = alpha_interval(together, seed)
    unknown = kappa_interval([], [], seed)
    return PeopleAgreement(
        contests=len(rated),
        ratings=sum(len(contest.by_rater) for contest in rated),
        raters=len({rater for contest in rated for rater in contest.by_rater}),
        agreement=wilson(agreed, len(rated)),
        kappa=kappa_interval(people, verdicts, seed),
        alpha=unknown if alpha is None else alpha,
        among_people=alpha_interval([tuple(contest.by_rater.values()) for contest in rated], seed),
    )
