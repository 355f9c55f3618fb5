"""Detached jobs: a run that outlives the terminal it was started from."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from workbench.core.commands import RESUMABLE
from workbench.core.errors import IncompleteError, UsageError
from workbench.core.paths import Project, importable_environment
from workbench.loop.runs import continuation, read_run

LOCK_FD = "WORKBENCH_RUN_LOCK_FD"
"""Environment variable with the inherited descriptor of the run's lock."""


def new_run_id(project: Project, name: str, now: datetime | None = None) -> str:
    """`NAME-YYYYMMDD-HHMMSS`, with a counter if that is taken; the run's directory is created to reserve it."""
    stamp = (now or datetime.now(UTC)).strftime("%Y%m%d-%H%M%S")
    for attempt in range(1, 1000):
        run = f"{name}-{stamp}" if attempt == 1 else f"{name}-{stamp}-{attempt}"
        try:
            (project.runs / run).mkdir(parents=True)
        except FileExistsError:
            continue
        except (PermissionError, NotADirectoryError) as error:
            raise UsageError(
                f"directory is not writable: {error.strerror}",
                where=str(project.state),
                next_step="choose another with -C",
            ) from None
        return run
    raise IncompleteError("a thousand runs were started in the same second", where=str(project.runs))


def spawn(project: Project, arguments: list[str], name: str = "run") -> str:
    """Starts `workbench ARGUMENTS --run-id RUN` in a session of its own and returns RUN at once.

    `arguments` begin with `run`, `demo`, `ablate`, `iterate` or `sweep`. Output goes to the run's log.txt.
    """
    run = new_run_id(project, name)
    _start(project, run, [*arguments, "--run-id", run])
    return run


def resume(project: Project, run: str, arguments: Sequence[str] = ("run",)) -> None:
    """Takes up a run that was stopped, killed or failed, as a job: `workbench ARGUMENTS --resume RUN`. UsageError if it
    is running, if it is complete and `arguments` ask for nothing new, or if only the command that started it can go
    on."""
    view = read_run(project, run)
    if view.status == "running" or (view.status == "completed" and len(arguments) == 1):
        raise UsageError(f"run {run!r} is {view.status}: there is nothing to take up")
    if not view.command.startswith(RESUMABLE):
        problem = f"run {run!r} is not a loop that can be taken up from here"
        raise UsageError(problem, next_step=continuation(run, view.command))
    _start(project, run, [*arguments, "--resume", run])


def _start(project: Project, run: str, arguments: list[str]) -> None:
    log_path = project.runs / run / "log.txt"
    with log_path.open("ab") as log, (project.runs / run / "lock").open("ab") as lock:
        try:
            # the child inherits the lock: the run counts as alive from here to its end
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            attach = f"workbench runs attach {run}"
            raise UsageError(f"run {run!r} is being worked on by another process", next_step=attach) from None
        subprocess.Popen(
            [sys.executable, "-m", "workbench", "-C", str(project.root), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd=project.root,
            env={**importable_environment(), LOCK_FD: str(lock.fileno())},
            pass_fds=(lock.fileno(),),
        )


def cancel(project: Project, run: str) -> None:
    """Asks a running job to stop: it saves what it can resume from. UsageError if it does not run."""
    view = read_run(project, run)
    if view.status != "running" or view.pid is None:
        raise UsageError(f"run {run!r} is not running (it is {view.status})", next_step="workbench runs list")
    os.kill(view.pid, signal.SIGTERM)
