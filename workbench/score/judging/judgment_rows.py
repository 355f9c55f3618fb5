"""Rows of a file of judgments, as their publishers give them: JSON Lines, one JSON list, Parquet, or CSV.

    id,model_a,model_b,winner_model_a,winner_model_b,winner_tie,response_a,response_b
    7,x,y,0,1,0,"[""four""]","[""4""]"
    ->  ("train.csv:2", {"id": "7", "model_a": "x", ..., "winner_model_b": 1.0, ...})

Values of CSV stay text, but for turns and verdicts that are numbers; an empty field is a missing value, of an answer or
a prompt an empty text. Ids that a table holds as decimals (81.0) are the whole numbers they are.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from workbench.core.errors import IncompleteError, UsageError

Place = str
"""File and line, entry or row, for messages."""
_PARQUET = b"PAR1"
_NUMBERS = ("preference", "score", "turn", "winner_model_a", "winner_model_b", "winner_tie")
_TEXTS = ("output_1", "output_2", "response_a", "response_b", "before_output", "after_output", "prompt")
_IDS = ("question_id", "id")
_WHOLE = re.compile(r"(\d+)\.0+")


def judgment_rows(path: Path) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Every row with its place. UsageError without a file, IncompleteError for a row that is none."""
    if not path.is_file():
        raise UsageError("there is no such file", where=str(path))
    with path.open("rb") as stream:
        is_parquet = stream.read(len(_PARQUET)) == _PARQUET
    if is_parquet:
        yield from _parquet(path)
        return
    text = path.read_bytes().decode("utf-8-sig", "replace")
    if path.suffix.lower() == ".csv":
        yield from _csv(path, text)
        return
    for place, row in _list(path, text) if text.lstrip()[:1] == "[" else _lines(path, text):
        if not isinstance(row, dict):
            raise IncompleteError("expected a JSON object", where=place)
        yield place, row


def _list(path: Path, text: str) -> Iterator[tuple[Place, Any]]:
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise IncompleteError(f"is no JSON list: {error}", where=str(path)) from None
    for number, row in enumerate(rows, start=1):
        yield f"{path}, entry {number}", row


def _lines(path: Path, text: str) -> Iterator[tuple[Place, Any]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        place = f"{path}:{number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise IncompleteError(f"is no JSON: {error}", where=place) from None
        yield place, row


def _csv(path: Path, text: str) -> Iterator[tuple[Place, dict[str, Any]]]:
    # the limit is the process's own: raised, never lowered
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))
    table = csv.DictReader(io.StringIO(text, newline=""), restkey="", strict=True)
    try:
        for row in table:
            yield f"{path}:{table.line_num}", {name: _value(name, said) for name, said in row.items()}
    except csv.Error as error:
        raise IncompleteError(f"is no CSV: {error}", where=f"{path}:{table.line_num}") from None


def _value(name: str, said: Any) -> Any:
    if not said:
        return said if name in _TEXTS else None
    if name in _IDS and (whole := _WHOLE.fullmatch(said)):
        return whole[1]
    if name not in _NUMBERS:
        return said
    try:
        return float(said)
    except (ValueError, TypeError):
        return said


def _parquet(path: Path) -> Iterator[tuple[Place, dict[str, Any]]]:
    import pyarrow as pa  # 0.1 s
    from pyarrow import parquet

    try:
        rows = parquet.ParquetFile(path).read().to_pylist()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise IncompleteError(f"Parquet file cannot be read: {error}", where=str(path)) from None
    for number, row in enumerate(rows, start=1):
        yield f"{path}, row {number}", {name: _plain(name, value) for name, value in row.items()}


def _plain(name: str, value: Any) -> Any:
    """Decimals as numbers, and whole numbers as such where they are ids."""
    if isinstance(value, Decimal):
        value = int(value) if value == value.to_integral_value() else float(value)
    return int(value) if name in _IDS and isinstance(value, float) and value.is_integer() else value
