"""What a filter is: a name, a check that gives verdicts, and sometimes a repair that runs before all checks.

    FILTER = Filter("empty_output", ("empty_output", "empty_rejected"), check)
    check(Subject(record), config)  ->  [Verdict("empty_output", "drop", "the answer is empty")]

The answer of a conversation is its last turn: training learns that one alone and reads earlier turns of the assistant
as part of the prompt, so what is asked of answers is asked of no other turn.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from workbench.core.curation import CurateConfig
from workbench.core.records import Message, Record
from workbench.text.shingles import token_count, tokens

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


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
    def question(self) -> str | None:
        """The last thing the user says; None where no user says anything."""
        return next((turn.content for turn in reversed(self.record.messages) if turn.role == "user"), None)

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """Everything said: all turns, both endings of a preference, or the document."""
        record = self.record
        if record.kind == "document":
            return (record.text or "",)
        endings = (record.chosen, record.rejected)
        return tuple(turn.content for turn in (*record.messages, *endings) if turn is not None)

    @cached_property
    def whole(self) -> str:
        """All `texts`, one after the other: what a prefilter asks once whether there is anything to look for."""
        return "\n".join(self.texts)

    @cached_property
    def lowered(self) -> str:
        """`whole` in lower case."""
        return self.whole.lower()

    @cached_property
    def answer_lowered(self) -> str:
        """`answer` in lower case."""
        return self.answer.lower()

    @cached_property
    def answer_tokens(self) -> list[str]:
        """Words of the answer; characters in scripts without spaces."""
        return tokens(self.answer)

    @cached_property
    def length(self) -> int:
        """Words of prompt and answer, of the longer ending for a preference; characters in scripts without spaces."""
        rejected = self.record.rejected.content if self.record.rejected else ""
        return token_count(self.record.prompt()) + max(token_count(self.answer), token_count(rejected))


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
    """One line of the registry: judges one record by itself."""

    name: str
    reasons: tuple[str, ...]
    """Every reason code that its verdicts and repairs may have."""
    check: Callable[[Subject, CurateConfig], list[Verdict]]
    """Everything wrong with a record; empty if nothing is."""
    repair: Callable[[Record, CurateConfig], list[Repair]] | None = None
    """What can be mended, each repair on top of the one before. All repairs run before the first check."""


@dataclass(frozen=True, slots=True)
class DatasetFilter:
    """One line of the registry: judges a record by what the others are.

    Nothing but a few numbers per row is kept, so a million rows fit into memory.
    """

    name: str
    reasons: tuple[str, ...]
    width: int
    """Numbers kept of each row."""
    key: Callable[[Subject, CurateConfig], tuple[int, ...] | None]
    """`width` unsigned 64-bit numbers about a record, worked out in any process; None leaves the row out."""
    judge: Callable[[NDArray[np.int64], NDArray[np.uint64], CurateConfig], Iterator[tuple[int, Verdict]]]
    """Verdicts by row, from the row numbers `[n]` (ascending) and their keys `[n, width]`."""
    kept_only: bool = False
    """Whether it sees only the rows that nothing else has dropped, after everything else."""


EVERYBODY = ("system", "user", "assistant", "tool")


def rewritten(record: Record, rewrite: Callable[[str], str], *, roles: Collection[str] = EVERYBODY) -> Record:
    """`record`, under a new id, with `rewrite` applied to all that these roles say; a document is the assistant's.

    Where `rewrite` changes nothing, the record itself is returned.
    """
    messages = tuple(_turn(turn, rewrite) if turn.role in roles else turn for turn in record.messages)
    chosen, rejected, text = record.chosen, record.rejected, record.text
    if "assistant" in roles:
        chosen = _turn(chosen, rewrite) if chosen else None
        rejected = _turn(rejected, rewrite) if rejected else None
        text = None if text is None else rewrite(text)
    if (messages, chosen, rejected, text) == (record.messages, record.chosen, record.rejected, record.text):
        return record
    return record.with_content(messages, chosen, rejected, text)


def _turn(message: Message, rewrite: Callable[[str], str]) -> Message:
    """The message itself where nothing changes."""
    content = rewrite(message.content)
    return message if content == message.content else message.model_copy(update={"content": content})
