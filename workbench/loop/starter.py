"""New projects: the starter's suites, cards and configuration, copied."""

from __future__ import annotations

import shutil
from pathlib import Path

from workbench.core.errors import UsageError
from workbench.core.paths import Project, starter_dir
from workbench.loop.settings import PROJECT_FILE

_COPIED = (PROJECT_FILE, "evals", "datasets_cfg")


def create_project(directory: Path) -> tuple[Path, ...]:
    """Copies the starter into `directory` (made if missing); returns what was written and never replaces a file."""
    if taken := [name for name in _COPIED if (directory / name).exists()]:
        raise UsageError(f"already has {', '.join(taken)}", where=str(directory), next_step="choose an empty directory")
    source = starter_dir()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name in _COPIED:
            if (source / name).is_dir():
                shutil.copytree(source / name, directory / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(source / name, directory / name)
    except OSError as error:
        raise UsageError(
            f"directory is not writable: {error.strerror}", where=str(error.filename or directory)
        ) from None
    return tuple(directory / name for name in _COPIED)


def demo_project(root: Path, *, write: bool = True) -> tuple[Project, bool]:
    """Where the demo runs, and whether it was made just now.

    A project whose workbench.yaml is still the starter's is used as it is; otherwise `workbench-demo` below `root`.
    `write=False` plans against the starter itself instead of making a project.
    """
    for candidate in (root, root / "workbench-demo"):
        if _is_starter(candidate):
            return Project(candidate), False
    if not write:
        return Project(starter_dir()), False
    create_project(root / "workbench-demo")
    return Project(root / "workbench-demo"), True


def _is_starter(directory: Path) -> bool:
    file = directory / PROJECT_FILE
    return file.is_file() and file.read_bytes() == (starter_dir() / PROJECT_FILE).read_bytes()
