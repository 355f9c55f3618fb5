"""`parsed`: the reply holds a question and an answer, and was not cut off.

    "QUESTION: What is ..."  (and no ANSWER)   ->  fails: no question and answer in the reply, asked twice
"""

from __future__ import annotations

from workbench.core.records import Check
from workbench.synth.checks.desk import Desk
from workbench.synth.drafts import Draft


def check(draft: Draft, desk: Desk) -> Check:
    """Passes if there are both."""
    return Check(name="parsed", passed=bool(draft.question and draft.answer), detail=draft.problem)
