"""From draft to candidate: every check's score, and one status.

    error: there is no reply     rejected: a check failed     review: a person should look     accepted: the rest
"""

from __future__ import annotations

from typing import Literal

from workbench.core.records import Candidate, Check
from workbench.synth.checks.desk import Desk
from workbench.synth.checks.novelty import compared
from workbench.synth.checks.registry import CHECKS
from workbench.synth.drafts import Draft

Status = Literal["accepted", "rejected", "review", "error"]


def candidate_from(draft: Draft, desk: Desk) -> Candidate:
    """Runs the checks; an accepted draft becomes known, so that a later one like it is not novel."""
    record = draft.record()
    rules = CHECKS if record is not None else CHECKS[:1]
    checks = () if draft.error is not None else tuple(rule.check(draft, desk) for rule in rules)
    failures = {rule.failure for rule, check in zip(rules, checks, strict=False) if not check.passed}
    status: Status = "accepted"
    if draft.error is not None:
        status = "error"
    elif failures:
        status = "rejected" if "rejected" in failures else "review"
    else:
        desk.known.add(compared(draft, desk))
    return Candidate(
        id=draft.id(),
        strategy=draft.strategy,
        status=status,
        record=record,
        evidence=draft.evidence,
        seed_ids=(draft.seed.id,),
        teacher=draft.teacher,
        raw_reply=draft.raw_reply,
        checks=checks,
        error=draft.error,
    )


def failed_checks(candidate: Candidate) -> list[Check]:
    """The checks a candidate did not pass."""
    return [check for check in candidate.checks if not check.passed]
