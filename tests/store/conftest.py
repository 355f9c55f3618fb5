"""One project on disk, as a run leaves it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from sample_project import build_project, load_everything

from workbench.core.paths import Project


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A project with a finished run, without an index and with one that was loaded piece by piece."""
    plain = tmp_path_factory.mktemp("plain") / "project"
    build_project(plain)
    indexed = tmp_path_factory.mktemp("indexed") / "project"
    shutil.copytree(plain, indexed)
    load_everything(Project(indexed))
    return plain, indexed


@pytest.fixture
def project(made_once: tuple[Path, Path], tmp_path: Path) -> Project:
    """A finished run that no index knows."""
    return Project(Path(shutil.copytree(made_once[0], tmp_path / "project")))


@pytest.fixture
def indexed(made_once: tuple[Path, Path], tmp_path: Path) -> Project:
    """The same, loaded piece by piece as the runner does."""
    return Project(Path(shutil.copytree(made_once[1], tmp_path / "project")))
