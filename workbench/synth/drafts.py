"""A draft: what a strategy made, before any check; and how strategies choose the documents they make it from.

    Draft(strategy="doc_pairs", seed=<document of textwrap.dedent>, question="What does `textwrap.dedent` do?",
          answer="Remove any common leading whitespace from every line in `text`.", ...)
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from workbench.core.config import StrategyConfig
from workbench.core.fingerprints import short_id
from workbench.core.records import Message, Record, Source, record_id
from workbench.endpoints.calls import Endpoint

Progress = Callable[[int, int], object]
"""Told how many calls of how many are done."""


@dataclass(frozen=True, slots=True)
class Draft:
    """One question with its answer, and where both came from."""

    strategy: str
    seed: Record
    passage: str
    """The text the answer must be in."""
    question: str = ""
    answer: str = ""
    evidence: str = ""
    """The sentence of the passage that supports the answer."""
    teacher: str | None = None
    raw_reply: str = ""
    problem: str = ""
    """Why the reply could not be read as a pair; empty if it could."""
    error: str | None = None
    """Why there is no reply at all."""

    def record(self) -> Record | None:
        """The pair as a training example; None if the reply could not be read."""
        if not self.question or not self.answer:
            return None
        messages = (Message(role="user", content=self.question), Message(role="assistant", content=self.answer))
        seen = self.seed.source
        source = Source(
            dataset=f"synth:{self.strategy}",
            file=seen.file,
            row=seen.row,
            line=seen.line,
            part_of=seen.part_of or self.seed.id,
        )
        return Record(
            id=record_id("chat", messages), kind="chat", messages=messages, source=source, topic=self.seed.topic
        )

    def id(self) -> str:
        """Names the draft by what it is made of."""
        return short_id([self.strategy, self.seed.id, self.passage, self.question, self.answer, self.raw_reply])


@dataclass(frozen=True, slots=True)
class Making:
    """What a strategy works with."""

    config: StrategyConfig
    documents: Callable[[], Iterator[Record]]
    """The documents it may use, from the start each time."""
    endpoint: Endpoint | None
    seed: int
    progress: Progress
    cancelled: Callable[[], bool]
    warn: Callable[[str], object]


def drawn(documents: Iterable[Record], count: int, seed: int) -> list[Record]:
    """`count` documents by the order of SHA-256(seed, id): a sample over the whole input, not its beginning.

    Holds `count` documents at most, however many there are.
    """
    return heapq.nsmallest(count, documents, key=lambda document: draw_order(seed, document.id))


def draw_order(seed: int, *names: str) -> str:
    """A number-like text that is evenly spread over names and repeatable."""
    return hashlib.sha256("\x1f".join((str(seed), *names)).encode("utf-8", "surrogatepass")).hexdigest()
