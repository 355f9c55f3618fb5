"""What was found out about the rows, on disk: written once in the order of the rows, and read again in that order.

    spool.add(packed_rows(rows))      # while the rows are examined: findings, repaired version, traits
    later.add(17, said)               # afterwards, in any order: duplicates and other verdicts about a row among rows
    for row in spool.rows(): ...      # while the parts are written
    later.of_rows()                   # (row, [said, ...]), ascending

Both are scratch of this process alone: what another one left behind is overwritten, never read.
"""

from __future__ import annotations

import pickle
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Self

from workbench.curate.actions import Said

if TYPE_CHECKING:
    from workbench.curate.balance import Traits


@dataclass(frozen=True, slots=True)
class SpooledRow:
    """One examined row, but for its record as it was read."""

    said: tuple[Said, ...]
    repaired: bytes | None
    """The repaired record as one JSON line; None if nothing was repaired."""
    traits: Traits


def packed_rows(rows: Sequence[SpooledRow]) -> bytes:
    """Rows of one batch as the spool keeps them; made where the rows are examined, so that nobody unpacks them before
    they are written."""
    return pickle.dumps([(row.said, row.repaired, row.traits) for row in rows], pickle.HIGHEST_PROTOCOL)


class _Scratch:
    """A file that is there as long as the `with` block."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._file: IO[bytes] = path.open("w+b")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)

    def _load(self) -> Any:
        return pickle.load(self._file)  # written by this very process


class Spool(_Scratch):
    """The examined rows, batch by batch."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._batches = 0

    def add(self, packed: bytes) -> None:
        """Appends the rows of the next batch, as `packed_rows` gives them."""
        self._file.write(packed)
        self._batches += 1

    def rows(self) -> Iterator[SpooledRow]:
        """All rows from the start; one reading at a time."""
        self._file.flush()
        self._file.seek(0)
        for _ in range(self._batches):
            for said, repaired, traits in self._load():
                yield SpooledRow(said, repaired, traits)


class Later(_Scratch):
    """Findings about single rows in any order; in memory are two numbers of each."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._rows = array("q")
        self._places = array("q")

    def add(self, row: int, said: Said) -> None:
        """Appends one finding."""
        self._rows.append(row)
        self._places.append(self._file.tell())
        pickle.dump(said, self._file, pickle.HIGHEST_PROTOCOL)

    def of_rows(self) -> Iterator[tuple[int, list[Said]]]:
        """Rows with findings, ascending, each with its findings in the order in which they were added."""
        import numpy as np

        self._file.flush()
        order = np.argsort(np.frombuffer(self._rows, dtype=np.int64), kind="stable").tolist() if self._rows else []
        for row, positions in groupby(order, key=self._rows.__getitem__):
            yield row, [self._at(self._places[position]) for position in positions]

    def _at(self, place: int) -> Said:
        self._file.seek(place)
        said: Said = self._load()
        return said
