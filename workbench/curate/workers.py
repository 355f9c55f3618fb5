"""Batches examined in order: in this process, or by a few others beside it.

    with started(processes_for(rows), examiner) as workers:
        for batch, examined in in_order(batches, examiner, workers): ...

Results come in the order of the batches whoever was faster, so nothing that is written depends on timing. A worker that
dies (killed, out of memory, an error of ours) ends the work with a clear message; a worker whose parent dies ends by
itself.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from workbench.core.errors import IncompleteError, WorkbenchError
from workbench.curate.batch import Batch
from workbench.curate.decontaminate import Contaminants
from workbench.curate.examine import Examined, Examiner

MANY_ROWS = 10_000
"""Rows from which worker processes are faster: each takes about a second to start."""
_AHEAD = 3
"""Results per worker that may wait for an earlier one."""
_LOOK_AT_PARENT_S = 0.5
_MOST = 2


def processes_for(rows: int) -> int:
    """Worker processes worth starting for so many rows; 0 works in this process."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(_MOST, cores) if rows > MANY_ROWS and cores > 1 else 0


@dataclass(slots=True)
class Worker:
    """A process that examines batches."""

    process: BaseProcess
    connection: Connection
    batch: tuple[int, Batch] | None = None
    """The number and content of what it works on."""


def in_order(
    batches: Iterator[Batch], examiner: Examiner, workers: Sequence[Worker]
) -> Iterator[tuple[Batch, Examined]]:
    """Each batch with what was found out about it, in the order of the batches; without workers in this process.

    Raises what `Examiner.examine` raises, and IncompleteError if a worker dies."""
    if not workers:
        for batch in batches:
            yield batch, examiner.examine(batch)
        return
    for worker in workers:
        _send(worker, examiner.contaminants)
    yield from _ordered(batches, workers)


def _ordered(batches: Iterator[Batch], workers: Sequence[Worker]) -> Iterator[tuple[Batch, Examined]]:
    """A worker has one batch at a time, so neither side ever waits with a full pipe for the other."""
    numbered = enumerate(batches)
    ready: dict[int, tuple[Batch, Examined]] = {}
    next_out = 0
    for worker in workers:
        _give(worker, next(numbered, None))
    while any(worker.batch for worker in workers) or ready:
        while next_out in ready:
            yield ready.pop(next_out)
            next_out += 1
            for worker in workers:
                if worker.batch is None:
                    _give(worker, next(numbered, None))
        busy = {worker.connection: worker for worker in workers if worker.batch}
        for connection in wait(list(busy)) if busy else []:
            worker = next(one for one in workers if one.connection is connection)
            number, batch, examined = _taken(worker)
            ready[number] = (batch, examined)
            if len(ready) < _AHEAD * len(workers):
                _give(worker, next(numbered, None))


def _give(worker: Worker, numbered: tuple[int, Batch] | None) -> None:
    worker.batch = numbered
    if numbered is not None:
        _send(worker, numbered[1])


def _send(worker: Worker, message: Contaminants | Batch) -> None:
    try:
        worker.connection.send(message)
    except OSError:
        raise _died(worker) from None


def _taken(worker: Worker) -> tuple[int, Batch, Examined]:
    assert worker.batch is not None
    number, batch = worker.batch
    try:
        result = worker.connection.recv()
    except (EOFError, OSError):
        raise _died(worker) from None
    worker.batch = None
    if isinstance(result, WorkbenchError):
        raise result
    return number, batch, result


def _died(worker: Worker) -> IncompleteError:
    worker.process.join()
    code = worker.process.exitcode
    how = f"was ended by signal {-code} ({signal.strsignal(-code)})" if code and code < 0 else f"ended with code {code}"
    rows = ""
    if worker.batch is not None:
        batch = worker.batch[1]
        rows = f" while it examined rows {batch.first_row} to {batch.first_row + len(batch.lines) - 1}"
    return IncompleteError(
        f"a worker process {how}{rows}",
        next_step="run again; if it happens again: free memory, or look at log.txt of the run for the reason",
    )


@contextmanager
def started(count: int, examiner: Examiner) -> Iterator[list[Worker]]:
    """So many worker processes, ended at the end, whatever they do. They load what `examiner` needs while the caller
    reads the contaminants, which they get from `in_order`."""
    # "spawn": a fork would copy the locks of threads that the libraries of this process may have started
    context = multiprocessing.get_context("spawn")
    workers: list[Worker] = []
    try:
        for number in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(
                target=_work, args=(theirs, examiner, os.getpid()), name=f"curate-{number}", daemon=True
            )
            process.start()
            theirs.close()
            workers.append(Worker(process, ours))
        yield workers
    finally:
        for worker in workers:
            worker.connection.close()
            worker.process.kill()
            worker.process.join()


def _work(connection: Connection, examiner: Examiner, parent: int) -> None:
    """A worker's life: the contaminants, then a batch in, its result out, until the parent closes the connection or is
    gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    examiner.warm_up()
    with suppress(EOFError):
        examiner = replace(examiner, contaminants=connection.recv())
        gc.freeze()  # all this stays: to look through it for garbage again and again took 7% of the time
        while True:
            connection.send(_result(examiner, connection.recv()))


def _result(examiner: Examiner, batch: Batch) -> Examined | WorkbenchError:
    try:
        return examiner.examine(batch)
    except WorkbenchError as error:
        return error


def _end_with(parent: int) -> None:
    """Ends this process soon after its parent has ended, also in the middle of a batch."""
    while os.getppid() == parent:
        time.sleep(_LOOK_AT_PARENT_S)
    os._exit(1)
