"""Parquet: a table, read piece by piece.

question: string, answer: string   ->  {"question": "Capital of Peru?", "answer": "Lima"}

A damaged row group costs its rows from the damage on, each of them a quarantined entry; the next one is read.
"""

from __future__ import annotations

from typing import Any

from workbench.ingest.readers.arrow_rows import BATCH_ROWS, refuse_repeated_columns, rows_of
from workbench.ingest.rows import DataFile, Place, ReadOptions, RowProblem, RowStream, rejected

_BUFFER_BYTES = 1 << 20
_MOST_LOST = 5_000_000
"""Rows of a damaged row group that are counted: the number is part of what may be damaged."""


def read(file: DataFile, options: ReadOptions) -> RowStream:
    """Rows of a Parquet file. Raises UsageError for two columns of one name."""
    import pyarrow as pa  # 0.1 s
    import pyarrow.parquet as pq

    with file.path.open("rb"):
        pass  # a file that cannot be opened is another matter than one that cannot be read
    try:
        # Without a buffer a column of a row group is loaded whole.
        table = pq.ParquetFile(file.path, pre_buffer=False, buffer_size=_BUFFER_BYTES)
        names = table.schema_arrow.names
    except (pa.ArrowException, OSError, MemoryError, ValueError) as error:
        yield rejected(Place(file.name, 0), _damage(f"Parquet file cannot be read: {error}"), "")
        return
    refuse_repeated_columns(names, file.name)
    row = 0
    for group in range(table.num_row_groups):
        yield from _group_rows(table, group, row, file, options)
        row += table.metadata.row_group(group).num_rows


def _group_rows(table: Any, group: int, first_row: int, file: DataFile, options: ReadOptions) -> RowStream:
    import pyarrow as pa

    rows = table.metadata.row_group(group).num_rows
    given = 0
    batches = table.iter_batches(batch_size=BATCH_ROWS, row_groups=[group])
    while True:
        try:
            batch = next(batches, None)
        except (pa.ArrowException, OSError, MemoryError, ValueError) as error:
            which = f"{group + 1} of {table.num_row_groups}"
            lost = range(first_row + given, max(first_row + rows, first_row + given + 1))
            yield from _lost(lost, which, error, file)
            return
        if batch is None:
            return
        yield from rows_of(batch, first_row + given, file, options, trusted=True)
        given += batch.num_rows


def _lost(rows: range, group: str, error: Exception, file: DataFile) -> RowStream:
    """One entry per row, so that the counts add up; a number of rows that nobody has is not believed."""
    problem = _damage(f"row group {group} is damaged, rows {rows[0]:,} to {rows[-1]:,} are lost: {error}")
    for row in rows[:_MOST_LOST]:
        yield rejected(Place(file.name, row), problem, "")


def _damage(detail: str) -> RowProblem:
    return RowProblem("damaged_file", detail)
