"""The store's sample project, in the terminal."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.css.query import NoMatches

sys.path.append(str(Path(__file__).parent.parent / "store"))

from sample_project import build_project, load_everything

from workbench.core.paths import Project
from workbench.tui.jobs import LoopJobs


class RecordedJobs(LoopJobs):
    """Reads runs as they are; starts and stops nothing, and says what it was asked for."""

    def __init__(self) -> None:
        self.started: list[object] = []
        self.cancelled: list[str] = []
        self.resumed: list[str] = []
        self.run = ""

    def start_demo(self, project: Project) -> tuple[Project, str]:
        self.started.append("demo")
        return project, self.run

    def start_loop(self, project: Project, loop_file: Path) -> str:
        self.started.append(loop_file)
        return self.run

    def cancel(self, project: Project, run: str) -> None:
        self.cancelled.append(run)

    def resume(self, project: Project, run: str) -> None:
        self.resumed.append(run)


@pytest.fixture(scope="session")
def made_once_for_tui(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a finished run and its index."""
    directory = tmp_path_factory.mktemp("tui") / "project"
    load_everything(build_project(directory))
    return directory


@pytest.fixture
def project(made_once_for_tui: Path, tmp_path: Path) -> Project:
    """A copy of it."""
    return Project(Path(shutil.copytree(made_once_for_tui, tmp_path / "project")))


@pytest.fixture
def jobs() -> RecordedJobs:
    """Jobs that are only noted."""
    from sample_project import RUN

    recorded = RecordedJobs()
    recorded.run = RUN
    return recorded


@pytest.fixture
def until() -> Callable[..., object]:
    """Waits until a condition holds, letting the app work meanwhile."""

    async def wait(pilot: Any, condition: Callable[[], object]) -> None:
        def holds() -> object:
            try:
                return condition()
            except NoMatches:  # the screen is not composed yet
                return False

        for _ in range(400):
            if holds():
                return
            await pilot.pause(0.02)
        assert condition()

    return wait
