"""`evidence`: the sentence given as proof stands in the source, word for word.

    source "Lima is the capital of Peru."   evidence "lima  is the capital"   ->  passes (case and spaces aside)
"""

from __future__ import annotations

from workbench.core.records import Check
from workbench.synth.checks.desk import Desk
from workbench.synth.drafts import Draft
from workbench.text.normalise import normalised


def check(draft: Draft, desk: Desk) -> Check:
    """Passes if the normalised evidence is part of the normalised source; none at all fails."""
    evidence = normalised(draft.evidence).strip("\"'")
    found = bool(evidence) and evidence in normalised(draft.passage)
    detail = "" if found else f"not in the source: {draft.evidence[:120]!r}" if evidence else "no evidence given"
    return Check(name="evidence", passed=found, detail=detail)
