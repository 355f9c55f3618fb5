"""What a reader gives: raw rows with their place, or pieces of input that are no row, with the reason.

    {"instruction": "Say hi"}                  ->  RawRow(values={"instruction": "Say hi"}, row=0, line=1, byte=0, ...)
    {"instruction": "Say hi                    ->  Quarantined(reason="bad_json", line=1, byte=0, ...)

Reasons of readers: `bad_json`, `not_an_object`, `duplicate_key`, `too_deep`, `too_long`, `bad_encoding`, `bad_csv`,
`wrong_field_count`, `repeated_header`, `no_text`, `bad_value`, `damaged_file`. Reasons of formats: `unknown_shape`,
`unsupported_shape`, `missing_column`, `multimodal`, `bad_role`, `bad_content`, `bad_label`, `bad_tool_call`,
`no_prompt`, `no_answer`, `prompts_differ`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

from workbench.core.records import Quarantined
from workbench.core.wire import storable

EXCERPT_CHARS = 200

Row = dict[str, Any]
"""Column name to value, as plain JSON values."""


class RowProblem(Exception):
    """One row cannot be read; the reader or the caller turns it into a quarantined row."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class WrittenNumber(float):
    """A number that knows how it was written, so that 1.10 as an answer stays 1.10; its value may be infinite where no
    float is as large."""

    __slots__ = ("written",)
    written: str

    def __new__(cls, value: float | str, written: str) -> Self:
        number = super().__new__(cls, value)
        number.written = written
        return number


def written_json(value: Any) -> str:
    """A value as JSON text, with numbers as they were written; what JSON does not know as its `repr`."""
    if isinstance(value, WrittenNumber):
        return value.written
    if isinstance(value, dict):
        pairs = (f"{json.dumps(key, ensure_ascii=False)}: {written_json(inner)}" for key, inner in value.items())
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(written_json, value)) + "]"
    return json.dumps(value, ensure_ascii=False, default=repr)


@dataclass(frozen=True, slots=True)
class DataFile:
    """One file to read."""

    path: Path
    name: str
    """As shown to people: relative to the project where it lies inside."""
    is_unit: bool = True
    """Whether a text file as a whole falls on one side of the held-out split."""
    split: str | None = None
    """The split that its name or folder stands for."""


# Named tuples, because there is one of each per row: a frozen dataclass takes four times as long to make.


class Place(NamedTuple):
    """Where a row stands."""

    file: str
    row: int
    """Zero-based, bad rows counted."""
    line: int | None = None
    """One-based."""
    byte: int | None = None
    """Offset of the first byte, in the file or in what a compressed file expands to."""


class RawRow(NamedTuple):
    """One row as the file had it."""

    values: Row
    place: Place
    part_of: str | None = None
    """The larger thing it was cut from, where the reader knows it."""
    split: str | None = None
    """The dataset's own split, where a name says so."""


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What every reader needs to know."""

    max_row_bytes: int
    warn: Callable[[str], object]


RowStream = Iterator[RawRow | Quarantined]
Reader = Callable[[DataFile, ReadOptions], RowStream]


def rejected(place: Place, problem: RowProblem, excerpt: str) -> Quarantined:
    """The quarantined row for a problem; `excerpt` is the input, of which the first 200 characters are kept."""
    return Quarantined(
        file=place.file,
        row=place.row,
        line=place.line,
        byte=place.byte,
        reason=problem.reason,
        detail=problem.detail,
        excerpt=storable(excerpt[:EXCERPT_CHARS]),
    )


def rejected_row(raw: RawRow, problem: RowProblem) -> Quarantined:
    """As `rejected`, for a row that was read but has no usable shape."""
    return rejected(raw.place, problem, written_json(raw.values))


def too_long(what: str, max_bytes: int) -> RowProblem:
    """The problem of a row beyond the card's limit."""
    return RowProblem("too_long", f"{what} is longer than {max_bytes:,} bytes (max_line_bytes of the card)")
