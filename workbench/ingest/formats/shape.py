"""What a format is, and what it makes of a row."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from workbench.core.cards import FormatName
from workbench.core.records import Message
from workbench.ingest.rows import Row, RowProblem, WrittenNumber

_SPELLED = {"true": True, "false": False}
MEDIA_COLUMNS = ("image", "images", "video", "videos", "audio", "audios")


@dataclass(frozen=True, slots=True)
class Parsed:
    """The content of a record, without its id and place."""

    kind: Literal["chat", "preference", "document"]
    messages: tuple[Message, ...] = ()
    chosen: Message | None = None
    rejected: Message | None = None
    text: str | None = None
    label: bool | None = None
    tools: str | None = None


@dataclass(frozen=True, slots=True)
class Format:
    """One line of the registry."""

    name: FormatName
    columns: tuple[str, ...]
    """Canonical names of the columns it reads."""
    fits: Callable[[Row], bool]
    """Whether a row has this shape, judged by its columns alone; columns that are null count as absent."""
    parse: Callable[[Row], Parsed]
    """The row's content; RowProblem says why it has none."""


def has(row: Row, *columns: str) -> bool:
    """Whether all `columns` are there and not null."""
    return all(row.get(column) is not None for column in columns)


def first_of(row: Row, columns: tuple[str, ...]) -> str | None:
    """The first of `columns` that the row has."""
    for column in columns:
        if row.get(column) is not None:
            return column
    return None


def column_text(row: Row, column: str) -> str:
    """The text in a column; numbers as they were written. RowProblem `missing_column` or `bad_content`."""
    value = row.get(column)
    if value is None:
        raise RowProblem("missing_column", f"no column {column!r}; the row has {column_names(row)}")
    return as_text(value, f"column {column!r}")


def optional_text(row: Row, column: str) -> str:
    """As `column_text`, empty where there is none."""
    return column_text(row, column) if row.get(column) is not None else ""


def as_text(value: Any, what: str) -> str:
    """Text, or a number as it was written; RowProblem `bad_content` for anything else: `true` has many spellings."""
    if isinstance(value, str):
        return value
    if isinstance(value, WrittenNumber):
        return value.written
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return json.dumps(value)
    raise RowProblem("bad_content", f"{what} holds {type_name(value)}, expected text")


def type_name(value: Any) -> str:
    """What people call a value's type."""
    names = {dict: "an object", list: "a list", bool: "true or false", type(None): "null", bytes: "binary data"}
    if isinstance(value, float):
        return "no finite number"
    return names.get(type(value), type(value).__name__)


def column_names(row: Row) -> str:
    """The row's columns for a message, empty ones marked."""
    names = [name if value is not None else f"{name} (null)" for name, value in row.items()]
    return ", ".join(names[:20]) + (", ..." if len(names) > 20 else "") or "no columns"


def json_text(value: Any) -> str:
    """A value as JSON text; text stays as it is."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=repr)


def tools_of(row: Row) -> str | None:
    """Tool definitions as JSON text, None where there are none."""
    tools = row.get("tools")
    return json_text(tools) if tools else None


def label_of(row: Row) -> bool | None:
    """Thumbs up or down in `label` or `kto_tag`; a label that is not true or false is a class, not a judgment.

    Tables of text spell a `kto_tag` as true or false; the text in a `label` may be an answer's class."""
    for column in ("label", "kto_tag"):
        if isinstance(value := row.get(column), bool):
            return value
    tag = row.get("kto_tag")
    return _SPELLED.get(tag.strip().lower()) if isinstance(tag, str) else None


def refuse_media(row: Row) -> None:
    """RowProblem `multimodal` if the row comes with images, sound or video."""
    for column in MEDIA_COLUMNS:
        if row.get(column):
            raise RowProblem("multimodal", f"column {column!r} holds media; only text can be trained on")
