"""One process of a training in several: python -m workbench.train.worker, started by `workbench.train.processes`."""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from workbench.core.errors import ExitCode, WorkbenchError
from workbench.core.events import Event
from workbench.core.parts import read_rows
from workbench.core.records import Record
from workbench.core.stage import Context, Done
from workbench.train.processes import Said, Task


def main() -> None:
    """Reads its task, does it, says how it ended."""
    wire = _own_output()
    task = Task.model_validate_json(sys.stdin.readline())
    cancelled = threading.Event()
    threading.Thread(target=_obey, args=(cancelled,), daemon=True).start()

    def say(said: Said) -> None:
        wire.write(said.model_dump_json() + "\n")
        wire.flush()

    say(_work(task, _context(task, say, cancelled)))
    wire.close()
    os._exit(0)  # a thread of a lost connection must not keep the process


def _work(task: Task, ctx: Context) -> Said:
    """The attempt, and whatever it raises as an outcome for the supervisor."""
    from workbench.train.group import PeerLost, joined
    from workbench.train.stage import attempt, with_threads

    config = task.config
    if task.rank:
        config = config.model_copy(update={"train": config.train.model_copy(update={"report_to": ()})})
    try:
        records = list(read_rows(Path(task.train_file), Record))
        with with_threads(config.train.threads, task.count), joined(task.rank, task.count, Path(task.store)) as group:
            outcome = attempt(config, records, ctx, group)
    except PeerLost as error:
        traceback.print_exc()
        return Said(outcome="peer lost", message=f"the training processes lost each other: {error}")
    except WorkbenchError as error:
        return Said(outcome="failed", message=str(error), exit_code=error.exit_code)
    except Exception as error:  # noqa: BLE001  the boundary of the process: the traceback goes to the run's log
        traceback.print_exc()
        message = f"unexpected {type(error).__name__}: {error}; the traceback is in the run's log.txt"
        return Said(outcome="failed", message=message, exit_code=ExitCode.INCOMPLETE)
    if outcome is None:
        return Said(outcome="again")
    return Said(outcome="done", summary=outcome.summary) if isinstance(outcome, Done) else Said(outcome="cancelled")


def _context(task: Task, say: Callable[[Said], object], cancelled: threading.Event) -> Context:
    def emit(event: Event) -> None:
        if task.rank == 0:
            say(Said(event=event))

    return Context(
        node=task.node,
        out_dir=Path(task.out_dir),
        work_dir=Path(task.work_dir),
        project=Path(task.project),
        seed=task.seed,
        emit=emit,
        clock=lambda: "",
        cancelled=cancelled.is_set,
        fingerprint=task.fingerprint,
    )


def _own_output() -> TextIO:
    """Standard output for the supervisor alone; what libraries print goes to standard error."""
    wire = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return wire


def _obey(cancelled: threading.Event) -> None:
    """Waits for `cancel`; ends the process at once when the supervisor is gone."""
    for line in sys.stdin:
        if line.strip() == "cancel":
            cancelled.set()
    os._exit(ExitCode.TERMINATED)


if __name__ == "__main__":
    main()
