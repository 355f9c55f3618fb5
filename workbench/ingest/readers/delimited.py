"""CSV and TSV: the first line names the columns, every value stays text.

    question,answer
    Agent's number?,007          ->  {"question": "Agent's number?", "answer": "007"}
    Short for sodium?,NA         ->  {"question": "Short for sodium?", "answer": "NA"}

Nothing is guessed: no numbers, no dates, no missing values. A row with too many or too few fields goes to quarantine,
and so does a line with an unclosed quote; reading then goes on at the next line. So does a line that repeats the
header, as in files that were joined end to end.
"""

from __future__ import annotations

import csv
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass

from workbench.core.errors import UsageError
from workbench.core.records import Quarantined
from workbench.ingest.decode import Line, TextFile, refuse_bad_bytes
from workbench.ingest.readers.json_lines import BYTE_ORDER_MARK
from workbench.ingest.rows import DataFile, Place, RawRow, ReadOptions, RowProblem, RowStream, rejected, too_long

_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


@dataclass(frozen=True, slots=True)
class _Fields:
    """One row, or what was wrong with it."""

    values: list[str] | RowProblem
    lines: list[Line]
    """The lines it takes; only the first of a row that cannot be read."""

    @property
    def text(self) -> str:
        return "".join(line.text + line.end for line in self.lines)


def read(file: DataFile, options: ReadOptions) -> RowStream:
    """Rows of a delimited file. Raises UsageError for a header that cannot name the columns."""
    text = TextFile(file, options)
    lines = _Lines(text, options.max_row_bytes)
    rows = _split(lines, _delimiter(file, lines.first_text(), options), options.max_row_bytes)
    number = 0
    if header := next(rows, None):
        columns = _columns(header, file, options)
        for fields in rows:
            first = fields.lines[0]
            place = Place(file.name, number, first.number, first.byte)
            yield _row(fields, columns, fields.values == header.values, place, file)
            number += 1
    if damage := text.damaged_row(number):
        yield damage


def _row(fields: _Fields, columns: list[str], is_header: bool, place: Place, file: DataFile) -> RawRow | Quarantined:
    values = fields.values
    try:
        if isinstance(values, RowProblem):
            raise values
        for line in fields.lines:
            refuse_bad_bytes(line.text)
        if is_header:
            raise RowProblem("repeated_header", "the line repeats the header")
        if len(values) != len(columns):
            raise RowProblem("wrong_field_count", f"{len(values)} fields under {len(columns)} columns")
    except RowProblem as problem:
        return rejected(place, problem, fields.text)
    return RawRow(dict(zip(columns, values, strict=True)), place, None, file.split)


def _split(lines: _Lines, delimiter: str, max_bytes: int) -> Iterator[_Fields]:
    """Rows of the file; after one that cannot be read, reading begins anew at the line below its first."""
    # The limit is the process's own; raised, never lowered, so that long fields of another reader still pass.
    csv.field_size_limit(max(csv.field_size_limit(), max_bytes))
    while True:
        try:
            for values in csv.reader(lines, delimiter=delimiter, strict=True):
                taken = lines.taken()
                if len(taken) > 1 or taken[0].text.strip():  # a blank line is no row
                    yield _Fields(values, taken)
            return
        except (csv.Error, RowProblem) as error:
            problem = error if isinstance(error, RowProblem) else RowProblem("bad_csv", f"not CSV: {error}")
        yield _Fields(problem, [lines.give_back()])


class _Lines:
    """Lines of a file for the parser; those of the row at hand can be given back."""

    def __init__(self, text: TextFile, max_bytes: int) -> None:
        self._lines = text.whole_lines(max_bytes)
        self._again: deque[Line] = deque()
        self._of_row: list[Line] = []
        self._size = 0
        self._max_bytes = max_bytes

    def first_text(self) -> str:
        """The first line that is not blank; it stays to be read."""
        for line in self._lines:
            if line.cut or line.text.strip():
                self._again.append(line)
                return line.text
        return ""

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        """The next line; RowProblem if it, or the row that it belongs to, is too long."""
        line = self._again.popleft() if self._again else next(self._lines)
        self._of_row.append(line)
        self._size += len(line.text)
        if line.cut or self._size > self._max_bytes:
            raise too_long("row", self._max_bytes)
        text = line.text if len(self._of_row) > 1 else line.text.lstrip(BYTE_ORDER_MARK)
        return text + line.end

    def taken(self) -> list[Line]:
        """The lines of the row that was just parsed."""
        lines, self._of_row, self._size = self._of_row, [], 0
        return lines

    def give_back(self) -> Line:
        """The first line of the row at hand; the others will be read again."""
        first, *rest = self.taken()
        self._again.extendleft(reversed(rest))
        return first


def _delimiter(file: DataFile, header: str, options: ReadOptions) -> str:
    """Tabs for .tsv; otherwise what the header has most of, commas when in doubt."""
    if ".tsv" in file.path.suffixes:
        return "\t"
    best = delimiter_of(header)
    if best != ",":
        options.warn(f"{file.name}: columns are separated by {_DELIMITERS[best]}, not commas")
    return best


def delimiter_of(header: str) -> str:
    """What a header has most of, commas when in doubt."""
    best = max(_DELIMITERS, key=header.count)
    return best if header.count(best) else ","


def _columns(header: _Fields, file: DataFile, options: ReadOptions) -> list[str]:
    where = f"{file.name}:{header.lines[0].number}"
    if isinstance(header.values, RowProblem):
        raise UsageError(f"header cannot be read: {header.values.detail}", where=where)
    names = [name.strip() for name in header.values]
    next_step = "give every column its own name in the first line"
    if not any(names):
        raise UsageError("no column has a name", where=where, next_step=next_step)
    unnamed = [number for number, name in enumerate(names, start=1) if not name]
    if unnamed:
        names = [name or f"column {number}" for number, name in enumerate(names, start=1)]
        options.warn(f"{where}: columns without a name: {', '.join(names[number - 1] for number in unnamed[:20])}")
    if repeated := [name for name, count in Counter(names).items() if count > 1]:
        raise UsageError(f"column {repeated[0]!r} appears twice in the header", where=where, next_step=next_step)
    return names
