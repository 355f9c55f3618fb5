"""One row at a time: repaired, checked by every filter, searched for suite documents, measured.

    examiner.examine(batch)  ->  Examined(rows=<packed SpooledRows>, numbers=Numbers(...), sketches=Sketches(...))

The same function works in this process and in worker processes: what it needs is in the `Examiner`, which is sent once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from workbench.core.errors import IncompleteError
from workbench.core.nodes import CurateNode
from workbench.core.records import Record, Source
from workbench.curate import balance, decontaminate, tokens
from workbench.curate.actions import Action, Actions, Said
from workbench.curate.batch import Batch
from workbench.curate.duplicates import NO_DEFECT, exact_key, group_of, part_of, written_key
from workbench.curate.filters.contract import DatasetFilter, Filter, Subject
from workbench.curate.filters.registry import chosen_filters
from workbench.curate.spool import SpooledRow, packed_rows
from workbench.curate.table import NO_SEQUENCE, Numbers
from workbench.text.contamination import compared_text
from workbench.text.sketch import Sketches, SketchSettings, sketch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


_ANY_TEXTS = ("Any text that is read and looked at, with 7 words or more.", "Anything that a cafÃ© would say, too.")
"""One in ASCII, one not, and decoded wrongly."""
_TOGETHER = 250
"""Rows that one filter looks at before the next does: few enough that what is remembered of their texts, such as the
language, is still there when it is asked for again."""


@dataclass(frozen=True, slots=True)
class Examined:
    """What was found out about one batch."""

    rows: bytes
    """Findings, repaired versions and traits, packed for the spool."""
    numbers: Numbers
    sketches: Sketches | None
    """Of the compared text of each row; None if near-duplicates are not looked for."""
    groups: NDArray[np.uint64]
    """`[n]`: rows of different groups are never near-duplicates."""


@dataclass(frozen=True, slots=True)
class Examiner:
    """Everything needed to examine rows; picklable."""

    node: CurateNode
    contaminants: decontaminate.Contaminants
    counter: tokens.AnyCounter
    sketching: SketchSettings | None
    """None looks for no near-duplicates."""

    def examine(self, batch: Batch) -> Examined:
        """Examines the rows of a batch. IncompleteError names the line that is no record."""
        filters, dataset_filters = chosen_filters(self.node.curate.filters)
        read = [_record(batch, position) for position in range(len(batch.lines))]
        examinations = [_Examination(self, record) for record in read]
        for start in range(0, len(read), _TOGETHER):
            self._examine(examinations[start : start + _TOGETHER], filters, dataset_filters)
        repaired = [one.record for one in examinations]
        counts = self.counter.count(repaired)
        if isinstance(self.counter, tokens.TokenCounter):
            for one, count in zip(examinations, counts, strict=True):
                one.judge_tokens(count)
        dataset = self.node.datasets.index(batch.dataset)
        return Examined(
            rows=packed_rows([one.spooled() for one in examinations]),
            numbers=_numbers(examinations, dataset, _lengths(counts), dataset_filters, self._written(repaired)),
            sketches=self._sketches(repaired),
            groups=_groups(repaired),
        )

    def warm_up(self) -> None:
        """Loads what the first rows would wait for: compiled loops, the language model, the tokenizer."""
        made_up = [
            Record(id=f"{row:016x}", kind="document", text=text, source=Source(dataset=self.node.datasets[0]))
            for row, text in enumerate(_ANY_TEXTS)
        ]
        lines = [record.model_dump_json().encode("utf-8") for record in made_up]
        self.examine(Batch(self.node.datasets[0], Path(), 1, 0, lines))

    def _examine(
        self,
        rows: Sequence[_Examination],
        filters: Sequence[Filter],
        dataset_filters: Sequence[DatasetFilter],
    ) -> None:
        """One filter after the other looks at all the rows: what it needs stays in the processor's cache."""
        for one in filters:
            for row in rows:
                row.mend(one)
        for row in rows:
            row.subject = Subject(row.record)
        for one in filters:
            for row in rows:
                row.check(one)
        for row in rows:
            row.search(self.contaminants)
        for row in rows:
            row.measure(dataset_filters)

    def _written(self, records: Sequence[Record]) -> NDArray[np.uint64]:
        import numpy as np

        if self.sketching is None:
            return np.zeros(len(records), dtype=np.uint64)
        compare = self.node.curate.near_duplicates.compare
        return np.array([written_key(part_of(record, compare)) for record in records], dtype=np.uint64)

    def _sketches(self, records: Sequence[Record]) -> Sketches | None:
        if self.sketching is None:
            return None
        compare = self.node.curate.near_duplicates.compare
        return sketch([part_of(record, compare) for record in records], self.sketching)


class _Examination:
    """One row under examination."""

    def __init__(self, examiner: Examiner, original: Record) -> None:
        self._config = examiner.node.curate
        self._actions = Actions(examiner.node.curate.actions)
        self.original = original
        self.record = original
        self.restored = original.id in examiner.node.restored
        self.said: list[Said] = []
        self.subject = Subject(original)
        """The record as all repairs leave it."""

    def mend(self, one: Filter) -> None:
        """Mends the record. A repair that is switched off, or turned into a flag or a drop, leaves the record as it is;
        so do those after it in the same filter, which build on it."""
        for repair in one.repair(self.record, self._config) if one.repair else []:
            self._add(one.name, repair.reason, "repair", repair.detail)
            if self._actions.of(repair.reason, "repair") != "repair":
                break
            self.record = repair.record

    def check(self, one: Filter) -> None:
        for verdict in one.check(self.subject, self._config):
            self._add(one.name, verdict.reason, verdict.action, verdict.detail)

    def search(self, contaminants: decontaminate.Contaminants) -> None:
        for verdict in contaminants.verdicts(self.record):
            self._add(decontaminate.NAME, verdict.reason, verdict.action, verdict.detail)

    def measure(self, dataset_filters: Sequence[DatasetFilter]) -> None:
        self._traits = balance.traits(self.subject)
        self.keys = {one.name: one.key(self.subject, self._config) for one in dataset_filters}
        self.exact_key = exact_key(self.record)
        self.subject = Subject(self.record)  # without what the filters worked out: a batch is long

    def judge_tokens(self, count: tokens.RecordTokens) -> None:
        for verdict in tokens.verdicts(count):
            self._add(tokens.NAME, verdict.reason, verdict.action, verdict.detail)

    def spooled(self) -> SpooledRow:
        changed = self.record is not self.original
        repaired = self.record.model_dump_json(exclude_defaults=True).encode("utf-8") if changed else None
        return SpooledRow(tuple(self.said), repaired, self._traits)

    @property
    def is_dropped(self) -> bool:
        return any(said.action == "drop" for said in self.said)

    def count_flags(self) -> int:
        return sum(said.action == "flag" and said.reason not in NO_DEFECT for said in self.said)

    def _add(self, name: str, reason: str, default: Action, detail: str) -> None:
        said = self._actions.said(name, reason, default, detail, restored=self.restored)
        if said is not None:
            self.said.append(said)


def _record(batch: Batch, position: int) -> Record:
    try:
        return Record.model_validate_json(batch.lines[position])
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        where = f"{batch.path}:{batch.first_line + position}"
        raise IncompleteError(f"is no valid Record: {problem['msg']}", where=where) from None


def _numbers(
    examinations: Sequence[_Examination],
    dataset: int,
    lengths: NDArray[np.int32],
    dataset_filters: Sequence[DatasetFilter],
    written: NDArray[np.uint64],
) -> Numbers:
    import numpy as np

    keys = {one.name: [row.keys[one.name] for row in examinations] for one in dataset_filters}
    none = {one.name: (0,) * one.width for one in dataset_filters}
    compared = [compared_text(row.record) for row in examinations]
    exact = b"".join(row.exact_key for row in examinations)
    return Numbers(
        record_id=np.array([int(row.original.id, 16) for row in examinations], dtype=np.uint64),
        content_id=np.array([int(row.record.id, 16) for row in examinations], dtype=np.uint64),
        exact_key=np.frombuffer(exact, dtype=np.uint64).reshape(-1, 2).copy(),
        written=written,
        place=np.array([_place(dataset, row.original) for row in examinations], dtype=np.uint64),
        chars=np.array([len(text) for text in compared], dtype=np.int32),
        dropped=np.array([row.is_dropped for row in examinations], dtype=bool),
        flags=np.array([row.count_flags() for row in examinations], dtype=np.uint16),
        restored=np.array([row.restored for row in examinations], dtype=bool),
        saved=np.array([any(said.saved for said in row.said) for row in examinations], dtype=bool),
        lengths=lengths,
        keyed={name: np.array([key is not None for key in found], dtype=bool) for name, found in keys.items()},
        keys={
            name: np.array([none[name] if key is None else key for key in found], dtype=np.uint64)
            for name, found in keys.items()
        },
    )


def _place(dataset: int, record: Record) -> tuple[int, int, int]:
    import xxhash

    source = record.source
    file = 0 if source.file is None else xxhash.xxh64_intdigest(source.file.encode("utf-8", "surrogatepass"))
    return dataset, file, 0 if source.row is None else source.row + 1


def _groups(records: Sequence[Record]) -> NDArray[np.uint64]:
    import numpy as np
    import xxhash

    return np.array([xxhash.xxh64_intdigest(group_of(record).encode()) for record in records], dtype=np.uint64)


def _lengths(counts: Sequence[tokens.RecordTokens]) -> NDArray[np.int32]:
    import numpy as np

    no_sequence = (NO_SEQUENCE, 0)
    return np.array([no_sequence if one.problem else (one.prompt, one.answer) for one in counts], dtype=np.int32)
