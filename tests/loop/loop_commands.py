"""The command as a user runs it: in a process of its own, which may be killed at a chosen event."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from workbench.core.events import Event, read_events
from workbench.core.paths import Project
from workbench.loop.runs import read_run


def command(root: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "workbench", "-C", str(root), *arguments]


def run(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command(root, *arguments), capture_output=True, text=True, check=False, timeout=500, env=environment
    )


def statuses(root: Path, run: str) -> dict[str, str]:
    return {node.name: node.status for node in read_run(Project(root), run).nodes}


def kill_when(root: Path, run: str, process: subprocess.Popen[bytes], reached: Callable[[Event], bool]) -> bool:
    """SIGKILL at the first new event that `reached` accepts; False if the process ended before."""
    path = Project(root).runs / run / "events.jsonl"
    _, offset = read_events(path)
    while process.poll() is None:
        events, offset = read_events(path, offset)
        if any(reached(event) for event in events):
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            return True
        time.sleep(0.01)
    return False
