"""The rows of a curation with their text: the index says where, the artifact has the record.

    rows = CuratedRows(index, artifact, fingerprint)
    rows.page("refusal", "flag", contains="sorry")   ->  Page(rows=(ListedRow(prompt="Paint ...", ...), ...), rest=None)
    rows.record(found)                               ->  the whole record

Nothing is kept in memory but marks in the files (`store.lines`). A search for text reads the rows with the reason one
after the other and stops as soon as a page is full.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from workbench.core.errors import IncompleteError
from workbench.core.records import Drop, Record
from workbench.store.curation import FoundRow, rows_with
from workbench.store.lines import Lines

PAGE_ROWS = 100
_EXCERPT_CHARS = 400
_ROWS_PER_LOOK = 5000
_RECORDS_AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class ListedRow:
    """A row for a list."""

    found: FoundRow
    dataset: str
    prompt: str
    """The first 400 characters."""
    answer: str
    """The first 400 characters."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows of a list."""

    rows: tuple[ListedRow, ...]
    rest: int | None
    """The next page is that after this row; None if there is none."""


class CuratedRows:
    """The rows of one curate artifact; may be used from several threads."""

    def __init__(self, index: Path, artifact: Path, fingerprint: str) -> None:
        self.index = index
        self.fingerprint = fingerprint
        self._artifact = artifact
        self._kept = Lines(artifact / "records.jsonl")
        self._dropped = Lines(artifact / "dropped.jsonl")

    def page(self, reason: str, action: str, *, contains: str = "", after: int = -1, limit: int = PAGE_ROWS) -> Page:
        """Rows that a reason touched with one action, after row `after`; with `contains`, those that say it in any case
        in their texts or in the evidence. IncompleteError if the artifact's files are gone or are not the index's."""
        listed: list[ListedRow] = []
        rows = _ROWS_PER_LOOK if contains else limit + 1
        while True:
            look = rows_with(self.index, self.fingerprint, reason, action, after=after, limit=rows)
            for found, record in self._that_say(look, contains.casefold()):
                if len(listed) == limit:
                    return Page(tuple(listed), listed[-1].found.row_number)
                listed.append(listed_row(found, record))
            if len(look) < rows:
                return Page(tuple(listed), None)
            after = look[-1].row_number

    def record(self, found: FoundRow) -> Record:
        """The whole record: of a dropped row as it was read, of a kept one as it went on. Errors as `page`."""
        return self.records([found])[found.row_number]

    def records(self, found: Sequence[FoundRow]) -> dict[int, Record]:
        """The whole records by row number. Errors as `page`."""
        lines = self._lines(found)
        return {row.row_number: self._record(row, lines[row.row_number]) for row in found}

    def _that_say(self, found: Sequence[FoundRow], wanted: str) -> Iterator[tuple[FoundRow, Record]]:
        """The rows with a text, a few at a time, since each may be large; all rows where none is wanted."""
        in_json = json.dumps(wanted, ensure_ascii=False)[1:-1]
        for first in range(0, len(found), _RECORDS_AT_ONCE):
            some = found[first : first + _RECORDS_AT_ONCE]
            lines = self._lines(some)
            for row in some:
                line = lines[row.row_number]
                # Reading JSON takes far longer than looking for the text in it, and most lines have none of it.
                if wanted in row.detail.casefold() or in_json in line.decode("utf-8", "replace").casefold():
                    record = self._record(row, line)
                    if _says(record, row.detail, wanted):
                        yield row, record

    def _lines(self, found: Sequence[FoundRow]) -> dict[int, bytes]:
        """The rows' lines in the artifact, by row number."""
        dropped = {row.line: row.row_number for row in found if row.dropped}
        kept = {row.line: row.row_number for row in found if not row.dropped}
        lines = {dropped[number]: line for number, line in self._dropped.read(dropped)}
        return lines | {kept[number]: line for number, line in self._kept.read(kept)}

    def _record(self, row: FoundRow, line: bytes) -> Record:
        try:
            if not row.dropped:
                return Record.model_validate_json(line)
            drop = Drop.model_validate_json(line)
        except ValidationError:
            raise self._mismatch(row, "is not a record") from None
        if drop.row != row.row_number:
            raise self._mismatch(row, f"is row {drop.row}, not {row.row_number}")
        return drop.record

    def _mismatch(self, row: FoundRow, problem: str) -> IncompleteError:
        part = "dropped.jsonl" if row.dropped else "records.jsonl"
        return IncompleteError(
            f"the line {problem}: the index and the artifact do not belong together",
            where=f"{self._artifact / part}:{row.line + 1}",
            next_step="workbench store rebuild",
        )


def listed_row(found: FoundRow, record: Record) -> ListedRow:
    """A row with the beginnings of its texts."""
    return ListedRow(found, record.source.dataset, record.prompt()[:_EXCERPT_CHARS], record.answer()[:_EXCERPT_CHARS])


def _says(record: Record, detail: str, wanted: str) -> bool:
    return any(wanted in text.casefold() for text in (detail, *_texts(record)))


def _texts(record: Record) -> Iterable[str]:
    for turn in (*record.messages, record.chosen, record.rejected):
        if turn is not None:
            yield turn.content
            yield from (call.arguments for call in turn.tool_calls)
    yield record.text or ""
