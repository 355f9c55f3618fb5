"""A small run of the train stage on the tiny model, attempt by attempt."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contexts import made_up_context
from manifests import made_up_manifest

from workbench.core.config import ModelConfig, TrainConfig
from workbench.core.events import Event
from workbench.core.nodes import TrainNode
from workbench.core.parts import write_rows
from workbench.core.records import Message, Record, Source
from workbench.core.stage import Artifact, Outcome

STEPS = 8
CHECKPOINT_STEPS = 2


def training_records(count: int = 18) -> list[Record]:
    """Short and long questions and answers, all different."""
    return [
        Record(
            id=f"{number:016x}",
            kind="chat",
            messages=(
                Message(role="user", content=f"What is {number} times {number}?"),
                Message(role="assistant", content=f"{number} times {number} is {number * number}. " * (1 + number % 4)),
            ),
            source=Source(dataset="squares"),
        )
        for number in range(count)
    ]


@dataclass
class TrainingRun:
    """Directories and configuration of one `train` node; `attempt` runs the stage once."""

    root: Path
    config: TrainNode
    records: list[Record]
    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        write_rows(self.root / "mix" / "train.jsonl", self.records)
        (self.root / "out").mkdir()
        (self.root / "work").mkdir()

    @property
    def out(self) -> Path:
        return self.root / "out"

    @property
    def checkpoints(self) -> Path:
        return self.root / "work" / "checkpoints"

    def attempt(
        self, emit: Callable[[Event], object] | None = None, cancelled: Callable[[], bool] = lambda: False
    ) -> Outcome:
        from workbench.train.stage import run

        context = made_up_context(
            "train",
            self.out,
            work_dir=self.root / "work",
            project=self.root,
            seed=self.config.seed,
            emit=emit or self.events.append,
            cancelled=cancelled,
        )
        return run(self.config, {"mix": Artifact(self.root / "mix", made_up_manifest("mix"))}, context)

    def adapter_bytes(self) -> dict[str, bytes]:
        """Every file of the adapter."""
        return {path.name: path.read_bytes() for path in sorted((self.out / "adapter").iterdir())}

    def curve(self) -> list[dict[str, Any]]:
        """The curve without its clock."""
        rows = [json.loads(line) for line in (self.out / "curve.jsonl").read_text().splitlines()]
        return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]

    def summary(self) -> dict[str, Any]:
        summary: dict[str, Any] = json.loads((self.out / "training.json").read_text())
        return summary


def tiny_train_node(model: Path, **settings: Any) -> TrainNode:
    """Eight steps with dropout, warm-up and accumulation, a checkpoint every second step."""
    precision = settings.pop("precision", "nf4")
    train: dict[str, Any] = {
        "max_steps": STEPS,
        "batch_size": 2,
        "gradient_accumulation": 2,
        "checkpoint_steps": CHECKPOINT_STEPS,
        "rank": 4,
        "dropout": 0.1,
        "warmup_steps": 2,
        "learning_rate": 1e-3,
        "threads": 1,
        "samples": 0,
    }
    return TrainNode(
        train=TrainConfig(**(train | settings)),
        model=ModelConfig(ref=str(model), precision=precision, max_length=96),
        seed=3,
    )
