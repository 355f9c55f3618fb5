"""A card, and what reading a file or running the stage gives."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.core.cards import Card
from workbench.core.events import Event, NodeMessage
from workbench.core.records import Quarantined, Record
from workbench.core.stage import Outcome
from workbench.ingest.read import Reading


@dataclass
class Read:
    """What became of a file."""

    reading: Reading
    warnings: list[str]

    @property
    def records(self) -> list[Record]:
        return self.reading.records

    @property
    def quarantined(self) -> list[Quarantined]:
        return self.reading.quarantined

    @property
    def reasons(self) -> list[str]:
        return [row.reason for row in self.quarantined]


@dataclass
class StageRun:
    """What the stage gave."""

    outcome: Outcome
    out: Path
    events: list[Event] = field(default_factory=list)

    @property
    def warnings(self) -> list[str]:
        messages = [event for event in self.events if isinstance(event, NodeMessage)]
        return [event.message for event in messages if event.level == "warning"]


ReadFile = Callable[..., Read]
RunStage = Callable[..., StageRun]


def card_of(path: str, **settings: Any) -> Card:
    """A card of a file with a few settings."""
    return Card.model_validate({"name": "data", "source": {"kind": "file", "path": path}, **settings})


ASK = {"role": "user", "content": "Capital of Peru?"}
SAY = {"role": "assistant", "content": "Lima"}
CALL = {"name": "now", "arguments": {"zone": "UTC"}}


def lines(*rows: dict[str, Any]) -> str:
    """JSON Lines."""
    return "".join(json.dumps(row) + "\n" for row in rows)


def turns(record: Record) -> list[tuple[str, str]]:
    """Role and text of each turn."""
    return [(turn.role, turn.content) for turn in record.messages]
