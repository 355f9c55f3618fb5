"""What a stage is: a function from a config and input artifacts to files in `ctx.out_dir`.

    def run(config: MixNode, inputs: Inputs, ctx: Context) -> Outcome:
        write_rows(ctx.out_dir / "train.jsonl", mixed)
        return Done({"rows": len(mixed)})

A stage knows neither the store, nor the terminal, nor other stages. It reports through `ctx.emit`, asks
`ctx.cancelled()` between steps, and keeps what it wants to find again after a kill in `ctx.work_dir`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from workbench.core.errors import ExitCode
from workbench.core.events import Event, NodeMessage, NodeMetric, NodeProgress, NodeSample
from workbench.core.records import Manifest, TrainingSample
from workbench.core.wire import Wire

StageName = Literal["ingest", "curate", "synth", "mix", "train", "score", "compare", "gate", "report"]
STAGES: tuple[StageName, ...] = ("ingest", "curate", "synth", "mix", "train", "score", "compare", "gate", "report")


@dataclass(frozen=True, slots=True)
class Artifact:
    """A committed output of a node."""

    path: Path
    manifest: Manifest

    def part(self, name: str) -> Path:
        """Path of a part; the file need not exist."""
        return self.path / name


Inputs = Mapping[str, Artifact]
"""Node name to its artifact, e.g. `{"ingest:python-docs": ..., "train": ...}`."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a stage gets from whoever runs it."""

    node: str
    out_dir: Path
    """Empty directory for the parts; the runner commits it."""
    work_dir: Path
    """Scratch that survives a kill: the same fingerprint finds the same directory again."""
    project: Path
    """Root of the project, for relative paths in cards and suites."""
    seed: int
    emit: Callable[[Event], object]
    clock: Callable[[], str]
    """UTC now, ISO 8601."""
    cancelled: Callable[[], bool]
    """True once the user wants the job to stop."""
    fingerprint: str = ""
    """The node's own."""

    def progress(self, done: int, total: int | None, unit: str, message: str = "") -> None:
        """Says how far the node is."""
        self.emit(NodeProgress(node=self.node, done=done, total=total, unit=unit, message=message))

    def metric(self, step: int, **values: float) -> None:
        """Reports named numbers at a step."""
        self.emit(NodeMetric(node=self.node, step=step, values=values))

    def sample(self, sample: TrainingSample) -> None:
        """Reports an answer of the model in training."""
        self.emit(NodeSample(node=self.node, sample=sample))

    def info(self, message: str) -> None:
        """A remark for people."""
        self.emit(NodeMessage(node=self.node, level="info", message=message))

    def warn(self, message: str) -> None:
        """A remark that people should not miss."""
        self.emit(NodeMessage(node=self.node, level="warning", message=message))


Summary = dict[str, float | int | str]


@dataclass(frozen=True, slots=True)
class Done:
    """The parts in `out_dir` are complete."""

    summary: Summary


@dataclass(frozen=True, slots=True)
class Failed:
    """The work cannot be done: message for people, and the exit code it deserves."""

    message: str
    exit_code: ExitCode = ExitCode.INCOMPLETE


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The user asked to stop; `work_dir` holds what was reached."""


Outcome = Done | Failed | Cancelled


def no_external(config: Any, project: Path) -> dict[str, str]:
    """For stages that read nothing but their inputs."""
    return {}


@dataclass(frozen=True, slots=True)
class Stage:
    """One line of the registry."""

    name: StageName
    version: int
    """Raised whenever the same inputs would give another output."""
    config: type[Wire] | tuple[type[Wire], ...]
    run: Callable[[Any, Inputs, Context], Outcome]
    libraries: tuple[str, ...] = ()
    """Distributions whose version is part of the fingerprint."""
    external: Callable[[Any, Path], dict[str, str]] = no_external
    """Name to SHA-256 of everything the node reads outside of artifacts; called without heavy imports."""
