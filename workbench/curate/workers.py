"""Batches examined in order: in this process, or by a few others beside it.

    for batch, examined in in_order(batches, examiner, processes=2): ...

Results come in the order of the batches whoever was faster, so nothing that is written depends on timing. A worker that
dies (killed, out of memory, an error of ours) ends the work with a clear message; a worker whose parent dies ends by
itself.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from workbench.core.errors import IncompleteError, WorkbenchError
from workbench.curate.batch import Batch
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


def in_order(
    batches: Iterator[Batch], examiner: Examiner, processes: int
) -> Generator[tuple[Batch, Examined]]:
    """Each batch with what was found out about it, in the order of the batches.

    Raises what `Examiner.examine` raises, and IncompleteError if a worker dies."""
    if processes == 0:
        for batch in batches:
            yield batch, examiner.examine(batch)
        return
    with _workers(examiner, processes) as workers:
        yield from _ordered(batches, workers)


@dataclass(slots=True)
class _Worker:
    process: BaseProcess
    connection: Connection
    batch: tuple[int, Batch] | None = None
    """The number and content of what it works on."""


def _ordered(batches: Iterator[Batch], workers: list[_Worker]) -> Iterator[tuple[Batch, Examined]]:
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


def _give(worker: _Worker, numbered: tuple[int, Batch] | None) -> None:
    worker.batch = numbered
    if numbered is None:
        return
    try:
        worker.connection.send(numbered[1])
    except OSError:
        raise _died(worker) from None


def _taken(worker: _Worker) -> tuple[int, Batch, Examined]:
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


def _died(worker: _Worker) -> IncompleteError:
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
def _workers(examiner: Examiner, count: int) -> Iterator[list[_Worker]]:
    # "spawn": a fork would copy the locks of threads that the libraries of this process may have started
    context = multiprocessing.get_context("spawn")
    workers = []
    try:
        for number in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(
                target=_work, args=(theirs, examiner, os.getpid()), name=f"curate-{number}", daemon=True
            )
            process.start()
            theirs.close()
            workers.append(_Worker(process, ours))
        yield workers
    finally:
        for worker in workers:
            worker.connection.close()
            worker.process.kill()
            worker.process.join()


def _work(connection: Connection, examiner: Examiner, parent: int) -> None:
    """A worker's life: a batch in, its result out, until the parent closes the connection or is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    while True:
        try:
            batch = connection.recv()
        except EOFError:
            return
        result: Examined | WorkbenchError
        try:
            result = examiner.examine(batch)
        except WorkbenchError as error:
            result = error
        connection.send(result)


def _end_with(parent: int) -> None:
    """Ends this process soon after its parent has ended, also in the middle of a batch."""
    while os.getppid() == parent:
        time.sleep(_LOOK_AT_PARENT_S)
    os._exit(1)
