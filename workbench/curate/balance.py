"""How evenly the kept rows are spread: what is noted of each row, the tables made of it, and limits on them.

    traits(Subject(record))  ->  Traits(topic="billing", dataset="tickets", answer="yes", length="1-15 words",
                                        style="is", language="en", ...)
    tally = Tally(); tally.add(one_row_s_traits); tally.tables()
    ->  (BalanceTable(by="topic", groups=(billing 812 .81, ...), distinct=5, effective=2.1), ...)
    allowed_rows([812, 100, 88], Fraction(1, 2))  ->  188: rows the first may keep, so that it has half of what stays

Memory is bounded whatever the data: `workbench.curate.value_counts` says how, `Tally.distinct_2` looks at a sample.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from heapq import heappush, heapreplace
from itertools import pairwise

from workbench.core.funnel import BalanceTable
from workbench.core.records import Record
from workbench.curate.filters.contract import Subject
from workbench.curate.value_counts import ValueCounts
from workbench.text.language import identify
from workbench.text.normalise import normalised, words
from workbench.text.personal_data import masked
from workbench.text.shingles import tokens

TRAITS = ("topic", "dataset", "answer", "length", "style", "language")
"""What there is a table for, in this order."""

_LENGTH_BANDS = (0, 5, 15, 50, 100, 200, 500, 1000, 2000)
"""Most words that each band but the last holds."""
_SHORT_ANSWER_CHARS = 40
_SHORT_ANSWER_WORDS = 4
"""An answer of at most so many words is a class of its own."""
_LONGEST_VALUE = 80
"""Characters kept of a topic."""
_PROMPT_CHARS = 300
"""Characters of a prompt that its variety is judged by."""
_PROMPT_SAMPLE = 20_000
"""Prompts that their variety is judged by: those with the smallest record ids, which is a random choice."""
_CODE = re.compile(r"```|^[ \t]{0,16}(?:def \w+\(|class \w+|import \w+$|#include|SELECT .* FROM )", re.MULTILINE)
_POLITE = frozenset({"please", "kindly", "hey", "hi", "hello", "ok", "okay", "so", "now", "and", "the", "a", "an"})
"""Words that say nothing about what is asked for."""


@dataclass(frozen=True, slots=True)
class Traits:
    """One row, for the tables: strings of bounded length."""

    row_id: str
    """Id of the record."""
    topic: str | None
    """The data's own topic; None where it has none."""
    dataset: str
    """Name of the dataset."""
    answer: str
    """The answer itself, normalised, if it is short; otherwise `(longer)`, `(tool call)` or `(document)`."""
    length: str
    """Words of prompt and answer, as a band."""
    style: str
    """First telling word of the prompt, and whether there are several turns or code."""
    language: str
    """ISO 639-1 code of the answer, else of the prompt, else `(undecided)`."""
    prompt: str
    """Beginning of the prompt; empty for a document."""


def traits(subject: Subject) -> Traits:
    """What the tables need to know of a record."""
    record = subject.record
    return Traits(
        row_id=record.id,
        topic=record.topic[:_LONGEST_VALUE] if record.topic else None,
        dataset=record.source.dataset,
        answer=answer_class(subject),
        length=length_band(subject.length),
        style=style(record),
        language=_language(subject),
        prompt=_question(record)[:_PROMPT_CHARS],
    )


def value_of(subject: Subject, by: str) -> str | None:
    """The value of one trait alone; None if the record has none."""
    record = subject.record
    if by == "topic":
        return record.topic[:_LONGEST_VALUE] if record.topic else None
    if by == "dataset":
        return record.source.dataset
    if by == "answer":
        return answer_class(subject)
    if by == "length":
        return length_band(subject.length)
    return style(record)


def answer_class(subject: Subject) -> str:
    """The answer where it is short enough to recur, otherwise what kind of answer it is."""
    if subject.record.kind == "document":
        return "(document)"
    if subject.calls_tools:
        return "(tool call)"
    if len(subject.answer) > _SHORT_ANSWER_CHARS:
        return "(longer)"
    answer = normalised(subject.answer).rstrip(".!")
    return answer if len(tokens(answer)) <= _SHORT_ANSWER_WORDS else "(longer)"


def length_band(length: int) -> str:
    """`length_band(7)` is `6-15 words`."""
    for below, most in zip((-1, *_LENGTH_BANDS), _LENGTH_BANDS, strict=False):
        if length <= most:
            return f"{below + 1}-{most} words" if most else "0 words"
    return f"over {_LENGTH_BANDS[-1]} words"


def style(record: Record) -> str:
    """How the prompt opens: `what`, `write, with code`, `explain, several turns`; `(document)` without a prompt."""
    if record.kind == "document":
        return "(document)"
    question = _question(record)[:_PROMPT_CHARS]
    said = words(question)
    opening = next((word for word in said if word not in _POLITE and not word.isdigit()), said[0] if said else "")
    if tokens(opening) != [opening]:
        opening = opening[:2]  # a script without spaces: its first two characters
    several = sum(turn.role == "user" for turn in record.messages) > 1
    has_code = _CODE.search(f"{question}\n{record.answer()[:2000]}") is not None
    return (opening[:20] or "(no words)") + ", several turns" * several + ", with code" * has_code


def allowed_rows(counts: Sequence[int], max_share: Fraction, others: int = 0) -> int:
    """Most rows that any one group may keep so that none has more than `max_share` of all that is kept.

    `counts`: rows per group; `others`: rows that belong to no group and stay. 0 if no group can keep a row, which is so
    if there are fewer than 1 / max_share groups and no others. Taking the most that every group may keep keeps the most
    rows in all, since what a group may keep grows with what all keep.
    """
    low, high = 0, max(counts, default=0)
    while low < high:
        cap = (low + high + 1) // 2
        kept = others + sum(min(count, cap) for count in counts)
        # kept / cap falls as cap grows (a concave sum through the origin), so one border divides what works.
        low, high = (cap, high) if cap <= max_share * kept else (low, cap - 1)
    return low


class Tally:
    """Counts the kept rows' traits."""

    def __init__(self) -> None:
        self._counts = {by: ValueCounts() for by in TRAITS}
        self._prompts: list[tuple[int, str]] = []

    def add(self, row: Traits) -> None:
        """Counts one row."""
        for by, counts in self._counts.items():
            value = getattr(row, by)
            if value is not None:
                counts.add(value)
        if row.prompt:
            self._sample(row)

    def tables(self) -> tuple[BalanceTable, ...]:
        """One table per trait that any row has; personal data in the values is masked."""
        return tuple(_shown(counts.table(by)) for by, counts in self._counts.items() if counts.total)

    def distinct_2(self) -> float | None:
        """Different word pairs per word pair in the prompts (distinct-2, arXiv 1510.03055); None without a pair.

        Over a random sample of 20,000 prompts, the first 300 characters of each: on other sizes it would differ, as
        the share of new pairs falls with the number of prompts.
        """
        import numpy as np
        import xxhash

        pairs: list[int] = []
        for _, prompt in self._prompts:
            neighbours = pairwise(tokens(prompt))
            pairs += [xxhash.xxh64_intdigest(f"{left} {right}".encode()) for left, right in neighbours]
        return len(np.unique(np.array(pairs, dtype=np.uint64))) / len(pairs) if pairs else None

    def _sample(self, row: Traits) -> None:
        """Keeps the prompts with the smallest ids; the heap holds the negative ids, so the largest goes first."""
        entry = (-_id_number(row.row_id), row.prompt)
        if len(self._prompts) < _PROMPT_SAMPLE:
            heappush(self._prompts, entry)
        elif entry > self._prompts[0]:
            heapreplace(self._prompts, entry)


def _shown(table: BalanceTable) -> BalanceTable:
    groups = tuple(group.model_copy(update={"value": masked(group.value)}) for group in table.groups)
    return table.model_copy(update={"groups": groups})


def _id_number(row_id: str) -> int:
    import xxhash

    return int(xxhash.xxh64_intdigest(row_id.encode()))


def _question(record: Record) -> str:
    return next((turn.content for turn in reversed(record.messages) if turn.role == "user"), "")


def _language(subject: Subject) -> str:
    for text in (subject.answer, _question(subject.record)):
        found = identify(text)
        if found is not None:
            return found.code
    return "(undecided)"
