"""Runs as they stand on disk: what a list, a progress view or an attached terminal shows."""

from __future__ import annotations

import fcntl
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from workbench.core.commands import RESUMABLE, RUN
from workbench.core.errors import UsageError
from workbench.core.events import (
    Event,
    NodeCached,
    NodeFailed,
    NodeFinished,
    NodeProgress,
    NodeStarted,
    RunFinished,
    RunStarted,
    read_events,
)
from workbench.core.paths import Project

RunStatus = Literal["running", "completed", "failed", "cancelled", "killed"]
NodeStatus = Literal["pending", "running", "cached", "done", "failed"]


@dataclass(frozen=True, slots=True)
class NodeView:
    """One node of a run."""

    name: str
    stage: str
    status: NodeStatus = "pending"
    done: int = 0
    total: int | None = None
    unit: str = ""
    message: str = ""
    seconds: float | None = None
    fingerprint: str | None = None


@dataclass(frozen=True, slots=True)
class RunView:
    """One run."""

    run: str
    status: RunStatus
    created_at: str
    pid: int | None
    exit_code: int | None
    message: str
    command: str
    nodes: tuple[NodeView, ...]

    def node(self, name: str) -> NodeView | None:
        """The node with this name."""
        return next((node for node in self.nodes if node.name == name), None)


def list_runs(project: Project) -> list[RunView]:
    """All runs, newest first."""
    if not project.runs.is_dir():
        return []
    runs = [read_run(project, path.name) for path in project.runs.iterdir() if path.is_dir()]
    return sorted(runs, key=lambda run: (run.created_at, run.run), reverse=True)


def read_run(project: Project, run: str) -> RunView:
    """One run from its plan and its events; UsageError if there is no such run."""
    directory = run_directory(project, run)
    alive = is_locked(directory)
    if not (directory / "plan.json").is_file():
        return _without_plan(directory, alive)
    plan = _read_plan(directory)
    events, _ = read_events(directory / "events.jsonl")
    view = RunView(
        run=run,
        status="running",
        created_at=str(plan.get("created_at", "")),
        pid=None,
        exit_code=None,
        message="",
        command=str(plan.get("command", "")),
        nodes=tuple(
            NodeView(name=node["name"], stage=node["stage"], fingerprint=node.get("fingerprint"))
            for node in plan["nodes"]
        ),
    )
    for event in events:
        view = _after(view, event)
    if view.status == "running" and not alive:
        return replace(view, status="killed", message=f"the process is gone; {continuation(run, view.command)}")
    return view


def continuation(run: str, command: str) -> str:
    """How a run goes on that `command` started and that did not end as it should."""
    if command.startswith(RESUMABLE):
        return f"continue with: {RUN} --resume {run}"
    if not command:
        return "start it again"
    return f"the same command again goes on where it was: {command}"


def _without_plan(directory: Path, alive: bool) -> RunView:
    """A job that is still reading its configuration, or that could not."""
    created = datetime.fromtimestamp(directory.stat().st_mtime, UTC).isoformat(timespec="seconds")
    log = directory / "log.txt"
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() if log.is_file() else []
    return RunView(
        run=directory.name,
        status="running" if alive else "failed",
        created_at=created,
        pid=None,
        exit_code=None,
        message="starting" if alive else "\n".join(lines[-5:]) or "ended before it made a plan",
        command="",
        nodes=(),
    )


def run_directory(project: Project, run: str) -> Path:
    """The run's directory; UsageError if there is none."""
    directory = project.runs / run
    if Path(run).name != run or not directory.is_dir():
        raise UsageError(f"no run named {run!r}", where=str(project.runs), next_step="workbench runs list")
    return directory


def _read_plan(directory: Path) -> dict[str, Any]:
    try:
        plan = json.loads((directory / "plan.json").read_text(encoding="utf-8"))
        assert isinstance(plan, dict) and isinstance(plan["nodes"], list)
    except (json.JSONDecodeError, KeyError, AssertionError):
        raise UsageError("plan.json is damaged", where=str(directory), next_step="start a new run") from None
    return plan


def _after(view: RunView, event: Event) -> RunView:
    match event:
        case RunStarted(pid=pid):
            fresh = tuple(replace(node, status="pending") if node.status == "running" else node for node in view.nodes)
            return replace(view, status="running", pid=pid, exit_code=None, message="", nodes=fresh)
        case RunFinished(status=status, exit_code=code, message=message):
            return replace(view, status=status, exit_code=code, message=message)
        case NodeStarted(node=name, fingerprint=fingerprint):
            return _node(view, name, status="running", fingerprint=fingerprint, message="")
        case NodeCached(node=name, fingerprint=fingerprint):
            return _node(view, name, status="cached", fingerprint=fingerprint)
        case NodeProgress(node=name, done=done, total=total, unit=unit, message=message):
            return _node(view, name, done=done, total=total, unit=unit, message=message)
        case NodeFinished(node=name, seconds=seconds, fingerprint=fingerprint):
            return _node(view, name, status="done", seconds=seconds, fingerprint=fingerprint, message="")
        case NodeFailed(node=name, message=message):
            return _node(view, name, status="failed", message=message)
        case _:
            return view


def _node(view: RunView, name: str, **changes: Any) -> RunView:
    nodes = tuple(replace(node, **changes) if node.name == name else node for node in view.nodes)
    return replace(view, nodes=nodes)


def is_locked(directory: Path) -> bool:
    """Whether a process works on the run: it holds the lock until it ends, however it ends."""
    try:
        with (directory / "lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
