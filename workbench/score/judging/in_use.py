"""Does a judge that passed its check behave on the arms' answers as it did there? If not, it is trusted no longer.

    check passed by big-judge-0301, arms judged by big-judge-0613    ->  not trusted
    36 of 40 verdicts on the arms changed with the order             ->  not trusted: a tie in name alone
    3 of 80 calls on the arms were refused                           ->  said; the documents count as failed
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set

from workbench.core.results import JudgeFindings, JudgeTrust
from workbench.score.golden import Calls, named, troubles

_MOSTLY = 0.5
"""Share of verdicts that follow the position from which on ties say nothing about the answers."""


def trust_in_use(
    trust: JudgeTrust, found: JudgeFindings | None, calls: Calls, remarks: Iterable[str] = ()
) -> JudgeTrust:
    """The trust of a judge that passed its check, after its `calls` on the arms; `remarks` on them are added."""
    judged_by = set(calls.models)
    lost = [*_strangers(set(trust.models), judged_by), *_follows_position(found)]
    said = [f"on the arms' answers, {trouble}" for trouble in (*troubles(calls), *remarks)]
    return trust.model_copy(
        update={
            "trusted": not lost,
            "reasons": (*trust.reasons, *lost, *said),
            "models": tuple(sorted({*trust.models, *judged_by})),
        }
    )


def _strangers(checked: Set[str], judged_by: Set[str]) -> Iterator[str]:
    if checked and (strangers := judged_by - checked):
        yield (
            f"the arms were judged by {named(sorted(strangers))}, the check was passed by {named(sorted(checked))}: "
            "pin a dated model in the endpoint and run again"
        )


def _follows_position(found: JudgeFindings | None) -> Iterator[str]:
    """A document whose verdict changes with the order is a tie. Where most are, an equal win rate is no finding."""
    if found is not None and found.position_inconsistent.low > _MOSTLY:
        share = found.position_inconsistent
        yield (
            f"on the arms' answers {share.value:.0%} of the verdicts changed with the order, between {share.low:.0%} "
            f"and {share.high:.0%}: they follow the position, and its ties do not say that the answers are equally good"
        )
