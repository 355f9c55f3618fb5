"""From a dataset card to records: files, rows, shapes.

    read_records(Card(name="tickets", source=FileSource(kind="file", path="tickets.jsonl")), project)
    ->  Reading(records=[...], quarantined=[...], shapes={"alpaca": 298, "text": 2}, ...)

Every row ends as a record or in quarantine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from workbench.core.cards import Card, FileSource, HubSource
from workbench.core.errors import IncompleteError, UsageError, WorkbenchError
from workbench.core.records import Quarantined, Record, Source, record_id
from workbench.core.wire import storable
from workbench.ingest.files import data_files
from workbench.ingest.formats.registry import check_columns, detect, named, renamed
from workbench.ingest.formats.shape import Parsed
from workbench.ingest.readers import hub
from workbench.ingest.readers.registry import reader_of
from workbench.ingest.rows import RawRow, ReadOptions, Row, RowProblem, RowStream, rejected_row

PROGRESS_ROWS = 1000
"""Rows between two looks at `on_rows`."""
_TOPIC_COLUMNS = ("topic", "category")
_KEPT_NAMES = 1000
_SHOWN_NAMES = 20
_NOT_ABOUT_COLUMNS = ("multimodal", "bad_role", "bad_tool_call", "no_answer", "unsupported_shape")


class ReadingStopped(Exception):
    """The caller's `on_rows` asked to stop."""


@dataclass(slots=True)
class Reading:
    """What became of the rows."""

    records: list[Record] = field(default_factory=list)
    quarantined: list[Quarantined] = field(default_factory=list)
    shapes: Counter[str] = field(default_factory=Counter)
    """Format to number of records."""
    columns: dict[str, None] = field(default_factory=dict)
    """Columns seen, in order."""

    @property
    def rows(self) -> int:
        """Rows read."""
        return len(self.records) + len(self.quarantined)

    @property
    def reasons(self) -> Counter[str]:
        """Quarantined rows by reason."""
        return Counter(row.reason for row in self.quarantined)


def read_records(
    card: Card,
    project: Path,
    warn: Callable[[str], object] = lambda message: None,
    on_rows: Callable[[int], bool] = lambda rows: True,
) -> Reading:
    """Records and quarantined rows of a card with a file or hub source; relative paths start at `project`.

    `on_rows` hears the number of rows read now and then; where it returns False, ReadingStopped is raised. Raises
    UsageError if nothing can be read as the card says, IncompleteError if there is no record, PrerequisiteError if the
    hub cannot be reached.
    """
    check_columns(card)
    reading = Reading()
    for item in islice(_rows(card, project, warn), card.limit):
        if isinstance(item, Quarantined):
            reading.quarantined.append(item)
        else:
            _take(item, card, reading)
        if reading.rows % PROGRESS_ROWS == 0 and not on_rows(reading.rows):
            raise ReadingStopped
    if problem := _nothing_read(card, reading):
        raise problem
    _say_what_is_odd(card, reading, warn)
    return reading


def _rows(card: Card, project: Path, warn: Callable[[str], object]) -> RowStream:
    options = ReadOptions(card.max_line_bytes, warn)
    if isinstance(card.source, HubSource):
        return hub.read(card.source, options)
    assert isinstance(card.source, FileSource), card.source
    return _rows_of_files(card.source, project, f"dataset card {card.name}", options)


def _rows_of_files(source: FileSource, project: Path, where: str, options: ReadOptions) -> RowStream:
    for file in data_files(source, project, where, options.warn):
        try:
            yield from reader_of(file)(file, options)
        except OSError as error:
            raise UsageError(f"file cannot be read: {error.strerror or error}", where=file.name) from None


def _take(raw: RawRow, card: Card, reading: Reading) -> None:
    """Adds a row as a record, or to the quarantine."""
    if len(reading.columns) < _KEPT_NAMES:
        reading.columns.update(dict.fromkeys(raw.values))
    try:
        row = renamed(raw.values, card.columns)
        shape = detect(row) if card.format == "auto" else named(card.format)
        record = _record(shape.parse(row), row, raw, card.name)
    except RowProblem as problem:
        reading.quarantined.append(rejected_row(raw, problem))
        return
    reading.records.append(record)
    reading.shapes[shape.name] += 1


def _record(parsed: Parsed, row: Row, raw: RawRow, dataset: str) -> Record:
    topic = next((row[name] for name in _TOPIC_COLUMNS if isinstance(row.get(name), str) and row[name]), None)
    part_of = row["part_of"] if isinstance(row.get("part_of"), str | int) else raw.part_of
    return Record(
        id=record_id(parsed.kind, parsed.messages, parsed.chosen, parsed.rejected, parsed.text),
        kind=parsed.kind,
        messages=parsed.messages,
        chosen=parsed.chosen,
        rejected=parsed.rejected,
        text=parsed.text,
        label=parsed.label,
        tools=parsed.tools,
        source=Source(
            dataset=dataset,
            file=raw.place.file,
            row=raw.place.row,
            line=raw.place.line,
            part_of=None if part_of is None else storable(str(part_of)),
        ),
        topic=None if topic is None else storable(topic),
    )


def _nothing_read(card: Card, reading: Reading) -> WorkbenchError | None:
    """Why there is no record, or None if there is one; what the card can change is a UsageError."""
    where = f"dataset card {card.name}"
    found = "columns found: " + _listed(reading.columns)
    absent = [own for own in card.columns.values() if own not in reading.columns]
    if absent and reading.columns and len(reading.columns) < _KEPT_NAMES:
        return UsageError(f"columns: no row has a column {absent[0]!r}", where=where, next_step=found)
    if reading.records:
        return None
    if not reading.rows:
        return IncompleteError("the dataset is empty: no row was found", where=where)
    reason, count = reading.reasons.most_common(1)[0]
    example = next(row for row in reading.quarantined if row.reason == reason)
    place = example.file if example.line is None else f"{example.file}:{example.line}"
    story = f"{reason} in {count} of {reading.rows} rows, first at {place}: {example.detail}"
    if not reading.columns:
        return IncompleteError(f"no row could be read: {story}", where=where)
    advice = f"{found}; set `format`, or map yours with `columns: {{program's name: your name}}`"
    if reason in _NOT_ABOUT_COLUMNS:
        advice = f"change the data, or name another file; {found}"
    return UsageError(f"no row fits format {card.format}: {story}", where=where, next_step=advice)


def _listed(columns: dict[str, None]) -> str:
    names = [storable(name) for name in columns]
    return ", ".join(names[:_SHOWN_NAMES]) + (", ..." if len(names) > _SHOWN_NAMES else "")


def _say_what_is_odd(card: Card, reading: Reading, warn: Callable[[str], object]) -> None:
    if reading.quarantined:
        reasons = ", ".join(f"{reason} {count}" for reason, count in reading.reasons.most_common())
        warn(f"{len(reading.quarantined)} of {reading.rows} rows went to quarantine ({reasons}); see quarantine.jsonl")
    minority = sum(reading.shapes.values()) - max(reading.shapes.values())
    if minority:
        shapes = ", ".join(f"{name} {count}" for name, count in reading.shapes.most_common())
        warn(f"{minority} rows have another shape than most and were read as what they are ({shapes})")
