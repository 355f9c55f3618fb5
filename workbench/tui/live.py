"""A run while it happens, folded from its events: what a screen shows, without a screen.

live = LiveRun((("train", "train"), ("gate", "gate")))
live.apply(events)          -> live.nodes["train"].done, live.points["train"], live.eta_s(now)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from workbench.core.events import (
    Event,
    NodeCached,
    NodeFailed,
    NodeFinished,
    NodeMessage,
    NodeMetric,
    NodeProgress,
    NodeSample,
    NodeStarted,
    RunFinished,
    RunStarted,
)
from workbench.core.records import TrainingSample

MAX_POINTS = 2000
NodeStatus = Literal["pending", "running", "cached", "done", "failed"]


@dataclass(slots=True)
class LiveNode:
    """One node so far."""

    name: str
    stage: str
    status: NodeStatus = "pending"
    done: int = 0
    total: int | None = None
    unit: str = ""
    message: str = ""
    seconds: float | None = None
    started_at: datetime | None = None
    first_progress: tuple[datetime, int] | None = None
    last_progress: tuple[datetime, int] | None = None

    def eta_s(self) -> float | None:
        """Seconds to its end at the pace since its first report of this attempt; None while that says nothing."""
        if self.total is None or self.first_progress is None or self.last_progress is None:
            return None
        (began, first), (now, last) = self.first_progress, self.last_progress
        if last <= first:
            return None
        return (now - began).total_seconds() / (last - first) * max(0, self.total - last)


@dataclass(slots=True)
class LiveRun:
    """All nodes of one run, its loss curves and its messages."""

    plan: Sequence[tuple[str, str]]
    """Name and stage of every node, in the plan's order."""
    nodes: dict[str, LiveNode] = field(default_factory=dict)
    points: dict[str, deque[tuple[int, float]]] = field(default_factory=dict)
    """Step and loss of each training node, the last 2,000."""
    numbers: dict[str, dict[str, float]] = field(default_factory=dict)
    """What each node last said of every other quantity: `learning_rate`, `tokens_per_s`, `kl`..."""
    validation: dict[str, dict[int, float]] = field(default_factory=dict)
    """Step to validation loss of each training node."""
    samples: dict[str, dict[str, TrainingSample]] = field(default_factory=dict)
    """The last answer of each training node to each of its prompts, by the prompt's record."""
    outcome: RunFinished | None = None
    pid: int | None = None

    def __post_init__(self) -> None:
        for name, stage in self.plan:
            self.nodes.setdefault(name, LiveNode(name, stage))

    def apply(self, events: Iterable[Event]) -> list[str]:
        """Takes events in; gives the lines they add to the log."""
        return [line for event in events if (line := self._apply(event)) is not None]

    def _apply(self, event: Event) -> str | None:
        match event:
            case RunStarted(pid=pid, resumed=resumed, nodes=names):
                self.outcome, self.pid = None, pid
                for name in names:
                    node = self._node(name)
                    node.status = "pending" if node.status in ("running", "failed") else node.status
                return "run taken up again" if resumed else None
            case RunFinished():
                self.outcome = event
                return f"run {event.status}: {event.message}"
            case NodeStarted(node=name, at=at):
                self.nodes[name] = LiveNode(name, self._node(name).stage, "running", started_at=_time(at))
                return None
            case NodeCached(node=name):
                self._node(name).status = "cached"
                return None
            case NodeProgress(node=name):
                self._progress(event)
                return None
            case NodeMetric(node=name, step=step, values=values):
                self._metric(name, step, dict(values))
                return None
            case NodeSample(node=name, sample=sample):
                self.samples.setdefault(name, {})[sample.record] = sample
                return None
            case NodeMessage(node=name, level=level, message=message):
                return f"{name}: {'warning: ' if level == 'warning' else ''}{message}"
            case NodeFinished(node=name, seconds=seconds):
                node = self._node(name)
                node.status, node.seconds, node.message = "done", seconds, ""
                return f"{name}: done in {seconds:.1f} s"
            case NodeFailed(node=name, message=message):
                node = self._node(name)
                node.status, node.message = "failed", message
                return f"{name}: failed: {message}"

    def _node(self, name: str) -> LiveNode:
        return self.nodes.setdefault(name, LiveNode(name, name.partition(":")[0]))

    def _progress(self, event: NodeProgress) -> None:
        node = self._node(event.node)
        node.done, node.total, node.unit, node.message = event.done, event.total, event.unit, event.message
        now = _time(event.at)
        if now is None:
            return
        if node.first_progress is None or event.done < node.first_progress[1] or event.unit != node.unit:
            node.first_progress = (now, event.done)
        node.last_progress = (now, event.done)

    def _metric(self, name: str, step: int, values: dict[str, float]) -> None:
        if (loss := values.pop("loss", None)) is not None:
            self._point(name, step, loss)
        if (validated := values.pop("validation_loss", None)) is not None:
            looks = self.validation.setdefault(name, {})
            for later in [at for at in looks if at > step]:  # a resumed run repeats the looks since its checkpoint
                del looks[later]
            looks[step] = validated
        self.numbers.setdefault(name, {}).update(values)

    def _point(self, name: str, step: int, loss: float) -> None:
        points = self.points.setdefault(name, deque(maxlen=MAX_POINTS))
        while points and points[-1][0] >= step:  # a resumed run repeats the steps since its checkpoint
            points.pop()
        points.append((step, loss))

    def shown_training(self) -> str | None:
        """The training to look at: the one at work, else the last that had a step or an answer."""
        running = self.running()
        if running is not None and (running.name in self.points or running.name in self.samples):
            return running.name
        return next(reversed(self.points or self.samples), None)

    def running(self) -> LiveNode | None:
        """The node at work."""
        return next((node for node in self.nodes.values() if node.status == "running"), None)

    def finished_nodes(self) -> int:
        """Nodes that are done or were cached."""
        return sum(node.status in ("done", "cached") for node in self.nodes.values())

    def run_eta_s(self, usual_seconds: Mapping[str, float], now: datetime) -> float | None:
        """Seconds to the end of the run: the running node at its pace, the others as they took in earlier runs; None if
        one of them is not known."""
        total = 0.0
        for node in self.nodes.values():
            if node.status in ("done", "cached"):
                continue
            left = node.eta_s() if node.status == "running" else None
            if left is None:
                usual = usual_seconds.get(node.name)
                if usual is None:
                    return None
                elapsed = (now - node.started_at).total_seconds() if node.started_at else 0.0
                left = max(0.0, usual - elapsed)
            total += left
        return total


def _time(at: str) -> datetime | None:
    return datetime.fromisoformat(at) if at else None
