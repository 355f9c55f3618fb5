"""A JSON document: a list of objects, an object that wraps one, or a single row.

    [{"text": "one"}, {"text": "two"}]               ->  two rows
    {"version": 2, "data": [{"text": "one"}]}        ->  one row
    {"text": "one"}                                  ->  one row

Elements are parsed one by one, so that each has its line and a broken one does not take the others with it: in a
pretty-printed list reading goes on at the next element with the same indentation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from workbench.core.records import Quarantined
from workbench.ingest.decode import Encoding, byte_length, refuse_bad_bytes, sniff, whole_text
from workbench.ingest.readers.json_lines import as_object
from workbench.ingest.rows import DataFile, Place, RawRow, ReadOptions, RowProblem, RowStream, rejected
from workbench.ingest.strict_json import parse_at, skip_space

WRAPPERS = ("data", "rows", "examples", "records", "items", "instances", "qa_pairs", "train")
"""Keys that may hold the list of rows."""


def read(file: DataFile, options: ReadOptions) -> RowStream:
    """Rows of a JSON document, whole in memory."""
    encoding = sniff(file, options)
    text = whole_text(file, encoding)
    return _Document(file.name, text, encoding, options.max_row_bytes).rows()


class _Document:
    """A text, and how far its place in lines and bytes has been counted."""

    def __init__(self, name: str, text: str, encoding: Encoding, max_bytes: int) -> None:
        self._name = name
        self._text = text
        self._encoding = encoding
        self._max_bytes = max_bytes
        self._counted = 0
        self._line = 1
        self._byte = encoding.start
        self._row = 0

    def rows(self) -> RowStream:
        start = skip_space(self._text, 0)
        if start == len(self._text):
            return
        if self._text[start] == "[":
            yield from self._list(start)
        elif self._text[start] == "{":
            yield from self._object(start)
        else:
            yield self._bad(start, RowProblem("bad_json", "a JSON document begins with [ or {"))

    def _object(self, start: int) -> RowStream:
        """A wrapped list if one of the known keys holds one, else the object itself as one row."""
        try:
            for key, position in self._keys(start):
                if key in WRAPPERS and self._text[position : position + 1] == "[" and self._has_objects(position):
                    yield from self._list(position)
                    return
            value, end = parse_at(self._text, start)
        except RowProblem as problem:
            yield self._bad(start, problem)
            return
        yield self._checked(start, end, value)
        yield from self._rest(end)

    def _keys(self, start: int) -> Iterator[tuple[str, int]]:
        """Keys of the object at `start` with the positions of their values."""
        position = skip_space(self._text, start + 1)
        while self._text[position : position + 1] == '"':
            key, position = parse_at(self._text, position)
            position = skip_space(self._text, position)
            if self._text[position : position + 1] != ":":
                return
            position = skip_space(self._text, position + 1)
            yield key, position
            _, position = parse_at(self._text, position)
            position = skip_space(self._text, position)
            if self._text[position : position + 1] != ",":
                return
            position = skip_space(self._text, position + 1)

    def _has_objects(self, start: int) -> bool:
        first = skip_space(self._text, start + 1)
        return self._text[first : first + 1] in ("{", "]")

    def _list(self, start: int) -> RowStream:
        """Elements of the list at `start`, past broken ones where that is possible."""
        position = skip_space(self._text, start + 1)
        first = position
        while position < len(self._text) and self._text[position] != "]":
            try:
                value, end = parse_at(self._text, position)
                after = self._after_element(end)
            except RowProblem as problem:
                yield self._bad(position, problem)
                position = self._next_element(first, position)
                continue
            yield self._checked(position, end, value)
            position = after
        if position >= len(self._text):
            yield self._bad(len(self._text), RowProblem("bad_json", "the list is not closed: the file may be cut"))
        elif start == skip_space(self._text, 0):
            yield from self._rest(position + 1)

    def _after_element(self, end: int) -> int:
        """Where the next element begins, or the closing bracket stands."""
        position = skip_space(self._text, end)
        follower = self._text[position : position + 1]
        if follower == ",":
            return skip_space(self._text, position + 1)
        if follower in ("]", ""):
            return position
        raise RowProblem("bad_json", f"expected , or ] after the element, found {follower!r}")

    def _next_element(self, first: int, broken: int) -> int:
        """The next line that opens an object exactly as far in as the first element, or the end of the text."""
        line_start = self._text.rfind("\n", 0, first) + 1
        indent = self._text[line_start:first]
        if line_start == 0 or indent.strip():
            return len(self._text)
        found = re.compile("^" + re.escape(indent) + r"\{", re.MULTILINE).search(self._text, broken + 1)
        return found.end() - 1 if found else len(self._text)

    def _rest(self, position: int) -> RowStream:
        """What follows a complete document is no part of it, and not lost either."""
        position = skip_space(self._text, position)
        if position < len(self._text):
            yield self._bad(position, RowProblem("bad_json", "unexpected text after the end of the document"))

    def _checked(self, start: int, end: int, value: Any) -> RawRow | Quarantined:
        text = self._text[start:end]
        place = self._place(start)
        try:
            if byte_length(text, self._encoding) > self._max_bytes:
                limit = f"{self._max_bytes:,} bytes (max_line_bytes of the card)"
                raise RowProblem("too_long", f"row is longer than {limit}")
            refuse_bad_bytes(text)
            return RawRow(as_object(value), place)
        except RowProblem as problem:
            return rejected(place, problem, text)

    def _bad(self, start: int, problem: RowProblem) -> Quarantined:
        return rejected(self._place(start), problem, self._text[start : start + 1000])

    def _place(self, position: int) -> Place:
        """Row, line and byte of a position; positions only grow, so each character is counted once."""
        passed = self._text[self._counted : position]
        self._line += passed.count("\n")
        self._byte += byte_length(passed, self._encoding)
        self._counted = position
        place = Place(self._name, self._row, self._line, self._byte)
        self._row += 1
        return place
