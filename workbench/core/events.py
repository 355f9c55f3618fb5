"""What a job says while it works: one JSON line per event, flushed, read by progress bars, the TUI, logs and reports.

    {"event": "node_progress", "seq": 17, "at": "...", "node": "train", "done": 12, "total": 60, "unit": "steps", ...}

Order is `seq`, never the clock. A torn last line (the writer was killed) is left for the next read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from workbench.core.records import Text, TrainingSample
from workbench.core.wire import Wire

EVENTS_VERSION = 1


class _Event(Wire):
    v: int = EVENTS_VERSION
    seq: int = 0
    """Set by the writer: 1, 2, 3... over all attempts of the run."""
    at: str = ""
    """Set by the writer: UTC, ISO 8601."""


class RunStarted(_Event):
    """A process began, or took up again, a run."""

    event: Literal["run_started"] = "run_started"
    run: str
    pid: int
    nodes: tuple[str, ...]
    resumed: bool


class NodeStarted(_Event):
    """A node began to work."""

    event: Literal["node_started"] = "node_started"
    node: str
    fingerprint: str


class NodeCached(_Event):
    """A node's artifact was already there."""

    event: Literal["node_cached"] = "node_cached"
    node: str
    fingerprint: str


class NodeProgress(_Event):
    """How far a node is."""

    event: Literal["node_progress"] = "node_progress"
    node: str
    done: int
    total: int | None
    unit: str
    message: Text = ""


class NodeMetric(_Event):
    """Named numbers at one step: loss, learning rate, tokens per second."""

    event: Literal["node_metric"] = "node_metric"
    node: str
    step: int
    values: dict[str, float]


class NodeSample(_Event):
    """An answer of the model in training to one of a few fixed prompts."""

    event: Literal["node_sample"] = "node_sample"
    node: str
    sample: TrainingSample


class NodeMessage(_Event):
    """A remark for people."""

    event: Literal["node_message"] = "node_message"
    node: str
    level: Literal["info", "warning"]
    message: Text


class NodeFinished(_Event):
    """A node's artifact is committed."""

    event: Literal["node_finished"] = "node_finished"
    node: str
    fingerprint: str
    seconds: float
    summary: dict[str, float | int | str]


class NodeFailed(_Event):
    """A node could not do its work."""

    event: Literal["node_failed"] = "node_failed"
    node: str
    message: Text
    exit_code: int


class RunFinished(_Event):
    """The process ends."""

    event: Literal["run_finished"] = "run_finished"
    run: str
    status: Literal["completed", "failed", "cancelled"]
    exit_code: int
    message: Text


Event = Annotated[
    RunStarted
    | NodeStarted
    | NodeCached
    | NodeProgress
    | NodeMetric
    | NodeSample
    | NodeMessage
    | NodeFinished
    | NodeFailed
    | RunFinished,
    Field(discriminator="event"),
]
_EVENT: TypeAdapter[Event] = TypeAdapter(Event)


class EventWriter:
    """Appends numbered, time-stamped events to a file; continues the numbers it finds there."""

    def __init__(self, path: Path, clock: Callable[[], str]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        _drop_torn_tail(path)
        events, _ = read_events(path)
        self._next = max((event.seq for event in events), default=0) + 1
        self._clock = clock
        self._file = path.open("a", encoding="utf-8")

    def write(self, event: Event) -> Event:
        """Numbers, stamps, appends and flushes one event; returns it as written."""
        stamped = event.model_copy(update={"seq": self._next, "at": self._clock()})
        self._next += 1
        self._file.write(stamped.model_dump_json() + "\n")
        self._file.flush()
        return stamped

    def close(self) -> None:
        """Forces the events to disk."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()


def read_events(path: Path, offset: int = 0) -> tuple[list[Event], int]:
    """Events from byte `offset` on, and the offset to continue from; a torn last line is not consumed.

    Lines that are no event of this version are skipped, so that an old reader survives a newer writer.
    """
    if not path.exists():
        return [], offset
    with path.open("rb") as stream:
        stream.seek(offset)
        data = stream.read()
    complete, newline, _ = data.rpartition(b"\n")
    events = list(_parsed(complete.splitlines()))
    return events, offset + len(complete) + len(newline)


def _parsed(lines: list[bytes]) -> Iterator[Event]:
    for line in lines:
        try:
            yield _EVENT.validate_json(line)
        except ValidationError:
            continue


def _drop_torn_tail(path: Path) -> None:
    """Cuts an incomplete last line left by a killed writer, so that the next event starts on its own line."""
    if not path.exists():
        return
    with path.open("rb+") as stream:
        data = stream.read()
        stream.truncate(data.rfind(b"\n") + 1)
