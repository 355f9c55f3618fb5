"""Lengths in tokens of the model that will be trained, and what its limit would cut.

    question of 13 tokens, answer of 40, limit 512    nothing to say
    question of 13 tokens, answer of 600              flag  truncated_by_limit: the answer loses 101 of 600 tokens
    question of 700 tokens, answer of 40              drop  too_long, no_trainable_tokens
    a conversation without an answer                  drop  no_trainable_tokens
    system turn, model whose template knows none      drop  template_refused

The numbers are those of training: the model's template, its control tokens, no system prompt but the configured one.
Without a tokenizer, words are counted; a limit in tokens says nothing about them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from workbench.core.config import ModelConfig
from workbench.core.errors import PrerequisiteError, UsageError
from workbench.core.funnel import TokenLengths
from workbench.core.nodes import CurateNode
from workbench.core.records import Record
from workbench.curate.filters.contract import Verdict
from workbench.models.chat import NO_LIMIT
from workbench.models.token_counts import RecordTokens, TokenCounter, tokenizer_fingerprint
from workbench.text.shingles import tokens as words_of

__all__ = [
    "NAME",
    "REASONS",
    "LengthTally",
    "RecordTokens",
    "TokenCounter",
    "WordCounter",
    "externals",
    "open_counter",
    "verdicts",
]

NAME = "tokens"
REASONS = ("no_trainable_tokens", "too_long", "truncated_by_limit", "template_refused")
OF_LIMIT = ("too_long", "no_trainable_tokens")
"""Reasons that would go with a longer limit."""
_PERCENT = {"p50": 50, "p90": 90, "p99": 99, "max": 100}


class WordCounter:
    """Stands in where there is no tokenizer: words, characters in scripts without spaces; no limit applies."""

    name = "words"

    def count(self, records: Sequence[Record]) -> list[RecordTokens]:
        """Lengths of records in words, in their order."""
        return [
            RecordTokens(len(words_of(record.prompt())), len(words_of(record.answer())), NO_LIMIT)
            for record in records
        ]


AnyCounter = TokenCounter | WordCounter


def open_counter(
    model: ModelConfig, project: Path, max_length: int, warn: Callable[[str], object]
) -> AnyCounter:
    """The model's counter, or words where its tokenizer is not to be had, which `warn` hears."""
    try:
        return TokenCounter.for_model(model, project, max_length)
    except (PrerequisiteError, UsageError) as error:
        warn(f"lengths are counted in words, and nothing is said about max_length: {error.problem}")
        return WordCounter()


def externals(node: CurateNode, project: Path) -> dict[str, str]:
    """The tokenizer's fingerprint, or that there is none: another tokenizer gives other lengths."""
    if not node.curate.count_tokens:
        return {}
    try:
        return {"tokenizer": tokenizer_fingerprint(node.model, project)}
    except (PrerequisiteError, UsageError):
        return {"tokenizer": "absent"}


def verdicts(found: RecordTokens) -> list[Verdict]:
    """What the limit does to a record."""
    if found.problem == "no_answer":
        return [Verdict("no_trainable_tokens", "drop", found.detail)]
    if found.problem is not None:
        # Without any template the model is the wrong one, not the row.
        return [Verdict("template_refused", "drop" if found.problem == "refused" else "flag", found.detail)]
    judged = []
    if found.prompt >= found.limit:
        judged.append(Verdict("too_long", "drop", f"the prompt alone has {found.prompt} tokens, limit {found.limit}"))
    if found.answer_left == 0:
        judged.append(Verdict("no_trainable_tokens", "drop", _why_nothing_is_left(found)))
    elif found.cut:
        detail = f"the answer loses {found.cut} of {found.answer} tokens: {found.total} in all, limit {found.limit}"
        judged.append(Verdict("truncated_by_limit", "flag", detail))
    return judged


def _why_nothing_is_left(found: RecordTokens) -> str:
    if not found.answer:
        return "there is no answer token"
    return f"no answer token is within {found.limit}: the prompt has {found.prompt}"


class LengthTally:
    """Lengths of the kept records: exact quantiles from a histogram, whose size is the number of distinct lengths."""

    def __init__(self, counter: AnyCounter) -> None:
        self._in_words = isinstance(counter, WordCounter)
        self._name = counter.name
        self._limit = counter.max_length if isinstance(counter, TokenCounter) else None
        self._histogram: Counter[int] = Counter()
        self._trainable = self._rows_cut = self._tokens_cut = self._answers_cut_away = 0

    def add(self, found: RecordTokens) -> None:
        """Counts one kept record; one without a token sequence is left out."""
        if found.problem is not None:
            return
        self._histogram[found.total] += 1
        self._trainable += found.answer_left
        self._rows_cut += found.cut > 0
        self._tokens_cut += found.cut
        self._answers_cut_away += found.cut > 0 and found.answer_left == 0

    def add_all(self, lengths: Iterable[tuple[int, int]]) -> None:
        """Counts kept records given as (prompt, answer), none of them with a problem."""
        limit = NO_LIMIT if self._limit is None else self._limit
        for prompt, answer in lengths:
            self.add(RecordTokens(prompt, answer, limit))

    def lengths(self) -> TokenLengths:
        """The summary; every quantile is 0 where nothing was counted."""
        return TokenLengths(
            unit="words" if self._in_words else "tokens",
            counter=self._name,
            quantiles=self._quantiles(),
            total=sum(length * rows for length, rows in self._histogram.items()),
            trainable=self._trainable,
            max_length=self._limit,
            rows_cut=self._rows_cut,
            tokens_cut=self._tokens_cut,
            answers_cut_away=self._answers_cut_away,
        )

    def _quantiles(self) -> dict[str, int]:
        """Nearest rank: the smallest length that at least so many percent of the records do not exceed."""
        rows = self._histogram.total()
        found = dict.fromkeys(_PERCENT, 0)
        passed = 0
        for length in sorted(self._histogram):
            before, passed = passed, passed + self._histogram[length]
            for name, percent in _PERCENT.items():
                if before < -(-percent * rows // 100) <= passed:
                    found[name] = length
        return found
