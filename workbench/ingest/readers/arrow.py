"""Arrow and Feather files: a table in batches, as file (`ARROW1`) or as stream.

question: string, answer: string   ->  {"question": "Capital of Peru?", "answer": "Lima"}

The file is mapped, not loaded, and pages that were read are given back, so that one large batch takes no memory. What
stands before damage is read; the damage is one quarantined entry.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import Any

from workbench.ingest.readers.arrow_rows import BATCH_ROWS, refuse_repeated_columns, rows_of
from workbench.ingest.rows import DataFile, Place, ReadOptions, RowProblem, RowStream, rejected

_FILE_MAGIC = b"ARROW1\x00\x00"
_RELEASED_ROWS = 50 * BATCH_ROWS


def read(file: DataFile, options: ReadOptions) -> RowStream:
    """Rows of an Arrow file or stream. Raises UsageError for two columns of one name."""
    if file.path.stat().st_size == 0:
        return
    with file.path.open("rb") as stream:
        mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    row = 0
    try:
        for batch in _batches(mapped, file):
            for start in range(0, batch.num_rows, _RELEASED_ROWS):
                piece = batch.slice(start, _RELEASED_ROWS)
                yield from rows_of(piece, row, file, options, trusted=False)
                row += piece.num_rows
                if hasattr(mapped, "madvise"):  # not on Windows, where the system alone decides
                    mapped.madvise(mmap.MADV_DONTNEED)
    except _Damaged as problem:
        detail = f"Arrow file cannot be read from here on: {problem}"
        yield rejected(Place(file.name, row), RowProblem("damaged_file", detail), "")


class _Damaged(Exception):
    """The file is not what Arrow expects."""


def _batches(mapped: mmap.mmap, file: DataFile) -> Iterator[Any]:
    """Record batches; of a file without its end those before the damage."""
    import pyarrow as pa  # 0.1 s

    data = pa.py_buffer(mapped)
    refused = (pa.ArrowException, OSError, MemoryError, ValueError)
    if data[: len(_FILE_MAGIC)].to_pybytes() != _FILE_MAGIC:
        yield from _stream(data, file)
        return
    try:
        reader = pa.ipc.open_file(pa.BufferReader(data))
        names = reader.schema.names
    except refused as error:
        yield from _stream(data[len(_FILE_MAGIC) :], file)  # a file is a stream with an index behind it
        raise _Damaged(error) from None
    refuse_repeated_columns(names, file.name)
    for number in range(reader.num_record_batches):
        try:
            batch = reader.get_batch(number)
        except refused as error:
            raise _Damaged(f"batch {number + 1} of {reader.num_record_batches}: {error}") from None
        yield batch


def _stream(data: Any, file: DataFile) -> Iterator[Any]:
    import pyarrow as pa

    refused = (pa.ArrowException, OSError, MemoryError, ValueError)
    try:
        reader = pa.ipc.open_stream(pa.BufferReader(data))
        names = reader.schema.names
    except refused as error:
        raise _Damaged(error) from None
    refuse_repeated_columns(names, file.name)
    while True:
        try:
            batch = reader.read_next_batch()
        except StopIteration:
            return
        except refused as error:
            raise _Damaged(error) from None
        yield batch
