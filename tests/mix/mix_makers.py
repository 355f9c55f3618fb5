"""Records whose trainable tokens can be counted by hand, and what a run of the stage gave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from workbench.core.nodes import MixNode
from workbench.core.records import Drop, Finding, Message, Record, Source, record_id
from workbench.core.results import MixSummary, Share
from workbench.core.stage import Artifact, Context, Done


def pair(dataset: str, number: int, answer_words: int, *, label: bool | None = None) -> Record:
    """A question and an answer of so many words: one trainable token each, and one that ends the turn."""
    answer = " ".join([f"{dataset}-{number}"] * answer_words)
    turns = (Message(role="user", content=f"Question {number} ?"), Message(role="assistant", content=answer))
    return Record(
        id=record_id("chat", turns),
        kind="chat",
        messages=turns,
        label=label,
        source=Source(dataset=dataset, row=number),
    )


def pairs(dataset: str, count: int, answer_words: int) -> list[Record]:
    return [pair(dataset, number, answer_words) for number in range(count)]


def drops(records: Sequence[Record], *reasons: str) -> list[Drop]:
    """Records that curation dropped, for these reasons."""
    found = [Finding(record_id="0" * 16, row=0, filter="some", reason=why, action="drop") for why in reasons or ("x",)]
    return [Drop(row=row, record=record, findings=tuple(found)) for row, record in enumerate(records)]


def document(dataset: str, text: str) -> Record:
    return Record(id=record_id("document", text=text), kind="document", text=text, source=Source(dataset=dataset))


@dataclass(frozen=True)
class Ready:
    config: MixNode
    inputs: dict[str, Artifact]
    context: Context
    said: list[Any]


@dataclass(frozen=True)
class Mixed:
    outcome: Done
    rows: list[Record]
    summary: MixSummary
    said: list[Any]

    def share(self, name: str) -> Share:
        return next(share for share in self.summary.shares if share.name == name)

    def messages(self, level: str) -> list[str]:
        return [event.message for event in self.said if event.event == "node_message" and event.level == level]
