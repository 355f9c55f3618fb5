"""Objectives by name: one line each.

    OBJECTIVES["sft"].build(loaded, records, settings, seed, work_dir, step_log)   ->  a trainer, ready to train

A trainer is one of TRL's with `Checkpointed` before it, after `begin`. Nothing heavy is imported before it is built.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.core.records import Record
from workbench.core.training import ObjectiveName, TrainConfig

if TYPE_CHECKING:
    from workbench.models.loading import LoadedModel
    from workbench.train.checkpointed import Checkpointed, StepLog

Build = Callable[["LoadedModel", Sequence[Record], TrainConfig, int, Path, "StepLog"], "Checkpointed"]
"""Model, training records, resolved or unresolved settings, seed, scratch directory, whom to tell of each step."""


@dataclass(frozen=True, slots=True)
class Objective:
    """One line of the registry."""

    name: ObjectiveName
    kinds: frozenset[str]
    """Kinds of records it learns from; others in the training set are an error."""
    build: Build


def _sft(*arguments: Any) -> Checkpointed:
    from workbench.train.trainer import build_sft  # 8 s: torch, trl and peft

    return build_sft(*arguments)


OBJECTIVES: dict[str, Objective] = {
    objective.name: objective
    for objective in (Objective("sft", frozenset({"chat", "document", "preference"}), _sft),)
}
