"""Following a job by its events."""

from __future__ import annotations

import time
from collections.abc import Callable

from workbench.core.events import Event, read_events
from workbench.core.paths import Project
from workbench.loop.runs import is_locked, run_directory

_POLL_S = 0.2


def follow(project: Project, run: str, on_event: Callable[[Event], object]) -> None:
    """Passes on the run's events from the beginning until its process ends."""
    directory = run_directory(project, run)
    offset = 0
    while True:
        alive = is_locked(directory)
        events, offset = read_events(directory / "events.jsonl", offset)
        for event in events:
            on_event(event)
        if not alive:
            return
        time.sleep(_POLL_S)
