"""`leak`: the question does not give its answer away.

    "Is Lima the capital of Peru, Lima?"  ->  "Lima"   fails
"""

from __future__ import annotations

from workbench.core.records import Check
from workbench.synth.checks.desk import Desk
from workbench.synth.drafts import Draft
from workbench.text.shingles import tokens


def check(draft: Draft, desk: Desk) -> Check:
    """Fails if the answer's words stand in the question, in order and next to each other."""
    answer, question = tokens(draft.answer), tokens(draft.question)
    starts = range(len(question) - len(answer) + 1) if answer else range(0)
    leaked = any(question[start : start + len(answer)] == answer for start in starts)
    return Check(name="leak", passed=not leaked, detail="the answer stands in the question" if leaked else "")
