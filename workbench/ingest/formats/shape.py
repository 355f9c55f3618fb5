"""What a format is, and what it makes of a row."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from workbench.core.cards import FormatName
from workbench.core.records import Message
from workbench.ingest.rows import Row, RowProblem, WrittenNumber, written_json

SYSTEM_COLUMNS = ("system", "system_prompt", "system_message")
TOOL_COLUMNS = ("tools", "functions")
LABEL_COLUMNS = ("label", "kto_tag")
_ALREADY_SAID_CHARS = 30
"""A shorter text may stand in another by chance."""
_SPELLED = {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False}
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
    """A value as JSON text; text stays as it is, and numbers stay as they were written."""
    return value if isinstance(value, str) else written_json(value)


def tools_of(row: Row) -> str | None:
    """Tool definitions as JSON text, None where there are none."""
    column = first_of(row, TOOL_COLUMNS)
    return json_text(row[column]) if column and row[column] else None


def system_of(row: Row) -> str:
    """The system prompt in a column of its own, empty where there is none."""
    column = first_of(row, SYSTEM_COLUMNS)
    return column_text(row, column) if column else ""


def asked(row: Row, column: str) -> str:
    """What the user says, from `column` and what stands beside it: the context above, then the instruction, the text of
    the column, and the input, one line each. RowProblem `no_prompt` if all but the context are blank."""
    text = column_text(row, column)
    before = "" if column == "instruction" else optional_text(row, "instruction")
    context, given = optional_text(row, "context"), optional_text(row, "input")
    if not (before + text + given).strip():
        raise RowProblem("no_prompt", f"{column} and input are blank" if "input" in row else f"{column} is blank")
    said = text if column == "instruction" else ""
    lines = [before if _adds(before, text) else "", text, given if _adds(given, said) else ""]
    task = "\n".join(line for line in lines if line.strip())
    return f"{context}\n\n{task}" if _adds(context, task) else task


def _adds(text: str, said: str) -> bool:
    """Whether a text says something that was not said already."""
    return bool(text.strip()) and not (len(text) >= _ALREADY_SAID_CHARS and text.strip() in said)


def label_of(row: Row) -> bool | None:
    """Thumbs up or down in `label` or `kto_tag`. RowProblem `bad_label` for a `kto_tag` that is neither; a `label` that
    is not true or false is a class, not a judgment."""
    if isinstance(value := row.get("label"), bool):
        return value
    tag = row.get("kto_tag")
    if tag is None or tag == "":
        return None
    if (judgment := spelled_judgment(tag)) is None:
        raise RowProblem("bad_label", f"kto_tag holds {str(tag)[:40]!r}, expected true or false")
    return judgment


def spelled_judgment(value: Any) -> bool | None:
    """True or false, however spelled: `true`, `1`, `"true"`, `"0"`; None for anything else."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return bool(value) if value in (0, 1) else None
    return _SPELLED.get(value.strip().lower()) if isinstance(value, str) else None


def refuse_media(row: Row) -> None:
    """RowProblem `multimodal` if the row comes with images, sound or video."""
    for column in MEDIA_COLUMNS:
        if row.get(column):
            raise RowProblem("multimodal", f"column {column!r} holds media; only text can be trained on")
