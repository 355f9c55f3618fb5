"""From a dataset card to records: files, rows, shapes.

    card = Card(name="tickets", source=FileSource(kind="file", path="tickets.jsonl"))
    for item in stream_records(card, project, tally := Tally()):
        ...                        Record or Quarantined, one at a time
    tally                      ->  Tally(records=300, quarantined=2, shapes={"alpaca": 298, "text": 2}, ...)

Every row ends as a record or in quarantine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from workbench.core.cards import Card, FileSource, HubSource, LlamaFactorySource
from workbench.core.errors import IncompleteError, UsageError, WorkbenchError
from workbench.core.records import Quarantined, Record, Source, record_id
from workbench.core.wire import storable
from workbench.ingest.files import data_files
from workbench.ingest.formats.registry import check_columns, detect, named, renamed
from workbench.ingest.formats.shape import Format, Parsed
from workbench.ingest.labels import LabelReading, judged
from workbench.ingest.llama_factory import INDEX, Entry, canonical, load_entry
from workbench.ingest.readers import hub
from workbench.ingest.readers.registry import reader_of
from workbench.ingest.rows import RawRow, ReadOptions, Row, RowProblem, RowStream, rejected_row
from workbench.ingest.splits import SPLITS
from workbench.ingest.unread import UnreadColumns

PROGRESS_ROWS = 1000
"""Rows between two looks at `on_rows`."""
_TOPIC_COLUMNS = ("topic", "category")
_FIRST_ROWS = 100
"""Looked at to see whether there are labels that may be judgments or classes."""
_KEPT_NAMES = 1000
_SHOWN_NAMES = 20
_NOT_ABOUT_COLUMNS = ("multimodal", "bad_role", "bad_tool_call", "no_answer", "unsupported_shape")


class ReadingStopped(Exception):
    """The caller's `on_rows` asked to stop."""


@dataclass(slots=True)
class Tally:
    """What became of the rows, in numbers."""

    records: int = 0
    quarantined: int = 0
    shapes: Counter[str] = field(default_factory=Counter)
    """Format to number of records."""
    reasons: Counter[str] = field(default_factory=Counter)
    """Quarantined rows by reason."""
    columns: dict[str, None] = field(default_factory=dict)
    """Columns seen, in order."""
    examples: dict[str, Quarantined] = field(default_factory=dict)
    """The first quarantined row of each reason."""
    unread: Counter[str] = field(default_factory=Counter)
    """Records by column that says something and was not read."""
    judgments: Counter[bool] = field(default_factory=Counter)
    """Records marked as good (True) or bad answers."""

    @property
    def rows(self) -> int:
        """Rows read."""
        return self.records + self.quarantined

    def reject(self, row: Quarantined) -> Quarantined:
        """Counts a quarantined row."""
        self.quarantined += 1
        self.reasons[row.reason] += 1
        self.examples.setdefault(row.reason, row)
        return row


@dataclass(frozen=True, slots=True)
class Reading:
    """A dataset that is small enough to be held in memory."""

    records: list[Record]
    quarantined: list[Quarantined]
    tally: Tally


def read_records(
    card: Card,
    project: Path,
    warn: Callable[[str], object] = lambda message: None,
    on_rows: Callable[[int], bool] = lambda rows: True,
) -> Reading:
    """As `stream_records`, everything at once."""
    reading = Reading([], [], Tally())
    for item in stream_records(card, project, reading.tally, warn, on_rows):
        if isinstance(item, Quarantined):
            reading.quarantined.append(item)
        else:
            reading.records.append(item)
    return reading


def stream_records(
    card: Card,
    project: Path,
    tally: Tally,
    warn: Callable[[str], object] = lambda message: None,
    on_rows: Callable[[int], bool] = lambda rows: True,
) -> Iterator[Record | Quarantined]:
    """Records and quarantined rows of a card with a file or hub source, counted in `tally`.

    Relative paths start at `project`. `on_rows` hears the number of rows read now and then; where it returns False,
    ReadingStopped is raised. Raises UsageError if nothing can be read as the card says, IncompleteError, at the end, if
    there was no record, PrerequisiteError if the hub cannot be reached.
    """
    check_columns(card)
    entry = load_entry(card.source, card, project) if isinstance(card.source, LlamaFactorySource) else None
    loaded: dict[str, Any] = {}
    labels = LabelReading() if entry else _look_at_labels(card, project, loaded, on_rows)  # an entry names its own
    unread = UnreadColumns()
    rows = islice(_rows(card, entry, project, warn, loaded), _limit(card, entry))
    for number, item in enumerate(rows, start=1):
        if isinstance(item, Quarantined):
            yield tally.reject(item)
        else:
            yield _taken(item, card, entry, labels.are_judgments, unread, tally)
        if number % PROGRESS_ROWS == 0 and not on_rows(number):
            raise ReadingStopped
    if problem := _nothing_read(card, tally):
        raise problem
    _say_what_is_odd(tally, warn)
    if said := labels.story(tally.judgments[True], tally.judgments[False]):
        warn(said)


def _look_at_labels(
    card: Card, project: Path, loaded: dict[str, Any], on_rows: Callable[[int], bool]
) -> LabelReading:
    """Whether labels that are 1 or 0 are judgments: the first rows tell whether there are some, then all rows count."""
    for most in (_FIRST_ROWS, None):
        reading = LabelReading()
        rows = islice(_rows(card, None, project, lambda message: None, loaded), card.limit)
        for number, item in enumerate(islice(rows, most), start=1):
            if isinstance(item, RawRow) and item.values.get(card.columns.get("label", "label")) is not None:
                _add_label(reading, item, card)
            if reading.found and reading.has_others:
                return reading
            if number % PROGRESS_ROWS == 0 and not on_rows(0):
                raise ReadingStopped
        if not reading.found:
            break
    return reading


def _add_label(reading: LabelReading, raw: RawRow, card: Card) -> None:
    try:
        row, shape = _shaped(raw, card, None)
        reading.add(row, shape.parse(row))
    except RowProblem:
        return  # the row goes to quarantine, whatever its label means


def _shaped(raw: RawRow, card: Card, entry: Entry | None) -> tuple[Row, Format]:
    """The row under canonical names and its format. Raises RowProblem."""
    row = canonical(raw.values, entry) if entry else renamed(raw.values, card.columns)
    return row, detect(row) if card.format == "auto" else named(card.format)


def _limit(card: Card, entry: Entry | None) -> int | None:
    limits = [limit for limit in (card.limit, entry.num_samples if entry else None) if limit is not None]
    return min(limits, default=None)


def _rows(
    card: Card, entry: Entry | None, project: Path, warn: Callable[[str], object], loaded: dict[str, Any]
) -> RowStream:
    options = ReadOptions(card.max_line_bytes, warn)
    source = card.source if entry is None else entry.source
    if isinstance(source, HubSource):
        return hub.read(source, options, loaded)
    assert isinstance(source, FileSource), source
    return _rows_of_files(source, project, f"dataset card {card.name}", options)


def _rows_of_files(source: FileSource, project: Path, where: str, options: ReadOptions) -> RowStream:
    for file in data_files(source, project, where, options.warn):
        empty = True
        try:
            for item in reader_of(file, options)(file, options):
                empty = False
                yield item
        except OSError as error:
            raise UsageError(f"file cannot be read: {error.strerror or error}", where=file.name) from None
        if empty:
            options.warn(f"{file.name}: no row in it")


def _taken(
    raw: RawRow, card: Card, entry: Entry | None, labels_judge: bool, unread: UnreadColumns, tally: Tally
) -> Record | Quarantined:
    """A row as a record, or for the quarantine."""
    if len(tally.columns) < _KEPT_NAMES:
        tally.columns.update(dict.fromkeys(raw.values))
    try:
        row, shape = _shaped(raw, card, entry)
        row = judged(row) if labels_judge else row
        parsed = shape.parse(row)
        record = _record(parsed, row, raw, card.name)
    except RowProblem as problem:
        return tally.reject(rejected_row(raw, problem))
    tally.records += 1
    tally.shapes[shape.name] += 1
    if parsed.label is not None:
        tally.judgments[parsed.label] += 1
    for column in unread.of(row, shape, parsed):
        tally.unread[column] += 1
    for column in entry.unnamed(raw.values) if entry else ():
        tally.unread[column] += 1
    return record


def _record(parsed: Parsed, row: Row, raw: RawRow, dataset: str) -> Record:
    topic = next((row[name] for name in _TOPIC_COLUMNS if isinstance(row.get(name), str) and row[name]), None)
    part_of = row["part_of"] if isinstance(row.get("part_of"), str | int) else raw.part_of
    split = row.get("split")
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
            split=SPLITS.get(split.strip().lower(), raw.split) if isinstance(split, str) else raw.split,
        ),
        topic=None if topic is None else storable(topic),
    )


def _nothing_read(card: Card, tally: Tally) -> WorkbenchError | None:
    """Why there is no record, or None if there is one; what the card can change is a UsageError."""
    where = f"dataset card {card.name}"
    found = "columns found: " + _listed(tally.columns)
    absent = [own for own in card.columns.values() if own not in tally.columns]
    if absent and tally.columns and len(tally.columns) < _KEPT_NAMES:
        return UsageError(f"columns: no row has a column {absent[0]!r}", where=where, next_step=found)
    if tally.records:
        return None
    if not tally.rows:
        return IncompleteError("the dataset is empty: no row was found", where=where)
    reason, count = tally.reasons.most_common(1)[0]
    example = tally.examples[reason]
    place = example.file if example.line is None else f"{example.file}:{example.line}"
    story = f"{reason} in {count} of {tally.rows} rows, first at {place}: {example.detail}"
    if not tally.columns:
        return IncompleteError(f"no row could be read: {story}", where=where)
    advice = f"{found}; set `format`, or map yours with `columns: {{program's name: your name}}`"
    if reason in _NOT_ABOUT_COLUMNS:
        advice = f"change the data, or name another file; {found}"
    if example.file.endswith(INDEX):
        advice = "it is an index; name one of its entries: source: {kind: llama_factory, path: ..., entry: ...}"
    return UsageError(f"no row fits format {card.format}: {story}", where=where, next_step=advice)


def _listed(columns: dict[str, None]) -> str:
    names = [storable(name) for name in columns]
    return ", ".join(names[:_SHOWN_NAMES]) + (", ..." if len(names) > _SHOWN_NAMES else "")


def _say_what_is_odd(tally: Tally, warn: Callable[[str], object]) -> None:
    if tally.quarantined:
        reasons = ", ".join(f"{reason} {count}" for reason, count in tally.reasons.most_common())
        warn(f"{tally.quarantined} of {tally.rows} rows went to quarantine ({reasons}); see quarantine.jsonl")
    minority = sum(tally.shapes.values()) - max(tally.shapes.values())
    if minority:
        shapes = ", ".join(f"{name} {count}" for name, count in tally.shapes.most_common())
        warn(f"{minority} rows have another shape than most and were read as what they are ({shapes})")
    if tally.unread:
        warn(f"columns that say something and were not read: {unread_text(tally)}; a card can map them (`columns:`)")


def unread_text(tally: Tally) -> str:
    """Columns that were not read, with the number of rows, most frequent first."""
    shown = tally.unread.most_common(_SHOWN_NAMES)
    counts = [f"{storable(name)} ({rows} {'row' if rows == 1 else 'rows'})" for name, rows in shown]
    return ", ".join(counts) + (", ..." if len(tally.unread) > _SHOWN_NAMES else "")
