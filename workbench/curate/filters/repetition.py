"""`repetition`: the answer goes round in circles.

    assistant: "I do not know what to say. I do not know what to say. I do not know what to say."
        ->  drop  repetition: 11 of its 18 word 4-grams are repeats (share 0.61, limit 0.3)
    assistant: "No, no, no."  ->  nothing: too short to tell
"""

from __future__ import annotations

from workbench.core.config import CurateConfig
from workbench.curate.filters.contract import Filter, Subject, Verdict
from workbench.text.normalise import words
from workbench.text.shingles import ngrams

_NGRAM = 4
_NGRAM_CHARACTERS = 8
"""Four words of a script without spaces are about eight characters; four characters repeat in any honest text."""
_FEWEST = 8
"""N-grams an answer must have: below, one repeated phrase would decide."""


def check(subject: Subject, config: CurateConfig) -> list[Verdict]:
    """Drops answers in which more than `repetition_max` of the word 4-grams occurred before in the same answer."""
    in_characters = len(subject.answer_tokens) > 2 * len(words(subject.answer))
    unit, n = ("character", _NGRAM_CHARACTERS) if in_characters else ("word", _NGRAM)
    total = len(subject.answer_tokens) - n + 1
    if total < _FEWEST:
        return []
    repeats = total - len(set(ngrams(subject.answer_tokens, n)))
    share = repeats / total
    if share <= config.repetition_max:
        return []
    limit = f"limit {config.repetition_max:g}"
    detail = f"{repeats} of its {total} {unit} {n}-grams are repeats (share {share:.2f}, {limit})"
    return [Verdict("repetition", "drop", detail)]


FILTER = Filter("repetition", check)
