"""CSV and TSV: the first line names the columns, every value stays text.

    question,answer
    Agent's number?,007          ->  {"question": "Agent's number?", "answer": "007"}
    Short for sodium?,NA         ->  {"question": "Short for sodium?", "answer": "NA"}

Nothing is guessed: no numbers, no dates, no missing values. A row with too many or too few fields goes to quarantine,
and so does a line with an unclosed quote; reading then goes on at the next line.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass

from workbench.core.errors import UsageError
from workbench.core.records import Quarantined
from workbench.ingest.decode import Encoding, byte_length, refuse_bad_bytes, sniff, whole_text
from workbench.ingest.rows import DataFile, Place, RawRow, ReadOptions, RowProblem, RowStream, rejected

_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


@dataclass(frozen=True, slots=True)
class _Fields:
    """One row, or what was wrong with it, and the lines it took."""

    values: list[str] | RowProblem
    first: int
    """Zero-based line."""
    text: str


def read(file: DataFile, options: ReadOptions) -> RowStream:
    """Rows of a delimited file, whole in memory. Raises UsageError for a header with an empty or repeated name."""
    encoding = sniff(file, options)
    # newline="" keeps line ends inside quotes; the iterator ends lines at \n, \r and \r\n, as csv does.
    physical = list(io.StringIO(whole_text(file, encoding), newline=""))
    delimiter = _delimiter(file, next((line for line in physical if line.strip()), ""), options)
    rows = (fields for fields in _split(physical, delimiter, options.max_row_bytes) if fields.text.strip())
    header = next(rows, None)
    if header is None:
        return
    columns = _columns(header, file)
    yield from _rows(rows, columns, physical, file, encoding)


def _rows(
    rows: Iterator[_Fields], columns: list[str], physical: list[str], file: DataFile, encoding: Encoding
) -> RowStream:
    offset, counted = encoding.start, 0
    for number, fields in enumerate(rows):
        offset += sum(byte_length(line, encoding) for line in physical[counted : fields.first])
        counted = fields.first
        yield _row(fields, columns, Place(file.name, number, fields.first + 1, offset))


def _row(fields: _Fields, columns: list[str], place: Place) -> RawRow | Quarantined:
    try:
        if isinstance(fields.values, RowProblem):
            raise fields.values
        refuse_bad_bytes(fields.text)
        if len(fields.values) != len(columns):
            raise RowProblem("wrong_field_count", f"{len(fields.values)} fields under {len(columns)} columns")
        return RawRow(dict(zip(columns, fields.values, strict=True)), place)
    except RowProblem as problem:
        return rejected(place, problem, fields.text)


def _split(physical: list[str], delimiter: str, max_bytes: int) -> Iterator[_Fields]:
    """Rows of the file; after one that cannot be read, reading begins anew at the line below its first."""
    # The limit is the process's own; raised, never lowered, so that long fields of another reader still pass.
    csv.field_size_limit(max(csv.field_size_limit(), max_bytes))
    position = 0
    while position < len(physical):
        source = _Source(physical, position, max_bytes)
        parser = csv.reader(source, delimiter=delimiter, strict=True)
        try:
            for values in parser:
                yield _Fields(values, position, source.taken())
                position = source.next_row()
            return
        except (csv.Error, RowProblem) as error:
            problem = error if isinstance(error, RowProblem) else RowProblem("bad_csv", f"not CSV: {error}")
            yield _Fields(problem, position, physical[position])
            position += 1


class _Source:
    """Lines for the parser; knows which belong to the current row and refuses rows without end."""

    def __init__(self, physical: list[str], start: int, max_bytes: int) -> None:
        self._physical = physical
        self._start = start
        self._next = start
        self._size = 0
        self._max_bytes = max_bytes

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self._next == len(self._physical):
            raise StopIteration
        line = self._physical[self._next]
        self._size += len(line)
        if self._size > self._max_bytes:
            raise RowProblem("too_long", f"row is longer than {self._max_bytes:,} bytes (max_line_bytes of the card)")
        self._next += 1
        return line

    def taken(self) -> str:
        return "".join(self._physical[self._start : self._next])

    def next_row(self) -> int:
        self._start = self._next
        self._size = 0
        return self._start


def _delimiter(file: DataFile, header: str, options: ReadOptions) -> str:
    """Tabs for .tsv; otherwise what the header has most of, commas when in doubt."""
    if ".tsv" in file.path.suffixes:
        return "\t"
    best = max(_DELIMITERS, key=header.count)
    if best != "," and header.count(best):
        options.warn(f"{file.name}: columns are separated by {_DELIMITERS[best]}, not commas")
        return best
    return ","


def _columns(header: _Fields, file: DataFile) -> list[str]:
    where = f"{file.name}:{header.first + 1}"
    if isinstance(header.values, RowProblem):
        raise UsageError(f"header cannot be read: {header.values.detail}", where=where)
    names = [name.strip() for name in header.values]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated or "" in names:
        problem = f"column {repeated[0]!r} appears twice in the header" if repeated else "a column has no name"
        raise UsageError(problem, where=where, next_step="give every column its own name in the first line")
    return names
