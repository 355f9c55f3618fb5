"""Every objective and what builds its trainer, one line each.

    build(Job(node, loaded, records, project, work_dir, step_log))   ->   a trainer that the stage checks and runs

A builder gets records of the kinds its objective learns from and nothing else (`workbench.train.refusals`), and gives
a trainer with the adapter in it, its rows in their final order, and `begin` called.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.core.nodes import TrainNode
from workbench.core.objectives import Objective
from workbench.core.records import Record

if TYPE_CHECKING:
    from workbench.models.loading import LoadedModel
    from workbench.train.checkpointed import Checkpointed
    from workbench.train.step_log import StepLog


@dataclass(frozen=True, slots=True)
class Job:
    """What a builder gets."""

    node: TrainNode
    """Settings as configured (`node.train`, nothing resolved), model, seed."""
    loaded: LoadedModel
    records: Sequence[Record]
    project: Path
    work_dir: Path
    """Scratch that outlives a kill."""
    step_log: StepLog


_BUILDERS: dict[Objective, tuple[str, str]] = {
    "sft": ("workbench.train.trainer", "build_sft"),
    "pretrain": ("workbench.train.trainer", "build_sft"),
    "dpo": ("workbench.train.objectives.preference", "build_dpo"),
    "orpo": ("workbench.train.objectives.preference", "build_orpo"),
    "kto": ("workbench.train.objectives.kto", "build"),
    "reward": ("workbench.train.objectives.reward", "build"),
    "grpo": ("workbench.train.objectives.grpo", "build"),
    "gkd": ("workbench.train.objectives.gkd", "build"),
}
"""Module and function: imported when asked for, since trl's trainers take 3 to 8 s."""


def build(job: Job) -> Checkpointed:
    """The trainer of the job's objective. IncompleteError if nothing is left to learn from."""
    module, function = _BUILDERS[job.node.train.objective]
    builder: Callable[[Job], Checkpointed] = getattr(import_module(module), function)
    return builder(job)
