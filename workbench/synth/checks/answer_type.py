"""`answer_type`: who asks for a name, when for a date, how many for a number.

    "Who built the hotel?"  ->  "1988"       fails: expected a name
    "When was it built?"    ->  "In 1988"    passes
"""

from __future__ import annotations

import re

from workbench.core.records import Check
from workbench.synth.checks.desk import Desk
from workbench.synth.drafts import Draft

_NUMBER = re.compile(
    r"\d|\b(zero|none|one|once|two|twice|three|four|five|six|seven|eight|nine|ten|eleven|twelve|dozen|hundred|thousand"
    r"|million|billion|half|all|any|several|unlimited)\b",
    re.IGNORECASE,
)
_TIME = re.compile(
    r"\d|\b(january|february|march|april|may|june|july|august|september|october|november|december|monday|tuesday"
    r"|wednesday|thursday|friday|saturday|sunday|century|today|yesterday|before|after|during|if|when|while|until|once"
    r"|as soon as|always|never)\b",
    re.IGNORECASE,
)


def check(draft: Draft, desk: Desk) -> Check:
    """English question words only; any other question passes."""
    expected = _violated(draft.question.lower(), draft.answer)
    return Check(name="answer_type", passed=expected is None, detail=f"expected {expected}" if expected else "")


def _violated(question: str, answer: str) -> str | None:
    """What the question asks for and the answer is not; None if it fits."""
    if re.match(r"(who|whose|whom)\b", question):
        # a word that begins with a capital, or with a letter of a script that has none
        return None if any(not initial.islower() for initial in re.findall(r"\b[^\W\d_]", answer)) else "a name"
    if re.match(r"(when|in (which|what) year)\b", question):
        return None if _TIME.search(answer) else "a date or a condition"
    if re.match(r"how (many|much)\b", question):
        return None if _NUMBER.search(answer) else "a number"
    return None
