"""One training in several processes on this machine: starting them, listening, and ending them together.

    run_in_processes(config, train_file, ctx, 2)
        python -m workbench.train.worker      rank 0: builds, trains, tells every event, writes checkpoints and parts
        python -m workbench.train.worker      rank 1: the same with its share of the rows of every step, silent

    to a worker, on its standard input     its `Task`, then `cancel`; the end of the input: the supervisor is gone
    from a worker, on its standard output  `Said` after `Said`, one line each; the last one is its outcome

Whatever ends one of them ends all. The supervisor holds no model and no gradient, so that it can always end the rest.
"""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from workbench.core.errors import ExitCode, IncompleteError
from workbench.core.events import Event
from workbench.core.nodes import TrainNode
from workbench.core.paths import importable_environment
from workbench.core.records import Text
from workbench.core.stage import Cancelled, Context, Done, Failed, Outcome, Summary
from workbench.core.training import TrainConfig
from workbench.core.wire import Wire

WORKER = (sys.executable, "-m", "workbench.train.worker")
_GRACE_S = 10.0
"""After one has failed: time for the others to notice and say so, before they are killed."""
_POLL_S = 0.2


class Task(Wire):
    """What a worker is to do."""

    rank: int
    count: int
    store: str
    """File at which the processes of this attempt meet."""
    node: str
    config: TrainNode
    train_file: str
    out_dir: str
    work_dir: str
    project: str
    seed: int
    fingerprint: str


class Said(Wire):
    """One line from a worker."""

    event: Event | None = None
    """Of rank 0, to be passed on."""
    outcome: Literal["done", "cancelled", "again", "failed", "peer lost"] | None = None
    """`again`: out of memory, which is noted; all begin again with smaller batches. `peer lost`: because of another."""
    summary: Summary = {}
    message: Text = ""
    exit_code: int = 0


def visible_gpus() -> list[str]:
    """What CUDA_VISIBLE_DEVICES must be for each GPU that this process sees; empty without one."""
    import torch  # 3 s; the stage needs it anyway

    if not torch.cuda.is_available():
        return []
    count = torch.cuda.device_count()
    allowed = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return (allowed or [str(number) for number in range(count)])[:count]


def process_count(settings: TrainConfig, gpus: int) -> int:
    """Processes to train in: as configured, else one per GPU, as many as divide the rows of a step evenly."""
    if settings.processes is not None:
        return settings.processes
    if not settings.in_several_processes:
        return 1
    rows = settings.batch_size * settings.gradient_accumulation
    return next(count for count in range(max(1, gpus), 0, -1) if rows % count == 0)


def run_in_processes(
    config: TrainNode, train_file: Path, ctx: Context, count: int, gpus: list[str] | None = None
) -> Outcome:
    """Trains in `count` processes, each on one of `gpus` where there are any; again with smaller batches as long as
    memory is short."""
    while not ctx.cancelled():
        with tempfile.TemporaryDirectory(prefix="workbench-train-") as meeting:
            attempt = _Attempt(ctx)
            for rank in range(count):
                task = Task(
                    rank=rank,
                    count=count,
                    store=f"{meeting}/store",
                    node=ctx.node,
                    config=config,
                    train_file=str(train_file.absolute()),
                    out_dir=str(ctx.out_dir.absolute()),
                    work_dir=str(ctx.work_dir.absolute()),
                    project=str(ctx.project.absolute()),
                    seed=ctx.seed,
                    fingerprint=ctx.fingerprint,
                )
                attempt.start(task, gpus[rank] if gpus else None)
            outcome = attempt.run()
        if outcome is not None:
            return outcome
    return Cancelled()


@dataclass(slots=True)
class _Worker:
    process: subprocess.Popen[str]
    outcome: Said | None = None
    ended: bool = False


@dataclass(slots=True)
class _Attempt:
    """The processes of one attempt."""

    ctx: Context
    workers: list[_Worker] = field(default_factory=list)
    said: queue.Queue[tuple[int, str | None]] = field(default_factory=queue.Queue)
    """Rank and line; None once a worker's output has ended."""
    died: list[int] = field(default_factory=list)
    """Ranks of those that ended without a word, the first one first: it was not stopped because of another."""

    def start(self, task: Task, gpu: str | None) -> None:
        """Starts one worker, in a session of its own: Ctrl-C reaches the supervisor alone."""
        process = subprocess.Popen(
            WORKER,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            start_new_session=True,
            env=_environment(gpu),
        )
        self.workers.append(_Worker(process))
        threading.Thread(target=self._listen, args=(task.rank, process), daemon=True).start()
        _tell(process, task.model_dump_json())

    def run(self) -> Outcome | None:
        """Passes events on until all have ended; None if all are to begin again. Leaves no process behind."""
        told, deadline = False, None
        try:
            while not all(worker.ended for worker in self.workers):
                if self.ctx.cancelled() and not told:
                    told = True
                    _tell(self.workers[0].process, "cancel")
                self._hear()
                if deadline is None and any(self._problem(rank) for rank in range(len(self.workers))):
                    deadline = time.monotonic() + _GRACE_S
                if deadline is not None and time.monotonic() > deadline:
                    self._kill()
            return self._outcome()
        finally:
            self._kill()

    def _hear(self) -> None:
        try:
            rank, line = self.said.get(timeout=_POLL_S)
        except queue.Empty:
            return
        worker = self.workers[rank]
        if line is None:
            worker.process.wait()
            worker.ended = True
            if worker.outcome is None:
                self.died.append(rank)
            return
        said = Said.model_validate_json(line)
        if said.event is not None:
            self.ctx.emit(said.event)
        if said.outcome is not None:
            worker.outcome = said

    def _problem(self, rank: int) -> bool:
        """Whether a worker has ended, or is about to, in a way after which the others cannot go on."""
        worker = self.workers[rank]
        if worker.outcome is None:
            return worker.ended
        return worker.outcome.outcome not in ("done", "cancelled")

    def _outcome(self) -> Outcome | None:
        """The first cause: what one failed of, one that died without a word, one that others lost."""
        outcomes = [worker.outcome for worker in self.workers]
        failed = [said for said in outcomes if said is not None and said.outcome == "failed"]
        if failed:
            return Failed(failed[0].message, ExitCode(failed[0].exit_code))
        if any(said is not None and said.outcome == "again" for said in outcomes):
            return None
        if self.died:
            return Failed(self._died(self.died[0], self.workers[self.died[0]].process.returncode))
        leading = outcomes[0]
        assert leading is not None
        if leading.outcome == "done":
            return Done(dict(leading.summary))
        return Cancelled() if leading.outcome == "cancelled" else Failed(leading.message)

    def _died(self, rank: int, code: int) -> str:
        how = f"by signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"with code {code}"
        others = "the others were stopped" if len(self.workers) > 1 else "it says why in log.txt"
        error = IncompleteError(
            f"training process {rank + 1} of {len(self.workers)} ended {how}; {others}",
            next_step="the same command goes on from the last checkpoint; if it is memory, lower train.batch_size or "
            "set train.processes: 1, which is another training and begins anew",
        )
        return str(error)

    def _listen(self, rank: int, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if line.endswith("\n"):  # else it was killed in the middle of it
                self.said.put((rank, line))
        self.said.put((rank, None))

    def _kill(self) -> None:
        for worker in self.workers:
            if worker.process.poll() is None:
                worker.process.kill()
            worker.process.wait()


def _tell(process: subprocess.Popen[str], line: str) -> None:
    """Writes a line to a worker; one that is gone is noticed by the end of its output."""
    assert process.stdin is not None
    try:
        process.stdin.write(line + "\n")
        process.stdin.flush()
    except BrokenPipeError:
        return


def _environment(gpu: str | None) -> dict[str, str]:
    """What a worker inherits, one GPU at most."""
    found = importable_environment()
    return found if gpu is None else found | {"CUDA_VISIBLE_DEVICES": gpu}
