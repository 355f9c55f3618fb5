"""Reading a few lines in a test, and running the stage on a card."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from contexts import made_up_context
from ingest_makers import Read, ReadFile, RunStage, StageRun, card_of

from workbench.core.cards import Card
from workbench.core.events import Event
from workbench.core.nodes import IngestNode
from workbench.ingest.read import read_records
from workbench.ingest.stage import STAGE


@pytest.fixture
def read_file(tmp_path: Path) -> ReadFile:
    """Writes `content` as a file of the project and reads it with a card."""

    def read(name: str, content: str | bytes, **settings: Any) -> Read:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        warnings: list[str] = []
        return Read(read_records(card_of(name, **settings), tmp_path, warnings.append), warnings)

    return read


@pytest.fixture
def run_stage(tmp_path: Path) -> RunStage:
    """Runs the stage on a card in `tmp_path`, into a directory of its own."""

    def run(card: Card, seed: int = 0, cancelled: bool = False) -> StageRun:
        out = tmp_path / f"out-{len(list(tmp_path.glob('out-*')))}"
        out.mkdir()
        events: list[Event] = []
        context = made_up_context(
            f"ingest:{card.name}", out, project=tmp_path, seed=seed, emit=events.append, cancelled=lambda: cancelled
        )
        return StageRun(STAGE.run(IngestNode(card=card, seed=seed), {}, context), out, events)

    return run


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real files for development; tests that need them are skipped where they are not."""
    root = Path(__file__).resolve().parents[2]
    path = Path(os.environ.get("WORKBENCH_SHARED_DATA", root.parent / "shared" / "data"))
    if not path.is_dir():
        pytest.skip("no shared data (WORKBENCH_SHARED_DATA)")
    return path
