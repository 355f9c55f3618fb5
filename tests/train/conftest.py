"""Runs on the tiny model: any number of them, and the unbroken one they are compared with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from training_run import TrainingRun, tiny_train_node, training_records

from workbench.core.records import Record


@pytest.fixture
def make_run(tiny_model_dir: Path, tmp_path: Path) -> Callable[..., TrainingRun]:
    """Makes runs on the tiny model, each in a directory of its own."""

    def make(name: str, records: list[Record] | None = None, **settings: Any) -> TrainingRun:
        (tmp_path / name).mkdir()
        chosen = training_records() if records is None else records
        return TrainingRun(tmp_path / name, tiny_train_node(tiny_model_dir, **settings), chosen)

    return make


@pytest.fixture(scope="session")
def unbroken(tiny_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingRun:
    """The run without an interruption that all others are compared with."""
    run = TrainingRun(tmp_path_factory.mktemp("unbroken"), tiny_train_node(tiny_model_dir), training_records())
    run.attempt()
    return run
