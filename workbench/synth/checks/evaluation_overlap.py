"""`evaluation_overlap`: what may be chance and may be an evaluation document is for a person to look at.

    thirteen words in a row that suite and candidate share   ->  fails, which means review, not rejection
    a part for which a curated row is flagged                ->  fails
"""

from __future__ import annotations

from workbench.core.records import Check
from workbench.synth.checks.desk import Desk
from workbench.synth.drafts import Draft

_SPAN_CHARS = 160


def check(draft: Draft, desk: Desk) -> Check:
    """Passes if nothing flags the pair and no run of `desk.RUN_WORDS` words is shared."""
    flagged = next(iter(desk.leaks(draft, "flag")), None)
    if flagged is not None:
        return Check(name="evaluation_overlap", passed=False, score=flagged.share, detail=flagged.detail)
    quoted = desk.evaluation.quotations.first(f"{draft.question}\n{draft.answer}")
    detail = f"{quoted.source}: {quoted.span[:_SPAN_CHARS]!r}" if quoted else ""
    return Check(name="evaluation_overlap", passed=quoted is None, detail=detail)
