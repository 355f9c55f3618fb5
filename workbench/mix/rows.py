"""The rows of a mixture as numbers: where each stands on disk, whose it is and how much of it is trained on.

    table = count_rows([RowFile(path)], counter, "sft", ...)
    table.tokens[0], table.names[table.sources[0]]   ->  12, "manuals"
    table.records([0, 7, 0])                         ->  the records, read again

About twenty bytes are kept of a row, so that a million rows fit into little memory; text is read twice instead.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from pydantic import ValidationError

from workbench.core.errors import IncompleteError, UsageError
from workbench.core.objectives import OBJECTIVES, Objective, RowKind, row_kind
from workbench.core.records import Drop, Record
from workbench.models.token_counts import RecordTokens, TokenCounter

_ROWS_AT_ONCE = 500
_EVALUATION = frozenset({"contaminated", "evaluation_split"})
"""Reasons for which a row is no training data under any circumstances: an arm that saw the test proves nothing."""


@dataclass(frozen=True, slots=True)
class RowFile:
    """A JSON Lines part with rows for the mixture."""

    path: Path
    dropped: bool = False
    """Whether its rows are `Drop`s, of which the record counts, and not `Record`s."""


@dataclass(slots=True)
class RowTable:
    """Usable rows, in the order of the files."""

    files: list[RowFile]
    names: list[str] = field(default_factory=list)
    """Sources."""
    sources: array[int] = field(default_factory=lambda: array("i"))
    """Position in `names` of each row's source."""
    tokens: array[int] = field(default_factory=lambda: array("i"))
    """Trainable tokens of each row, at least one."""
    places: array[int] = field(default_factory=lambda: array("q"))
    """Byte at which each row's line begins."""
    file_of: array[int] = field(default_factory=lambda: array("b"))
    """Position in `files`."""
    seen: int = 0
    """Rows read, unusable ones included."""
    truncated: int = 0
    """Rows whose end does not fit; they are used without it."""
    without_tokens: int = 0
    """Rows with nothing to train on within the limit; they are left out."""
    unwritable: int = 0
    """Of these, rows that the model's template cannot write."""
    first_problem: str = ""
    """Why, for the first of them."""
    thumbs_down: int = 0
    """Rows labelled as bad answers; they are left out, but for `kto`."""
    unfit: dict[str, Counter[RowKind]] = field(default_factory=dict)
    """Rows that the objective does not learn from, by source and kind."""
    evaluation: int = 0
    """Dropped rows that hold evaluation data; they are left out."""

    def __len__(self) -> int:
        return len(self.tokens)

    def is_dropped(self, row: int) -> bool:
        """Whether curation dropped the row."""
        return self.files[self.file_of[row]].dropped

    def records(self, rows: Iterable[int]) -> Iterator[Record]:
        """Rows as records, in the order asked for."""
        with ExitStack() as stack:
            streams = [stack.enter_context(file.path.open("rb")) for file in self.files]
            for row in rows:
                stream = streams[self.file_of[row]]
                stream.seek(self.places[row])
                yield _record(stream.readline(), self.files[self.file_of[row]], f"byte {self.places[row]}")[0]


def count_rows(
    files: Sequence[RowFile],
    counter: TokenCounter,
    objective: Objective,
    names: Iterable[str],
    on_progress: Callable[[int], None],
    cancelled: Callable[[], bool],
) -> RowTable | None:
    """All rows that `objective` can use; `names` are sources that may have none. None if the user wants to stop.

    Of pairs the tokens of both endings count, where the objective learns from both.

    Raises UsageError if the model has no chat template, IncompleteError for a line that is no row.
    """
    table = RowTable(list(files), sorted(names))
    known = {name: position for position, name in enumerate(table.names)}
    paired = OBJECTIVES[objective].rows == ("preference",)
    for number, file in enumerate(table.files):
        for batch in _batches(file):
            on_progress(table.seen)
            if cancelled():
                return None
            wanted = [entry for entry in batch if _is_wanted(entry, objective, table)]
            counts = counter.count([entry.record for entry in wanted])
            others = counter.count([entry.record.with_rejected() for entry in wanted]) if paired else counts
            for entry, counted, other in zip(wanted, counts, others, strict=True):
                if not _has_tokens((counted, other), table):
                    continue
                name = entry.record.source.dataset
                if name not in known:
                    known[name] = len(table.names)
                    table.names.append(name)
                table.sources.append(known[name])
                table.tokens.append(counted.answer_left + (other.answer_left if paired else 0))
                table.places.append(entry.place)
                table.file_of.append(number)
    on_progress(table.seen)
    return table


@dataclass(frozen=True, slots=True)
class _Entry:
    place: int
    record: Record
    reasons: frozenset[str]
    """Why it was dropped."""


def _batches(file: RowFile) -> Iterator[list[_Entry]]:
    try:
        stream = file.path.open("rb")
    except FileNotFoundError:
        raise IncompleteError("part is missing", where=str(file.path)) from None
    with stream:
        entries = _entries(stream, file)
        while batch := list(islice(entries, _ROWS_AT_ONCE)):
            yield batch


def _entries(stream: Iterable[bytes], file: RowFile) -> Iterator[_Entry]:
    place = 0
    for number, line in enumerate(stream, start=1):
        record, reasons = _record(line, file, str(number))
        yield _Entry(place, record, reasons)
        place += len(line)


def _record(line: bytes, file: RowFile, place: str) -> tuple[Record, frozenset[str]]:
    """The record of a line, and the reasons it was dropped for."""
    try:
        if not file.dropped:
            return Record.model_validate_json(line), frozenset()
        drop = Drop.model_validate_json(line)
    except ValidationError as error:
        kind = "Drop" if file.dropped else "Record"
        problem = error.errors(include_url=False, include_input=False)[0]["msg"]
        raise IncompleteError(f"is no valid {kind}: {problem}", where=f"{file.path}:{place}") from None
    return drop.record, frozenset(finding.reason for finding in drop.findings if finding.action == "drop")


def _is_wanted(entry: _Entry, objective: Objective, table: RowTable) -> bool:
    table.seen += 1
    if entry.reasons & _EVALUATION:
        table.evaluation += 1
        return False
    kind = row_kind(entry.record)
    if kind not in OBJECTIVES[objective].rows:
        table.unfit.setdefault(entry.record.source.dataset, Counter())[kind] += 1
        return False
    if entry.record.label is False and objective != "kto":
        table.thumbs_down += 1
        return False
    return True


def _has_tokens(endings: tuple[RecordTokens, RecordTokens], table: RowTable) -> bool:
    """Whether every ending (the same one twice but for pairs) can be written and has a token to learn."""
    problems = [counted for counted in endings if counted.problem is not None]
    for counted in problems:
        if counted.problem == "no_template":
            raise UsageError(
                counted.detail,
                where="model.ref",
                next_step="take the instruction-tuned model of the same family",
            )
    table.truncated += any(counted.cut > 0 for counted in endings)
    if not problems and all(counted.answer_left for counted in endings):
        return True
    table.without_tokens += 1
    if problems:
        table.unwritable += 1
        table.first_problem = table.first_problem or problems[0].detail
    return False
