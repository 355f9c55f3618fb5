"""Parquet: a table; dates, times and decimals become the text a person would write.

question: string, asked: timestamp  ->  {"question": "Capital of Peru?", "asked": "2024-03-01T00:00:00"}
"""

from __future__ import annotations

import datetime
import decimal
from typing import Any

from workbench.core.errors import UsageError
from workbench.ingest.rows import DataFile, Place, RawRow, ReadOptions, RowStream

_BATCH_ROWS = 1000


def read(file: DataFile, options: ReadOptions) -> RowStream:
    """Rows of a Parquet file, a batch at a time. Raises UsageError if it is none."""
    import pyarrow as pa  # 0.1 s
    import pyarrow.parquet as pq

    row = 0
    try:
        table = pq.ParquetFile(file.path)
        for batch in table.iter_batches(batch_size=_BATCH_ROWS):
            for values in batch.to_pylist():
                yield RawRow(plain(values), Place(file.name, row))
                row += 1
    except (pa.ArrowException, OSError) as error:
        raise UsageError(f"Parquet file cannot be read: {error}", where=file.name) from None


def plain(value: Any) -> Any:
    """`value` as JSON would hold it; bytes stay bytes, for the formats to refuse."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, decimal.Decimal | datetime.timedelta):
        return str(value)
    return value
