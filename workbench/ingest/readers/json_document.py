"""A JSON document: a list of objects, an object that wraps one, a single row, or several of these one after another.

    [{"text": "one"}, {"text": "two"}]               ->  two rows
    {"version": 2, "data": [{"text": "one"}]}        ->  one row
    {"train": [{...}], "test": [{...}]}              ->  rows of two splits
    {"text": "one"} {"text": "two"}                  ->  two rows

Elements are parsed one by one in a window that slides over the file, so that its size does not matter, each has its
line, and a broken one does not take the others with it: reading goes on behind it if its brackets match, or else at the
next element with the same indentation or the same first key.
"""

from __future__ import annotations

import re
from typing import Any

from workbench.core.records import Quarantined
from workbench.ingest.decode import TextFile, refuse_bad_bytes
from workbench.ingest.formats.registry import FORMATS
from workbench.ingest.readers.json_lines import BYTE_ORDER_MARK, as_object
from workbench.ingest.readers.window import Window
from workbench.ingest.rows import DataFile, Place, RawRow, ReadOptions, RowProblem, RowStream, rejected
from workbench.ingest.splits import SPLITS
from workbench.ingest.strict_json import Unfinished

WRAPPERS = (
    *("data", "rows", "examples", "records", "items", "instances", "entries", "samples", "dataset", "documents"),
    *("qa_pairs", "questions", "dialogs", "dialogues", *SPLITS),
)
"""Keys that may hold the list of rows."""
_EXCERPT_CHARS = 1000
_FIRST_KEY = re.compile(r'\{\s*("(?:[^"\\]|\\.){1,200}")\s*:')
_LINE_END = re.compile(r"\r\n|\r|\n")
_OBJECT_AT_MARGIN = re.compile(r"[\r\n](\{)")
_SOUND_BRACKETS = ("duplicate_key", "too_deep", "too_long")
"""Reasons for which an element is refused although its brackets and quotes may well match."""


def read(file: DataFile, options: ReadOptions) -> RowStream:
    """Rows of a JSON document."""
    return _Document(file, options).rows()


class _Document:
    """A file, the window on it, and how many rows it has given."""

    def __init__(self, file: DataFile, options: ReadOptions) -> None:
        self._file = file
        self._source = TextFile(file, options)
        self._window = Window(self._source)
        self._max_bytes = options.max_row_bytes
        self._row = 0
        self._end_told = False
        """Whether a quarantined entry says that the file ends where it should not."""

    def rows(self) -> RowStream:
        while character := self._window.peek():
            if character == "[":
                yield from self._list(self._file.split)
            elif character == "{":
                yield from self._object()
            elif character == BYTE_ORDER_MARK or (character == "," and self._row > 0):
                self._window.at += 1  # files joined end to end, or a list without its brackets
            else:
                what = "unexpected text after the end of the document" if self._row else "it begins with no [ or {"
                begin, excerpt = self._here(), self._excerpt()
                self._end_told = not self._window.seek(_OBJECT_AT_MARGIN)
                yield self._rejected(begin, RowProblem("bad_json", what), excerpt)
        if self._source.damage and not self._end_told:
            yield self._rejected(self._here(), self._source.damage)

    def _object(self) -> RowStream:
        """The lists below known keys if there are some, else the object itself as one row."""
        begin = self._here()
        problem = RowProblem("bad_json", "the object is not closed: the file may be cut")
        try:
            value, end = self._window.value(self._max_bytes)
        except RowProblem as refused:
            problem = refused
        else:
            if not _wraps_rows(value):
                yield self._checked(begin, value, end, self._file.split)
                self._window.at = end
                return
        excerpt = self._excerpt()
        self._window.hold()
        self._window.at += 1
        wrapped = False
        while (key := self._key()) is not None:
            if key in WRAPPERS and self._window.peek() == "[" and self._window.peek_inside() in ("{", "]"):
                wrapped = True
                self._window.release()
                yield from self._list(SPLITS.get(key, self._file.split))
            else:
                self._window.skip_value()
            if self._window.peek() == ",":
                self._window.at += 1
        closed = self._window.peek() == "}"
        begin = self._here() if wrapped else begin
        self._window.at += closed
        found = closed
        if not closed:
            self._window.back()
            found = self._window.seek(_OBJECT_AT_MARGIN)
        self._window.release()
        if not wrapped or not (closed or self._end_told):
            yield self._rejected(begin, self._or_damage(problem, found), excerpt)

    def _key(self) -> str | None:
        """The next key of the object, with `at` on its value."""
        if self._window.peek() != '"':
            return None
        try:
            key, end = self._window.value(self._max_bytes)
        except RowProblem:
            return None
        self._window.at = end
        if self._window.peek() != ":":
            return None
        self._window.at += 1
        return str(key)

    def _list(self, split: str | None) -> RowStream:
        """Elements of the list at hand, past broken ones where that is possible."""
        self._window.at += 1
        margin = self._window.space()
        following: re.Pattern[str] | None = None
        while (character := self._window.peek()) not in ("", "]"):
            begin = self._here()
            following = following or self._following(margin)
            try:
                value, end = self._window.value(self._max_bytes)
            except RowProblem as problem:
                excerpt = self._excerpt()
                found = self._recover(problem, following)
                yield self._rejected(begin, self._or_damage(problem, found), excerpt)
                continue
            yield self._checked(begin, value, end, split)
            self._window.at = end
            character = self._window.peek()
            if character == ",":
                self._window.at += 1
            elif character not in ("", "]", "{"):
                stray = RowProblem("bad_json", f"expected , or ] after the element, found {character!r}")
                begin, excerpt = self._here(), self._excerpt()
                found = self._recover(stray, following)
                yield self._rejected(begin, self._or_damage(stray, found), excerpt)
        if character == "]":
            self._window.at += 1
        elif not self._end_told:
            unclosed = RowProblem("bad_json", "the list is not closed: the file may be cut")
            yield self._rejected(self._here(), self._or_damage(unclosed, False))

    def _following(self, margin: str) -> re.Pattern[str] | None:
        """What an element looks like at its beginning: as far in as the first, or with the same first key."""
        lines = _LINE_END.split(margin)
        if len(lines) > 1:
            return re.compile(r"[\r\n]" + re.escape(lines[-1]) + r"(\{)")
        if found := _FIRST_KEY.match(self._window.text, self._window.at):
            return re.compile(r"\}\s*,\s*(\{\s*" + re.escape(found.group(1)) + r"\s*:)")
        return None

    def _recover(self, problem: RowProblem, following: re.Pattern[str] | None) -> bool:
        """Moves to the element behind a broken one; False, at the end of the text, if none is found."""
        if following is None or problem.reason in _SOUND_BRACKETS:
            if not self._window.skip_value():
                return False
            if self._window.peek() == ",":
                self._window.at += 1
            if following is None or self._window.peek() in ("{", "]"):
                return self._window.peek() != ""
        self._window.at += 1
        return self._window.seek(following)

    def _or_damage(self, problem: RowProblem, found_more: bool) -> RowProblem:
        """`problem`, or that the file ends too early if nothing was found behind it."""
        if found_more:
            return problem
        self._end_told = True
        if damage := self._source.damage:
            return damage
        if isinstance(problem, Unfinished):
            return RowProblem(problem.reason, f"{problem.detail}; the file may be cut")
        return problem

    def _checked(self, begin: tuple[int, int], value: Any, end: int, split: str | None) -> RawRow | Quarantined:
        try:
            refuse_bad_bytes(self._window.text[self._window.at : end])
            return RawRow(as_object(value), self._placed(begin), None, split)
        except RowProblem as problem:
            return self._rejected(begin, problem)

    def _rejected(self, begin: tuple[int, int], problem: RowProblem, excerpt: str | None = None) -> Quarantined:
        return rejected(self._placed(begin), problem, self._excerpt() if excerpt is None else excerpt)

    def _excerpt(self) -> str:
        return self._window.text[self._window.at : self._window.at + _EXCERPT_CHARS]

    def _here(self) -> tuple[int, int]:
        return self._window.place()

    def _placed(self, begin: tuple[int, int]) -> Place:
        """The next row's place."""
        self._row += 1
        return Place(self._file.name, self._row - 1, *begin)


def _wraps_rows(value: dict[str, Any]) -> bool:
    """Whether an object is there for the list in it, and not a row with a list in a column."""
    lists = {key: inner for key, inner in value.items() if key in WRAPPERS and isinstance(inner, list)}
    if not any(lists.values()):  # nothing to read in them
        return bool(lists) and len(lists) == len(value)
    holds_objects = any(inner and isinstance(inner[0], dict) for inner in lists.values())
    return holds_objects and not any(shape.fits(value) for shape in FORMATS if shape.name != "text")
