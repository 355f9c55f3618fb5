"""The sketches of all rows: in memory while they are few, in unnamed files from then on.

    rows = RowStore(bands=25, scratch=work_dir, spill_above=100_000)
    rows.add(sketches)
    rows.band(3)                      # [n] uint64: one band's key of every row
    rows.shingles(np.array([7, 2]))   # the ids of two rows, one after the other, and where each starts

Files are read piece by piece, not mapped: mapped pages would count as this process's memory.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from workbench.text.sketch import Sketches

_BLOCK_ROWS = 16_384
_SHINGLES_AT_ONCE = 1_000_000
_SHINGLES_PER_ROW = 256
"""Rows longer than that fill the memory sooner: so many shingles count as one row."""


class NumberColumn:
    """A growing column of 64-bit numbers."""

    def __init__(self) -> None:
        import numpy as np

        self._parts: list[NDArray[np.uint64]] = [np.empty(0, dtype=np.uint64)]
        self._file: IO[bytes] | None = None
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def append(self, values: NDArray[np.uint64]) -> None:
        """Adds `values` at the end."""
        self._length += len(values)
        if self._file is None:
            self._parts.append(values)
        else:
            self._file.write(values.data)

    def spill(self, directory: Path | None) -> None:
        """Moves everything to a file under `directory` that vanishes with this object."""
        self._file = tempfile.TemporaryFile(dir=directory)  # noqa: SIM115 (lives as long as the column)
        while self._parts:
            self._file.write(self._parts.pop(0).data)

    def read(self, start: int, stop: int) -> NDArray[np.uint64]:
        """The numbers from `start` to `stop`; not to be written to."""
        import numpy as np

        if self._file is None:
            return self._settled()[start:stop]
        values = np.empty(stop - start, dtype=np.uint64)
        self.read_into(values, start)
        return values

    def read_into(self, values: NDArray[np.uint64], start: int) -> None:
        """Fills `values` with the numbers from `start` on."""
        if self._file is None:
            values[:] = self._settled()[start : start + len(values)]
            return
        self._file.flush()
        read_exactly(self._file.fileno(), values, 8 * start)

    def _settled(self) -> NDArray[np.uint64]:
        import numpy as np

        if len(self._parts) > 1:
            self._parts = [np.concatenate(self._parts)]
        return self._parts[0]


def read_exactly(descriptor: int, values: NDArray[np.uint64], at: int) -> None:
    """Fills `values` with the bytes of a file from byte `at`; EOFError if the file ends before."""
    view = values.data.cast("B")
    while view:
        count = os.preadv(descriptor, [view], at)
        if count == 0:
            raise EOFError(f"the file ends at byte {at}, {len(view)} bytes too early")
        view, at = view[count:], at + count


class RowStore:
    """Band keys and shingle ids of rows 0, 1, 2... in the order of adding."""

    def __init__(self, bands: int, scratch: Path | None, spill_above: int) -> None:
        import numpy as np

        self._bands = bands
        self._scratch = scratch
        self._spill_above = spill_above
        self._spilled = False
        self._keys = NumberColumn()
        """Blocks of rows; within a block, band after band."""
        self._block_rows: list[int] = []
        self._waiting: list[NDArray[np.uint64]] = []
        self._waiting_rows = 0
        self._ids = NumberColumn()
        self._counts: list[NDArray[np.int64]] = [np.empty(0, dtype=np.int64)]
        self._starts: NDArray[np.int64] | None = None
        self._rows = 0

    def __len__(self) -> int:
        return self._rows

    def add(self, sketches: Sketches) -> None:
        """Adds rows."""
        import numpy as np

        self._rows += len(sketches)
        self._starts = None
        self._counts.append(np.diff(sketches.offsets))
        self._ids.append(sketches.shingles)
        self._waiting.append(sketches.band_keys)
        self._waiting_rows += len(sketches)
        if self._waiting_rows >= _BLOCK_ROWS:
            self._write_block()
        if not self._spilled and max(self._rows, len(self._ids) // _SHINGLES_PER_ROW) > self._spill_above:
            self._spilled = True
            self._keys.spill(self._scratch)
            self._ids.spill(self._scratch)

    def counts(self) -> NDArray[np.int64]:
        """`[n]`: shingles of each row."""
        import numpy as np

        if len(self._counts) > 1:
            self._counts = [np.concatenate(self._counts)]
        return self._counts[0]

    def band(self, band: int) -> NDArray[np.uint64]:
        """`[n]`: the key of every row in one band."""
        import numpy as np

        self._write_block()
        keys = np.empty(self._rows, dtype=np.uint64)
        row = 0
        for rows in self._block_rows:
            self._keys.read_into(keys[row : row + rows], row * self._bands + band * rows)
            row += rows
        return keys

    def blocks(self) -> Iterator[tuple[int, NDArray[np.uint64]]]:
        """All keys, some rows at a time: number of the first row, `[bands, rows]` uint64."""
        self._write_block()
        row = 0
        for rows in self._block_rows:
            yield row, self._keys.read(row * self._bands, (row + rows) * self._bands).reshape(self._bands, rows)
            row += rows

    def shingles(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        """Numbers among which are the ids of `rows`, and the place of each row's first id.

        In memory that is everything, uncopied; from files only what was asked for.
        """
        import numpy as np

        if self._starts is None:
            self._starts = np.concatenate([[0], np.cumsum(self.counts())])
        if not self._spilled:
            return self._ids.read(0, len(self._ids)), self._starts[rows]
        counts = self.counts()[rows]
        places = np.cumsum(counts) - counts
        ids = np.empty(int(counts.sum()), dtype=np.uint64)
        for place, count, start in zip(places.tolist(), counts.tolist(), self._starts[rows].tolist(), strict=True):
            self._ids.read_into(ids[place : place + count], start)
        return ids, places

    def _write_block(self) -> None:
        import numpy as np

        if self._waiting_rows:
            self._keys.append(np.ascontiguousarray(np.concatenate(self._waiting).T).ravel())
            self._block_rows.append(self._waiting_rows)
            self._waiting, self._waiting_rows = [], 0


def portions(weights: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Slices (start, stop) of `weights`, each of one item or with a sum of at most `_SHINGLES_AT_ONCE`."""
    import numpy as np

    sums = np.cumsum(weights)
    start = 0
    while start < len(weights):
        before = int(sums[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(sums, before + _SHINGLES_AT_ONCE, side="right")))
        yield start, stop
        start = stop
