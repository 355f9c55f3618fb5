"""Small datasets as the bytes of files of every kind."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
from collections.abc import Callable
from typing import Any

Rows = list[dict[str, Any]]


def json_lines(rows: Rows, encoding: str = "utf-8") -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode(encoding)


def json_list(rows: Rows, indent: int | None = None) -> bytes:
    return json.dumps(rows, indent=indent).encode()


def wrapped(rows: Rows) -> bytes:
    return json.dumps({"version": 1, "data": rows}, indent=2).encode()


def json_stream(rows: Rows) -> bytes:
    return "\n".join(json.dumps(row, indent=1) for row in rows).encode()


def table(rows: Rows) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(rows[0])
    writer.writerows(row.values() for row in rows)
    return text.getvalue().encode()


def paragraphs(rows: Rows) -> bytes:
    return "\n\n".join(str(row["text"]) for row in rows).encode()


def parquet(rows: Rows, row_group_size: int = 100) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows), sink, row_group_size=row_group_size)
    return bytes(sink.getvalue().to_pybytes())


def arrow_file(rows: Rows, batch_rows: int = 100) -> bytes:
    return _arrow(rows, batch_rows, "new_file")


def arrow_stream(rows: Rows, batch_rows: int = 100) -> bytes:
    return _arrow(rows, batch_rows, "new_stream")


def _arrow(rows: Rows, batch_rows: int, kind: str) -> bytes:
    import pyarrow as pa

    data = pa.Table.from_pylist(rows)
    sink = pa.BufferOutputStream()
    with getattr(pa.ipc, kind)(sink, data.schema) as writer:
        for batch in data.to_batches(max_chunksize=batch_rows):
            writer.write_batch(batch)
    return bytes(sink.getvalue().to_pybytes())


def zstd(data: bytes) -> bytes:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return bytes(sink.getvalue().to_pybytes())


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstd,
}
KINDS: dict[str, Callable[[Rows], bytes]] = {
    "rows.jsonl": json_lines,
    "rows.json": json_list,
    "pretty.json": lambda rows: json_list(rows, 2),
    "wrapped.json": wrapped,
    "stream.json": json_stream,
    "rows.csv": table,
    "rows.txt": paragraphs,
    "rows.parquet": parquet,
    "rows.feather": arrow_file,
    "rows.arrow": arrow_stream,
    "wide.jsonl": lambda rows: json_lines(rows, "utf-16"),
    "narrow.jsonl": lambda rows: json_lines(rows, "latin-1"),
}
