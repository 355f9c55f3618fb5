"""`length`: the question has 4 to 60 words, the answer at least a character and at most twice its source.

    "Why?"   ->  fails: 1 words in the question
"""

from __future__ import annotations

from workbench.core.records import Check
from workbench.synth.checks.desk import Desk
from workbench.synth.drafts import Draft
from workbench.text.shingles import tokens

_MIN_QUESTION_WORDS = 4
_MAX_QUESTION_WORDS = 60
_MAX_TIMES_SOURCE = 2


def check(draft: Draft, desk: Desk) -> Check:
    """Counts characters as words in scripts without spaces. Score: words of the question."""
    question_words = len(tokens(draft.question))
    if not _MIN_QUESTION_WORDS <= question_words <= _MAX_QUESTION_WORDS:
        wanted = f"{_MIN_QUESTION_WORDS} to {_MAX_QUESTION_WORDS}"
        detail = f"{question_words} words in the question, {wanted} are wanted"
        return Check(name="length", passed=False, score=question_words, detail=detail)
    too_long = len(draft.answer) > _MAX_TIMES_SOURCE * len(draft.passage)
    detail = f"answer of {len(draft.answer)} characters from a source of {len(draft.passage)}" if too_long else ""
    return Check(name="length", passed=not too_long, score=question_words, detail=detail)
