"""Rows of Arrow tables: dates, times and decimals become the text a person would write.

question: string, asked: timestamp  ->  {"question": "Capital of Peru?", "asked": "2024-03-01T00:00:00"}

Parquet, Arrow files and the hub end here. A value that cannot be a Python value costs its row alone.
"""

from __future__ import annotations

import datetime
import decimal
from collections import Counter
from collections.abc import Iterator
from typing import Any

from workbench.core.errors import UsageError
from workbench.core.records import Quarantined
from workbench.ingest.rows import (
    DataFile,
    Place,
    RawRow,
    ReadOptions,
    Row,
    RowProblem,
    RowStream,
    WrittenNumber,
    rejected,
    too_long,
)

BATCH_ROWS = 100
"""Rows turned into Python values at a time."""


def refuse_repeated_columns(names: list[str], where: str) -> None:
    """UsageError if two columns share a name: one would hide the other."""
    if repeated := [name for name, count in Counter(names).items() if count > 1]:
        raise UsageError(f"column {repeated[0]!r} appears twice", where=where, next_step="rename one of the columns")


def rows_of(batch: Any, first_row: int, file: DataFile, options: ReadOptions, *, trusted: bool) -> RowStream:
    """Rows of a `pyarrow.RecordBatch` of which the first is row `first_row` of the file.

    Offsets in a batch that is not `trusted` are checked before they are followed."""
    for start in range(0, batch.num_rows, BATCH_ROWS):
        piece = batch.slice(start, BATCH_ROWS)
        row = first_row + start
        if (rows := _values(piece, trusted)) is None:
            for position in range(piece.num_rows):
                yield _single(piece.slice(position, 1), Place(file.name, row + position), file, options, trusted)
            continue
        limit = options.max_row_bytes if piece.nbytes > options.max_row_bytes else None
        for position, values in enumerate(rows):
            yield _checked(values, Place(file.name, row + position), file, limit)


def _values(batch: Any, trusted: bool) -> list[Row] | None:
    """All rows, None if one of them cannot be read."""
    import pyarrow as pa  # 0.1 s

    try:
        return _read(batch, trusted)
    except (pa.ArrowException, ValueError, OverflowError, KeyError):
        return None


def _single(batch: Any, place: Place, file: DataFile, options: ReadOptions, trusted: bool) -> RawRow | Quarantined:
    import pyarrow as pa

    try:
        (values,) = _read(batch, trusted)
    except (pa.ArrowException, ValueError, OverflowError, KeyError) as error:
        return rejected(place, RowProblem("bad_value", f"a value cannot be read: {error}"), "")
    return _checked(values, place, file, options.max_row_bytes)


def _checked(values: Row, place: Place, file: DataFile, max_bytes: int | None) -> RawRow | Quarantined:
    if max_bytes is not None and _size(values) > max_bytes:
        return rejected(place, too_long("row", max_bytes), str(next(iter(values.values())))[:1000])
    return RawRow(values, place, None, file.split)


def _read(batch: Any, trusted: bool) -> list[Row]:
    if not trusted:
        batch.validate(full=True)
    rows = [plain(values) for values in batch.to_pylist(maps_as_pydicts="strict")]
    for name in _single_precision(batch.schema):
        for row in rows:
            if row[name] is not None:
                row[name] = _shortest(row[name])
    return rows


def _single_precision(schema: Any) -> Iterator[str]:
    import pyarrow as pa

    return (column.name for column in schema if pa.types.is_float32(column.type) or pa.types.is_float16(column.type))


def _shortest(value: float) -> WrittenNumber:
    """0.1 for what is 0.10000000149011612 as a double: the shortest text that gives the number back."""
    import numpy as np  # pyarrow has it

    return WrittenNumber(value, str(np.float32(value)))


def _size(value: Any) -> int:
    """About the bytes of a value as JSON."""
    if isinstance(value, str):
        return len(value.encode("utf-8", "surrogatepass"))
    if isinstance(value, bytes):
        return len(value)
    if isinstance(value, dict):
        return sum(len(key) + _size(item) for key, item in value.items())
    return sum(map(_size, value)) if isinstance(value, list) else 8


def plain(value: Any) -> Any:
    """`value` as JSON would hold it; bytes stay bytes, for the formats to refuse."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, decimal.Decimal | datetime.timedelta):
        return str(value)
    return value
