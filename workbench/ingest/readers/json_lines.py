"""JSON Lines: one object per line.

    {"instruction": "Say hi", "output": "Hi."}      line 1   ->  a row
    {"instruction": "Say hi", "output": "Hi."       line 2   ->  quarantined: bad_json

Blank lines are no rows. Every other line is either a row or quarantined.
"""

from __future__ import annotations

from workbench.ingest.decode import TextFile, checked_line
from workbench.ingest.rows import DataFile, Place, RawRow, ReadOptions, RowProblem, RowStream, rejected
from workbench.ingest.strict_json import parse

BYTE_ORDER_MARK = "\ufeff"
"""Stands in the middle of files that were joined end to end."""


def read(file: DataFile, options: ReadOptions) -> RowStream:
    """Rows of a JSON Lines file."""
    text = TextFile(file, options)
    row = 0
    for line in text.lines(options.max_row_bytes):
        if not line.cut and not line.text.strip():
            continue
        place = Place(file.name, row, line.number, line.byte)
        try:
            values = as_object(parse(checked_line(line, options.max_row_bytes).lstrip(BYTE_ORDER_MARK)))
        except RowProblem as problem:
            if text.damage and not line.end:
                text.torn = line.text
                break
            yield rejected(place, problem, line.text)
        else:
            yield RawRow(values, place, None, file.split)
        row += 1
    if damage := text.damaged_row(row):
        yield damage


def as_object(value: object) -> dict[str, object]:
    """`value` if it is a JSON object; RowProblem `not_an_object` otherwise."""
    if not isinstance(value, dict):
        raise RowProblem("not_an_object", f"expected a JSON object, found {json_type(value)}")
    return value


def json_type(value: object) -> str:
    """What people call the type of a JSON value."""
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
