"""JSON Lines: one object per line.

    {"instruction": "Say hi", "output": "Hi."}      line 1   ->  a row
    {"instruction": "Say hi", "output": "Hi."       line 2   ->  quarantined: bad_json

Blank lines are no rows. Every other line is either a row or quarantined.
"""

from __future__ import annotations

from workbench.core.records import Quarantined
from workbench.ingest.decode import Line, lines, refuse_bad_bytes, sniff
from workbench.ingest.rows import DataFile, Place, RawRow, ReadOptions, RowProblem, RowStream, rejected
from workbench.ingest.strict_json import parse


def read(file: DataFile, options: ReadOptions) -> RowStream:
    """Rows of a JSON Lines file."""
    row = 0
    for line in lines(file, sniff(file, options), options.max_row_bytes):
        if line.text.strip():
            yield _row(line, Place(file.name, row, line.number, line.byte), options.max_row_bytes)
            row += 1


def _row(line: Line, place: Place, max_bytes: int) -> RawRow | Quarantined:
    try:
        if line.cut:
            raise RowProblem("too_long", f"line is longer than {max_bytes:,} bytes (max_line_bytes of the card)")
        refuse_bad_bytes(line.text)
        return RawRow(as_object(parse(line.text)), place)
    except RowProblem as problem:
        return rejected(place, problem, line.text)


def as_object(value: object) -> dict[str, object]:
    """`value` if it is a JSON object; RowProblem `not_an_object` otherwise."""
    if not isinstance(value, dict):
        raise RowProblem("not_an_object", f"expected a JSON object, found {json_type(value)}")
    return value


def json_type(value: object) -> str:
    """What people call the type of a JSON value."""
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
