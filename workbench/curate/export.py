"""Kept records as a file other tools read: JSON Lines or Parquet, in the column names trainers know.

    chat        {"messages": [{"role": "user", "content": "Capital?"}, {"role": "assistant", "content": "Lima"}]}
    preference  {"prompt": [{"role": "user", ...}], "chosen": [{"role": "assistant", ...}], "rejected": [...]}
    document    {"text": "..."}

A label of thumbs up or down and tool definitions go along as `label` and `tools`. Reading the file again gives records
with the same ids. Dropped records are written the same way, with what was found about them. Rows are read and written
some at a time, under another name first, so a file with the wanted name is whole.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.core.errors import UsageError
from workbench.core.nodes import CurateNode
from workbench.core.parts import read_rows
from workbench.core.records import Drop, Message, Record, ToolCall
from workbench.core.stage import Artifact
from workbench.curate.duplicates import part_of, sketch_settings

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIXES = (".jsonl", ".parquet")
_BATCH_ROWS = 5000
_BATCH_CHARS = 10_000_000


def write_export(records: Path, out: Path) -> int:
    """Writes the records of a part to `out`, by its suffix; returns their number.

    Raises UsageError if the suffix is neither `.jsonl` nor `.parquet`, or `out` cannot be written.
    """
    check_export(out)
    with _aside(out) as file:
        if out.suffix.lower() == ".parquet":
            return _write_parquet(records, file)
        return _write_lines(file, (exported(record) for record in read_rows(records, Record)))


def write_dropped(dropped: Path, out: Path) -> int:
    """Writes dropped records as JSON Lines, each with its id, its place and all findings; returns their number.

    UsageError if `out` cannot be written.
    """
    with _aside(out) as file:
        return _write_lines(file, (exported_drop(drop) for drop in read_rows(dropped, Drop)))


def write_signatures(curated: Artifact, out: Path) -> int:
    """Writes the MinHash signatures of the kept records, as `datasketch.MinHashLSH` takes them; returns their number.

    UsageError if `out` cannot be written.
    """
    from workbench.text.lsh_rows import write_lsh_rows

    settings = CurateNode.model_validate(curated.manifest.config).curate.near_duplicates
    records = read_rows(curated.part("records.jsonl"), Record)
    texts = ((record.id, part_of(record, settings.compare)) for record in records)
    with _aside(out) as file:
        return write_lsh_rows(file, texts, sketch_settings(settings))


def check_export(out: Path, suffixes: tuple[str, ...] = SUFFIXES) -> None:
    """Raises UsageError if `out` has a suffix that cannot be written: before the work, not after it."""
    if out.suffix.lower() not in suffixes:
        raise UsageError(
            f"cannot write {out.suffix or 'a file without a suffix'}; suffixes: {', '.join(suffixes)}", where=str(out)
        )
    if out.is_dir():
        raise UsageError("is a directory, not a file to write", where=str(out))


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


def exported_drop(drop: Drop) -> dict[str, Any]:
    """A dropped record as it was read, under the same columns, with `dropped`: where it was and why it went."""
    source = drop.record.source
    why = [
        {"reason": finding.reason, "action": finding.action, "filter": finding.filter, "detail": finding.detail}
        for finding in drop.findings
    ]
    place = {"dataset": source.dataset, "file": source.file, "row": source.row, "line": source.line}
    return {**exported(drop.record), "dropped": {"id": drop.record.id, **place, "findings": why}}


def _turn(message: Message) -> dict[str, Any]:
    turn: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        turn["tool_calls"] = [_call(call) for call in message.tool_calls]
    if message.tool_call_id is not None:
        turn["tool_call_id"] = message.tool_call_id
    if message.name is not None:
        turn["name"] = message.name
    return turn


def _call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"type": "function", "function": function} | ({} if call.id is None else {"id": call.id})


@contextmanager
def _aside(out: Path) -> Iterator[Path]:
    """A name to write under; renamed to `out` at the end. UsageError if it cannot be written."""
    aside = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        yield aside
        aside.replace(out)
    except OSError as error:
        raise UsageError(f"cannot be written: {error.strerror or error}", where=str(out)) from None
    finally:
        if aside.exists():
            aside.unlink()


def _write_lines(file: Path, rows: Iterator[dict[str, Any]]) -> int:
    count = 0
    with file.open("w", encoding="utf-8") as stream:
        for row in rows:
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")
            count += 1
    return count


def _write_parquet(records: Path, file: Path) -> int:
    """Two readings: the first one says which columns there are, so that no batch is written with another schema."""
    import pyarrow as pa  # 0.2 s
    import pyarrow.parquet as pq

    schema = _schema(records)
    count = 0
    with pq.ParquetWriter(file, schema) as writer:
        for batch in _some_at_a_time(read_rows(records, Record)):
            rows = [exported(record) for record in batch]
            columns = [pa.array([row.get(field.name) for row in rows], type=field.type) for field in schema]
            writer.write_batch(pa.record_batch(columns, schema=schema))
            count += len(batch)
    return count


def _some_at_a_time(records: Iterator[Record]) -> Iterator[list[Record]]:
    batch: list[Record] = []
    chars = 0
    for record in records:
        batch.append(record)
        chars += len(record.full_text())
        if len(batch) == _BATCH_ROWS or chars >= _BATCH_CHARS:
            yield batch
            batch, chars = [], 0
    if batch:
        yield batch


def _schema(records: Path) -> pa.Schema:
    """The columns that the records need, each with the one type it always has; what only some turns say (tool calls,
    their ids) only where one says it."""
    import pyarrow as pa

    columns: dict[str, None] = {}
    said: set[str] = set()
    for record in read_rows(records, Record):
        row = exported(record)
        columns.update(dict.fromkeys(row))
        for turn in (turn for value in row.values() if isinstance(value, list) for turn in value):
            said.update(turn)
            said.update("id" for call in turn.get("tool_calls", ()) if "id" in call)
    function = pa.struct([("name", pa.string()), ("arguments", pa.string())])
    call = [("type", pa.string()), ("function", function), *([("id", pa.string())] if "id" in said else [])]
    fields = [("role", pa.string()), ("content", pa.string())]
    some = {"tool_calls": pa.list_(pa.struct(call)), "tool_call_id": pa.string(), "name": pa.string()}
    spoken = pa.list_(pa.struct([*fields, *((name, kind) for name, kind in some.items() if name in said)]))
    types = {"text": pa.string(), "label": pa.bool_(), "tools": pa.string()}
    return pa.schema([(column, types.get(column, spoken)) for column in columns])
