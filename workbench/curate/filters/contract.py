"""What a filter is: a name, a check that gives verdicts, and sometimes a repair that runs before all checks.

    FILTER = Filter("empty_output", check)
    check(Subject(record), config)  ->  [Verdict("empty_output", "drop", "the answer is empty")]
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from workbench.core.config import CurateConfig
from workbench.core.records import Message, Record, record_id
from workbench.text.shingles import tokens


@dataclass(frozen=True)
class Subject:
    """A record under examination, with what several filters look at worked out once."""

    record: Record

    @cached_property
    def answer(self) -> str:
        """The text to be learned."""
        return self.record.answer()

    @cached_property
    def calls_tools(self) -> bool:
        """Whether the answer is a tool call, with or without words."""
        record = self.record
        ending = record.chosen if record.kind == "preference" else record.messages[-1] if record.messages else None
        return bool(ending and ending.tool_calls)

    @cached_property
    def answer_tokens(self) -> list[str]:
        """Words of the answer; characters in scripts without spaces."""
        return tokens(self.answer)

    @cached_property
    def length(self) -> int:
        """Words of prompt and answer, of the longer ending for a preference; characters in scripts without spaces."""
        rejected = self.record.rejected.content if self.record.rejected else ""
        return len(tokens(self.record.prompt())) + max(len(self.answer_tokens), len(tokens(rejected)))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a filter has against a record."""

    reason: str
    """Reason code, stable: people count and restore by it."""
    action: Literal["drop", "flag"]
    detail: str
    """Evidence for people: the measured value and its limit, or the text found."""


@dataclass(frozen=True, slots=True)
class Repair:
    """A better version of a record."""

    record: Record
    """The whole record as repaired, with the id of its new content."""
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Filter:
    """One line of the registry."""

    name: str
    check: Callable[[Subject, CurateConfig], list[Verdict]]
    """Everything wrong with a record; empty if nothing is."""
    repair: Callable[[Record], list[Repair]] | None = None
    """What can be mended, each repair on top of the one before. All repairs run before the first check."""


def rewritten(record: Record, rewrite: Callable[[str], str], *, role: Literal["user", "assistant"]) -> Record:
    """`record`, under a new id, with `rewrite` applied to all that `role` says; a document is the assistant's."""
    messages = tuple(_turn(message, rewrite) if message.role == role else message for message in record.messages)
    chosen, rejected, text = record.chosen, record.rejected, record.text
    if role == "assistant":
        chosen = _turn(chosen, rewrite) if chosen else None
        rejected = _turn(rejected, rewrite) if rejected else None
        text = None if text is None else rewrite(text)
    changes = {
        "id": record_id(record.kind, messages, chosen, rejected, text),
        "messages": messages,
        "chosen": chosen,
        "rejected": rejected,
        "text": text,
    }
    return record.model_copy(update=changes)


def _turn(message: Message, rewrite: Callable[[str], str]) -> Message:
    return message.model_copy(update={"content": rewrite(message.content)})
