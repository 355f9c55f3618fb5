"""The loader's hook: after a commit the index learns of it, or stays behind and catches up with the next commit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from workbench.adapters.log import log_path
from workbench.core.errors import WorkbenchError
from workbench.core.paths import Project
from workbench.core.stage import Artifact


def index_artifact(project: Project, artifact: Artifact) -> str | None:
    """Loads one artifact; returns what kept it out of the index, or None."""
    from workbench.store.loader import load_artifact

    return _attempt(lambda: load_artifact(project.index, artifact.path))


def index_run(project: Project, directory: Path) -> str | None:
    """Loads a run, what a busy index left behind, decisions and adapters; returns what kept them out, or None."""
    from workbench.store.loader import load_pending, load_run

    return (
        _attempt(lambda: load_run(project.index, directory))
        or _attempt(lambda: load_pending(project.index, project))
        or index_decisions(project)
        or index_adapters(project)
    )


def index_decisions(project: Project) -> str | None:
    """Loads the decisions; returns what kept them out of the index, or None."""
    from workbench.store.loader import load_decisions

    return _attempt(lambda: load_decisions(project.index, project.decisions))


def index_adapters(project: Project) -> str | None:
    """Loads the adapters' log; returns what kept it out of the index, or None."""
    from workbench.store.loader import load_adapters

    return _attempt(lambda: load_adapters(project.index, log_path(project)))


def _attempt(load: Callable[[], object]) -> str | None:
    """A busy index is no problem (the next loader catches up), a damaged one is said."""
    try:
        load()
    except WorkbenchError as error:
        return str(error)
    return None
