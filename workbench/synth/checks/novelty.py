"""`novelty`: not what was asked before.

    earlier "How do I sort a list?"   now "How do I sort a list quickly?"   ->  ROUGE-L 0.92: fails at 0.7
"""

from __future__ import annotations

from workbench.core.records import Check
from workbench.synth.checks.desk import Desk
from workbench.synth.drafts import Draft


def check(draft: Draft, desk: Desk) -> Check:
    """Score: highest ROUGE-L F1 with a known text; fails above `synth.novelty_max`, not at it."""
    nearest = desk.known.nearest(compared(draft, desk))
    score, most = (nearest.score if nearest else 0.0), desk.synth.novelty_max
    passed = score <= most
    detail = "" if passed or nearest is None else f"nearest: {nearest.text[:160]!r}"
    return Check(name="novelty", passed=passed, score=score, threshold=most, detail=detail)


def compared(draft: Draft, desk: Desk) -> str:
    """The text that must be new."""
    return draft.question if desk.novel == "question" else f"{draft.question}\n{draft.answer}"
