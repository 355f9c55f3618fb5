"""`repetition`: the answer goes round in circles.

    assistant: "I do not know what to say. I do not know what to say. I do not know what to say."
        ->  drop  repetition: 11 of its 18 word 4-grams are repeats (share 0.61, limit 0.5)
    assistant: "1. Buy a litre of milk\\n2. Buy a litre of milk\\n..."   ->  drop  repetition: 7 of 8 lines are repeats
    assistant: "hahahahahaha..."                                         ->  drop  repetition: one piece 40 times
    assistant: "The root of x^2 is f('root of x^2')."                    ->  nothing: named twice
    assistant: "If A is true, so is B. If A is false, so is C. ..."      ->  flag  repetition: no two sentences the same
    user: "Write it ten times." assistant: "I will not. I will not. ..."   ->  flag  repetition: asked for
    assistant: a song with its chorus, a table, code, labels, numbers     ->  nothing
    assistant: "No, no, no."                                             ->  nothing: too short to tell

What is said twice and nothing more often, and is less than half of an answer, is flagged: it may be quoted. So are
sentences or lines built alike of which few are the same word for word: cases, clauses, a figure of speech. Verse and
lists may repeat twice as much as prose. Tables, code, columns of labels and rows of numbers may repeat as they
like; fenced code is not counted.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from workbench.core.curation import CurateConfig
from workbench.curate.filters.contract import Filter, Subject, Verdict
from workbench.curate.filters.text_shape import shape, without_code
from workbench.text.normalise import words
from workbench.text.shingles import ngrams, tokens

_NGRAM = 4
_NGRAM_CHARACTERS = 8
"""Four words of a script without spaces are about eight characters; four characters repeat in any honest text."""
_FEWEST = 8
"""N-grams an answer must have: below, one repeated phrase would decide."""
_FEW = 60
"""N-grams below which a phrase that comes twice is no circle: so few may repeat more, unless all is said twice."""
_FEW_MAY = 5 / 3
_FEWEST_LINES = 6
_LINES_MAX = 0.5
"""Share of lines that may repeat an earlier one; of verse, 0.7: a song is half chorus."""
_VERSE_LINES_MAX = 0.7
_WORDS_OF_A_LINE = 4
"""Words a repeated line must have on average: shorter ones are labels."""
_LONG_WORD = 60
"""Characters of a word that may be one piece over and over."""
_ASKED_FOR = re.compile(
    r"\b(?:repeat\w*|times|again and again|over and over|cop(?:y|ies|ied)|echo|loop\w*|refrain|chorus|palindromes?"
    r"|tongue[- ]twister|drill|dummy|test data)\b|重复|遍",
    re.IGNORECASE,
)
_PARALLEL = 3
"""Sentences or lines from which an answer may be a row of them, built alike."""
_SENTENCE_END = re.compile(r"(?<=[.!?;])\s+|(?<=[。！？；])|\n+")
_ENUMERATOR = re.compile(r"\s*(?:[-*+•]|\(?\d{1,4}[.):]|\(?[a-zA-Z][.)])\s+")


def check(subject: Subject, config: CurateConfig) -> list[Verdict]:
    """Drops answers in which too many n-grams, or lines, occurred before in the same answer."""
    found = _found(subject.answer, config.repetition_max)
    if found is None:
        return []
    if _ASKED_FOR.search(subject.record.prompt()):
        return [Verdict("repetition", "flag", f"{found.detail}; the prompt may ask for it")]
    return [Verdict("repetition", "drop" if found.is_circle else "flag", found.detail)]


@dataclass(frozen=True, slots=True)
class _Found:
    """What is repeated."""

    detail: str
    is_circle: bool = True
    """False if a part is said twice and nothing more often."""


def _found(answer: str, limit: float) -> _Found | None:
    from workbench.text.piece_pairs import pieces_and_pairs  # 0.3 s: numba

    count, pairs = pieces_and_pairs(answer)
    in_long_pieces = len(answer) > (20 if answer.isascii() else 8) * count
    # Where pairs hardly repeat, longer runs do not.
    if not in_long_pieces and count - 1 - pairs <= limit / 2 * max(0, count - 1):
        return None
    pieces = answer.split()
    if not in_long_pieces and _share_repeated(pieces) <= limit / 2:
        return None
    if in_long_pieces and (found := _one_piece(pieces, len(answer))):
        return found
    return _repeats(without_code(answer), limit)


def _share_repeated(pieces: Sequence[str]) -> float:
    """Share of the n-grams that are repeats."""
    found = ngrams(pieces, _NGRAM)
    return 1 - len(set(found)) / len(found) if len(pieces) >= _NGRAM else 0.0


def _one_piece(pieces: Sequence[str], characters: int) -> _Found | None:
    """A word without spaces that is a short piece over and over, if it is half of the answer."""
    longest = max(pieces, key=len, default="")
    if len(longest) < _LONG_WORD or len(longest) < characters / 2 or not any(one.isalpha() for one in longest[:20]):
        return None
    start = longest[:20]
    period = longest.find(start, 1)
    if not 0 < period <= 20 or longest[period:] != longest[:-period]:
        return None
    return _Found(f"{longest[:period]!r} {len(longest) // period} times without a space")


def _repeats(text: str, limit: float) -> _Found | None:
    found = tokens(text)
    if len(found) < _FEWEST or _is_data(text, found):
        return None
    form = shape(text)
    if form in ("code", "table"):
        return None
    if in_lines := _repeated_lines(text, _VERSE_LINES_MAX if form == "verse" else _LINES_MAX):
        return in_lines
    if form in ("verse", "list"):
        limit = min(1.0, 2 * limit)
    unit, n = ("character", _NGRAM_CHARACTERS) if len(found) > 2 * len(words(text)) else ("word", _NGRAM)
    total = len(found) - n + 1
    if total < _FEWEST:
        return None
    grams = Counter(ngrams(found, n))
    share = (total - len(grams)) / total
    half = len(found) // 2
    is_doubled = found[:half] == found[half:]
    if total < _FEW and not is_doubled:
        limit = min(1.0, _FEW_MAY * limit)
    if share <= limit:
        return None
    detail = f"{total - len(grams)} of its {total} {unit} {n}-grams are repeats (share {share:.2f}, limit {limit:g})"
    if not is_doubled and _is_parallel(text, n, limit):
        return _Found(f"{detail}; its sentences are alike, but not the same", is_circle=False)
    return _Found(detail, is_doubled or share >= 0.5 or max(grams.values()) > 2)


def _is_parallel(text: str, n: int, limit: float) -> bool:
    """Whether the repeats stand in sentences or lines built alike: of those at most `limit` (in words) come twice word
    for word, and none goes round in circles by itself."""
    said = [tokens(_ENUMERATOR.sub("", sentence, count=1)) for sentence in _SENTENCE_END.split(text)]
    said = [sentence for sentence in said if sentence]
    if len(said) < _PARALLEL:
        return False
    words_of = {tuple(sentence): len(sentence) for sentence in said}
    total = sum(map(len, said))
    if 1 - sum(words_of.values()) / total > limit:
        return False
    within = sum(len(grams) - len(set(grams)) for grams in (ngrams(sentence, n) for sentence in words_of))
    return within <= limit * total


def _is_data(text: str, found: Sequence[str]) -> bool:
    """Numbers, single letters, or labels in a column or apart by commas; one label alone is a loop."""
    single = text.isascii() and sum(map(len, found)) < 1.5 * len(found)
    if single or sum(token.isdigit() for token in found) >= len(found) / 2:
        return True
    lines = sum(bool(line.strip()) for line in text.split("\n"))
    labels = (lines >= 4 and len(found) < 3 * lines) or text.count(",") + text.count(";") >= 0.4 * len(found)
    return labels and len(set(found)) > 1


def _repeated_lines(text: str, limit: float) -> _Found | None:
    lines = [bare for line in text.split("\n") if (bare := _ENUMERATOR.sub("", line, count=1).strip().lower())]
    if len(lines) < _FEWEST_LINES:
        return None
    distinct = set(lines)
    repeats = len(lines) - len(distinct)
    if repeats / len(lines) <= limit or sum(len(line.split()) for line in lines) < _WORDS_OF_A_LINE * len(lines):
        return None
    share = repeats / len(lines)
    return _Found(f"{repeats} of its {len(lines)} lines are repeats (share {share:.2f}, limit {limit:g})")


FILTER = Filter("repetition", ("repetition",), check)
