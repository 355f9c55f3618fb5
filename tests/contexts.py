"""What a stage is run in, where no runner runs it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from workbench.core.events import Event
from workbench.core.stage import Context

NOW = "2026-01-01T00:00:00Z"


def made_up_context(
    node: str,
    out_dir: Path,
    *,
    work_dir: Path | None = None,
    project: Path | None = None,
    seed: int = 0,
    emit: Callable[[Event], object] = lambda event: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Context:
    """A context whose clock stands still; everything in one directory unless told otherwise."""
    return Context(
        node=node,
        out_dir=out_dir,
        work_dir=work_dir or out_dir,
        project=project or out_dir,
        seed=seed,
        emit=emit,
        clock=lambda: NOW,
        cancelled=cancelled,
    )
