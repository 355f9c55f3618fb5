"""`contamination`: no suite document in a candidate, whole or for the greater part.

    suite asks "Which planet of the solar system has the shortest day?"   candidate asks the same   ->  fails
"""

from __future__ import annotations

from workbench.core.records import Check
from workbench.synth.checks.desk import Desk
from workbench.synth.drafts import Draft

_REJECTED_FROM = 0.5


def check(draft: Draft, desk: Desk) -> Check:
    """Score: largest share of a suite document's word 8-grams in question and answer; fails from 0.5, or if equal."""
    index = desk.suites.by_8_grams
    for text in (draft.question, draft.answer):
        if (needle := index.equal(text)) is not None:
            found = desk.suites.texts[needle]
            detail = f"equal to document {found.doc_hash} of suite {found.suite}"
            return Check(name="contamination", passed=False, score=1.0, threshold=_REJECTED_FROM, detail=detail)
    worst = max(index.search(f"{draft.question}\n{draft.answer}"), key=lambda match: match.share, default=None)
    share = worst.share if worst else 0.0
    passed = share < _REJECTED_FROM
    detail = ""
    if worst is not None and not passed:
        found = desk.suites.texts[worst.needle]
        detail = f"document {found.doc_hash} of suite {found.suite}: {worst.span[:120]!r}"
    return Check(name="contamination", passed=passed, score=share, threshold=_REJECTED_FROM, detail=detail)
