"""Whatever stands in a file, reading it ends in rows, quarantined entries or an error for people."""

from __future__ import annotations

import json
import tempfile
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ingest_files import COMPRESS, KINDS, json_lines, json_list, table
from ingest_makers import card_of

from workbench.core.errors import WorkbenchError
from workbench.core.records import Quarantined, Record
from workbench.ingest.formats.registry import detect
from workbench.ingest.read import Tally, stream_records
from workbench.ingest.rows import RowProblem
from workbench.ingest.strict_json import parse

ROWS = [{"text": f"Row {number}: é, \"x\"", "n": number, "list": [{"a": "z" * number}]} for number in range(40)]
TABLE_ROWS = [{"question": f"Q {number}, \"é\"\nmore?", "answer": "x" * number} for number in range(40)]
FILES = {name: make(TABLE_ROWS if name == "rows.csv" else ROWS) for name, make in KINDS.items()} | {
    f"rows.jsonl{suffix}": compress(json_lines(ROWS)) for suffix, compress in COMPRESS.items()
}
FILES |= {"rows.md": b"\n\n".join(b"# A\n\ntext\n\n```\ncode\n\n```" for _ in range(9)), "rows": json_list(ROWS)}

BYTES = st.one_of(
    st.binary(max_size=8),
    st.sampled_from([b'"', b"{", b"}", b"[", b"]", b",", b"\\", b"\n", b"\r", b"\x00" * 9, b"\xef\xbb\xbf", b"NaN"]),
    st.sampled_from([b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\xff\xff\xff\x7f", b"[" * 2000, b'{"a":' * 200]),
)
EDITS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 60), BYTES), min_size=1, max_size=5)


def outcome(name: str, content: bytes, max_line_bytes: int = 4_000_000) -> tuple[Tally, list[Record | Quarantined]]:
    """What reading gives; any exception but WorkbenchError fails the test."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / name).write_bytes(content)
        tally = Tally()
        items: list[Record | Quarantined] = []
        try:
            items.extend(stream_records(card_of(name, max_line_bytes=max_line_bytes), Path(folder), tally))
        except WorkbenchError as error:
            assert str(error)
    return tally, items


def check(name: str, content: bytes, max_line_bytes: int = 4_000_000) -> None:
    tally, items = outcome(name, content, max_line_bytes)
    if not items:
        return
    assert len(items) == tally.rows == tally.records + tally.quarantined
    places = [
        (item.row, item.line, item.byte)
        if isinstance(item, Quarantined)
        else (item.source.row, item.source.line, None)
        for item in items
    ]
    for (row, line, _), (next_row, next_line, _) in pairwise(places):
        assert row is not None and next_row is not None and row < next_row
        assert line is None or next_line is None or line <= next_line
    for item in items:
        item.model_dump_json().encode()
        assert isinstance(item, Record) or (item.reason and item.detail and len(item.excerpt) <= 200)


@given(st.sampled_from(sorted(FILES)), EDITS, st.sampled_from([1000, 4_000_000]))
@settings(max_examples=250, deadline=None)
def test_damaged_files_of_every_kind_end_in_rows_and_reasons(
    name: str, edits: list[tuple[float, int, bytes]], max_line_bytes: int
) -> None:
    content = FILES[name]
    for where, removed, put in edits:
        position = int(where * len(content))
        content = content[:position] + put + content[position + removed :]
    check(name, content, max_line_bytes)


@given(st.sampled_from(sorted(FILES)), st.floats(0, 1))
@settings(max_examples=100, deadline=None)
def test_files_cut_anywhere_end_in_rows_and_reasons(name: str, where: float) -> None:
    check(name, FILES[name][: int(where * len(FILES[name]))])


@given(st.sampled_from(sorted(FILES)), st.binary(max_size=300))
@settings(max_examples=100, deadline=None)
def test_random_bytes_under_any_name_end_in_rows_and_reasons(name: str, content: bytes) -> None:
    check(name, content)


@given(
    st.lists(st.sampled_from(['{"text": "a"}', '{"text": "b"', "junk", "[]", "{}", '{"text": 3}', "{,}"]), max_size=12)
)
@settings(deadline=None)
def test_every_line_is_accounted_for_by_itself(raw: list[str]) -> None:
    lines = ['{"text": "first"}', *raw, '{"text": "last"}'] + ['{"text": "more"}'] * len(raw)
    tally, items = outcome("rows.jsonl", "\n".join(lines).encode())

    assert tally.rows == len(lines)
    assert [isinstance(item, Record) for item in items] == [_is_row(line) for line in lines]


def _is_row(line: str) -> bool:
    """Whether the json module takes a line, and the row in it has a text."""
    try:
        value = json.loads(line)
    except ValueError:
        return False
    return isinstance(value, dict) and "text" in value


COLUMNS = st.sampled_from(
    [
        *("messages", "conversations", "role", "content", "from", "value", "type", "text", "tool_calls"),
        *("function", "name", "arguments", "chosen", "rejected", "prompt", "completion", "question"),
        *("answer", "answers", "instruction", "input", "output", "history", "system", "tools", "label"),
        *("kto_tag", "images"),
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4) | COLUMNS, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(COLUMNS, VALUES, max_size=6))
@settings(max_examples=300)
def test_a_row_of_any_values_is_parsed_or_refused_with_a_reason(row: dict[str, object]) -> None:
    try:
        parsed = detect(row).parse(row)
    except RowProblem as problem:
        assert problem.reason and problem.detail
    else:
        assert parsed.kind in ("chat", "preference", "document")


NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers()


@given(st.recursive(NUMBERS | st.text(), st.lists, max_leaves=5))
def test_strict_json_gives_what_the_json_module_gives(value: object) -> None:
    assert parse(json.dumps(value)) == value


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.csv"])
def test_a_good_file_gives_all_its_rows_and_nothing_else(name: str) -> None:
    content = {"rows.jsonl": json_lines, "rows.csv": table}[name](TABLE_ROWS)
    tally, items = outcome(name, content)

    assert [item.answer() for item in items if isinstance(item, Record)] == [row["answer"] for row in TABLE_ROWS]
    assert tally.quarantined == 0
