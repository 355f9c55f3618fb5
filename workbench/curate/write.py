"""The parts of the artifact, written in one pass over rows and findings: what stays, what goes, and why.

    rows.jsonl of ingest  +  spool  +  later  ->  records.jsonl, dropped.jsonl, findings.jsonl, and the counts of all

A row that was not repaired is written byte for byte as ingest wrote it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.core.funnel import BalanceTable, DuplicateCluster, ReasonCount
from workbench.core.parts import write_rows
from workbench.core.records import Edge, Finding, Record
from workbench.core.stage import Context
from workbench.curate.actions import Said
from workbench.curate.balance import Tally, Traits
from workbench.curate.batch import DataPart, batches
from workbench.curate.funnel import ClusterExcerpts, ReasonTally
from workbench.curate.spool import Later, Spool
from workbench.curate.table import Numbers

if TYPE_CHECKING:
    from workbench.text.near_duplicates import NearDuplicatesFound

_ROWS_BETWEEN_LOOKS = 2000


@dataclass(frozen=True, slots=True)
class Row:
    """One row with everything found out about it by itself."""

    number: int
    original: bytes
    """The record as read, one JSON line."""
    repaired: bytes | None
    said: tuple[Said, ...]
    traits: Traits

    def current(self) -> bytes:
        """The record as it goes on."""
        return self.original if self.repaired is None else self.repaired


@dataclass(frozen=True, slots=True)
class Written:
    """The counts of what was written."""

    reasons: tuple[ReasonCount, ...]
    clusters: tuple[DuplicateCluster, ...]
    balance: tuple[BalanceTable, ...]
    distinct_2: float | None


def rows_of(parts: Sequence[DataPart], spool: Spool) -> Iterator[Row]:
    """All rows in order, read again."""
    spooled = spool.rows()
    for batch in batches(parts):
        for position, line in enumerate(batch.lines):
            row = next(spooled)
            yield Row(batch.first_row + position, line, row.repaired, row.said, row.traits)


def write_parts(
    parts: Sequence[DataPart],
    spool: Spool,
    later: Later,
    numbers: Numbers,
    excerpts: ClusterExcerpts,
    ctx: Context,
) -> Written | None:
    """Writes records, drops and findings; None if the user wants to stop."""
    reasons, balance = ReasonTally(), Tally()
    pending = later.of_rows()
    late_row, late_said = next(pending, (-1, []))
    with ExitStack() as stack:
        files = {name: stack.enter_context((ctx.out_dir / name).open("wb")) for name in _FILES}
        for row in rows_of(parts, spool):
            if row.number % _ROWS_BETWEEN_LOOKS == 0:
                ctx.progress(row.number, len(numbers), "rows", "writing")
                if ctx.cancelled():
                    return None
            said = row.said
            if row.number == late_row:
                said = (*said, *late_said)
                late_row, late_said = next(pending, (-1, []))
            findings = _findings(row, said, numbers)
            reasons.add(said, partial(Record.model_validate_json, row.original))
            if row.number in excerpts.wanted:
                excerpts.take(row.number, Record.model_validate_json(row.current()))
            if numbers.dropped[row.number]:
                files["dropped.jsonl"].write(_drop(row, findings))
            else:
                files["records.jsonl"].write(row.current() + b"\n")
                balance.add(row.traits)
            files["findings.jsonl"].writelines(finding + b"\n" for finding in findings)
    ctx.progress(len(numbers), len(numbers), "rows", "writing")
    return Written(reasons.counts(), excerpts.clusters(), balance.tables(), balance.distinct_2())


_FILES = ("records.jsonl", "dropped.jsonl", "findings.jsonl")


def write_edges(path: Path, found: NearDuplicatesFound | None, numbers: Numbers) -> int:
    """Writes the verified near-duplicate pairs, in the order of their rows; returns their number."""
    return write_rows(path, _edges(found, numbers) if found else ())


def _edges(found: NearDuplicatesFound, numbers: Numbers) -> Iterator[Edge]:
    import numpy as np

    ids = numbers.content_id
    for edge in np.lexsort((found.right, found.left)).tolist():
        left, right = int(found.left[edge]), int(found.right[edge])
        yield Edge(
            left=f"{ids[left]:016x}",
            right=f"{ids[right]:016x}",
            left_row=left,
            right_row=right,
            jaccard=float(found.jaccard[edge]),
        )


def _findings(row: Row, said: Sequence[Said], numbers: Numbers) -> list[bytes]:
    """One JSON line per finding, as `write_rows` writes them."""
    if not said:
        return []
    record_id = f"{numbers.record_id[row.number]:016x}"
    return [
        Finding(
            record_id=record_id,
            row=row.number,
            filter=one.filter,
            reason=one.reason,
            action=one.action,
            detail=one.detail,
        )
        .model_dump_json(exclude_defaults=True)
        .encode("utf-8")
        for one in said
    ]


def _drop(row: Row, findings: Sequence[bytes]) -> bytes:
    """A `Drop` as one JSON line, put together from lines: the record needs no parsing."""
    return b'{"row":%d,"record":%b,"findings":[%b]}\n' % (row.number, row.original, b",".join(findings))
