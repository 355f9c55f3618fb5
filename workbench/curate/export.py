"""Kept records as a file other tools read: JSON Lines or Parquet, in the column names trainers know.

    chat        {"messages": [{"role": "user", "content": "Capital?"}, {"role": "assistant", "content": "Lima"}]}
    preference  {"prompt": [{"role": "user", ...}], "chosen": [{"role": "assistant", ...}], "rejected": [...]}
    document    {"text": "..."}

A label of thumbs up or down and tool definitions go along as `label` and `tools`. Reading the file again gives records
with the same ids.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from workbench.core.errors import UsageError
from workbench.core.parts import read_rows, write_bytes
from workbench.core.records import Message, Record

SUFFIXES = (".jsonl", ".parquet")


def write_export(records: Path, out: Path) -> int:
    """Writes the records of a part to `out`, by its suffix; returns their number.

    Raises UsageError if the suffix is neither `.jsonl` nor `.parquet`, or `out` cannot be written.
    """
    check_export(out)
    rows = [exported(record) for record in read_rows(records, Record)]
    data = _parquet(rows) if out.suffix.lower() == ".parquet" else _json_lines(rows)
    try:
        write_bytes(out, data)
    except OSError as error:
        raise UsageError(f"cannot be written: {error.strerror}", where=str(out)) from None
    return len(rows)


def check_export(out: Path) -> None:
    """Raises UsageError if `out` has a suffix that cannot be written: before the work, not after it."""
    if out.suffix.lower() not in SUFFIXES:
        raise UsageError(
            f"cannot write {out.suffix or 'a file without a suffix'}; suffixes: {', '.join(SUFFIXES)}", where=str(out)
        )


def exported(record: Record) -> dict[str, Any]:
    """One record in trainers' columns; columns without a value are left out."""
    row: dict[str, Any]
    if record.kind == "document":
        row = {"text": record.text}
    elif record.kind == "preference":
        row = {
            "prompt": [_turn(turn) for turn in record.messages],
            "chosen": [_turn(record.chosen)] if record.chosen else [],
            "rejected": [_turn(record.rejected)] if record.rejected else [],
        }
    else:
        row = {"messages": [_turn(turn) for turn in record.messages]}
    if record.label is not None:
        row["label"] = record.label
    if record.tools is not None:
        row["tools"] = record.tools
    return row


def _turn(message: Message) -> dict[str, Any]:
    turn: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        turn["tool_calls"] = [
            {"type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    return turn


def _json_lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode("utf-8")


def _parquet(rows: list[dict[str, Any]]) -> bytes:
    import pyarrow as pa  # 0.2 s
    import pyarrow.parquet as pq

    columns = dict.fromkeys(column for row in rows for column in row)
    table = pa.table({column: pa.array([row.get(column) for row in rows]) for column in columns})
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()
