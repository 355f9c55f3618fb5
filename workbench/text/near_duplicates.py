"""Near-duplicates among any number of rows: LSH candidates, verified exactly, connected by verified edges alone.

    search = NearDuplicateSearch(settings, scratch=work_dir)
    for batch in batches:
        search.add(sketch(batch, settings))
    found = search.find()
    found.left, found.right, found.jaccard      # e.g. row 0, row 3, 0.93
    found.labels                                # [0, 1, 2, 0]: the smallest row of each row's cluster

Band by band, rows are sorted by their key; rows with one key are compared by the exact Jaccard similarity of their
shingle sets unless they are connected already. What is found depends neither on the order in which rows were added
(where `rank` says what their own order is) nor on whether they fit in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.text.row_store import RowStore, portions
from workbench.text.sketch import Sketches, SketchSettings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SPILL_ABOVE = 50_000
BUCKET_COMPARISONS = 16_384
"""A row that is the n-th of its bucket is compared with so many divided by n of the rows before it, ..."""
LEAST_COMPARISONS = 8
"""... but with so many at least: small buckets are compared completely, crowded ones in linear time."""

_BUCKET_PIECE = 8_192
"""Rows of a larger bucket are compared so many at a time, ..."""
_LEADERS = 64
"""... together with so many of its first rows."""
_FAILED_PAIRS = 1 << 20


@dataclass(frozen=True, slots=True)
class NearDuplicatesFound:
    """The verified near-duplicates among some rows."""

    left: NDArray[np.int64]
    """Rows of the verified edges, the one that is first in canonical order; enough edges to hold each cluster."""
    right: NDArray[np.int64]
    jaccard: NDArray[np.float64]
    """Exact Jaccard similarity of the two shingle sets; at or above the threshold."""
    labels: NDArray[np.int64]
    """`[n]`: smallest row of each row's cluster; a row without near-duplicates is its own."""
    checked: int
    """Pairs whose shingle sets were compared."""
    capped: int
    """Rows that were compared with some rows of a crowded bucket only."""
    without_shingles: int
    """Rows with no words to compare: they are nobody's near-duplicate."""


def _in_groups(keys: NDArray[np.uint64], groups: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Band keys of rows (along the last axis) such that rows of different groups do not meet."""
    import numpy as np

    return keys ^ (groups * np.uint64(0x9E3779B97F4A7C15))


def _no_progress(done: int, total: int) -> None:
    """For callers who do not want to know."""


def _never() -> bool:
    return False


class NearDuplicateSearch:
    """Rows to compare. Beyond `spill_above` rows, sketches are kept in files under `scratch` (or the system's own)."""

    def __init__(self, settings: SketchSettings, scratch: Path | None = None, spill_above: int = SPILL_ABOVE) -> None:
        self.settings = settings
        self.rows = RowStore(settings.bands, scratch, spill_above)
        self._groups: list[NDArray[np.uint64]] = []
        self._marks: list[NDArray[np.uint64]] = []

    def __len__(self) -> int:
        return len(self.rows)

    def add(self, sketches: Sketches, groups: NDArray[np.uint64] | None = None) -> None:
        """Adds rows. Rows of different groups (`[n] uint64`; all in group 0 if None) are never compared."""
        import numpy as np

        from workbench.text.buckets import marks

        self.rows.add(sketches)
        self._marks.append(marks(sketches.shingles, sketches.offsets))
        self._groups.append(np.zeros(len(sketches), dtype=np.uint64) if groups is None else groups.astype(np.uint64))

    def groups(self) -> NDArray[np.uint64]:
        """`[n]`: the group of every row."""
        import numpy as np

        if len(self._groups) != 1:
            self._groups = [np.concatenate([np.empty(0, dtype=np.uint64), *self._groups])]
        return self._groups[0]

    def marks(self) -> NDArray[np.uint64]:
        """`[n, 4]`: the mark of every row, as `workbench.text.buckets.marks` makes them."""
        import numpy as np

        from workbench.text.buckets import MARK_WORDS

        if len(self._marks) != 1:
            self._marks = [np.concatenate([np.empty((0, MARK_WORDS), dtype=np.uint64), *self._marks])]
        return self._marks[0]

    def keys(self, band: int) -> NDArray[np.uint64]:
        """`[n]`: the key of every row in one band."""
        return _in_groups(self.rows.band(band), self.groups())

    def key_blocks(self) -> Iterator[tuple[int, NDArray[np.uint64]]]:
        """The keys of all rows, some rows at a time: number of the first row, `[bands, rows]`."""
        for first, keys in self.rows.blocks():
            yield first, _in_groups(keys, self.groups()[first : first + keys.shape[1]])

    def jaccard(self, left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.float64]:
        """Exact Jaccard similarity of pairs of rows; 0 where neither has shingles."""
        import numpy as np

        from workbench.text.buckets import jaccards

        found = np.empty(len(left), dtype=np.float64)
        sizes = self.rows.counts()
        for start, stop in portions(sizes[left] + sizes[right]):
            pairs = slice(start, stop)
            one, other = left[pairs], right[pairs]
            ids, places = self.rows.shingles(np.concatenate([one, other]))
            found[pairs] = jaccards(ids, places[: len(one)], sizes[one], ids, places[len(one) :], sizes[other])
        return found

    def find(
        self,
        rank: NDArray[np.int64] | None = None,
        include: NDArray[np.bool_] | None = None,
        on_progress: Callable[[int, int], object] = _no_progress,
        cancelled: Callable[[], bool] = _never,
    ) -> NearDuplicatesFound | None:
        """The near-duplicates among the rows of `include` (all if None); None if cancelled.

        `rank` is the canonical order of the rows, all different: pairs are compared in that order, so that the order
        of adding decides nothing. `on_progress` is told the bands done and their number.
        """
        import numpy as np

        sizes = self.rows.counts()
        rows = np.arange(len(self)) if rank is None else np.argsort(rank, kind="stable")
        wanted = sizes > 0 if include is None else (sizes > 0) & include
        rows = rows[wanted[rows]]
        connecting = _Connecting(self, rows)
        with ThreadPoolExecutor(1) as ahead:
            runs = ahead.submit(self._runs, 0, rows)
            for band in range(self.settings.bands):
                order, begins, ends = runs.result()
                if band + 1 < self.settings.bands:
                    runs = ahead.submit(self._runs, band + 1, rows)
                if not connecting.compare(order, begins, ends, cancelled):
                    return None
                on_progress(band + 1, self.settings.bands)
        return connecting.found(int(((sizes == 0) if include is None else (sizes == 0) & include).sum()))

    def _runs(
        self, band: int, rows: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Positions in `rows` sorted by band key, and the begins and ends of runs of two and more with one key."""
        import numpy as np

        keys = self.keys(band)[rows]
        order = np.argsort(keys)
        keys = keys[order]
        same = np.zeros(len(keys) + 1, dtype=np.int8)
        same[1:-1] = keys[1:] == keys[:-1]
        turns = np.diff(same)
        return order, np.flatnonzero(turns == 1), np.flatnonzero(turns == -1) + 1


class _Connecting:
    """The state of one search: sets of connected rows and the edges that connect them, in canonical numbering."""

    def __init__(self, search: NearDuplicateSearch, rows: NDArray[np.int64]) -> None:
        import numpy as np

        self._search = search
        self._rows = rows
        self._sizes = search.rows.counts()[rows]
        self._marks = search.marks()
        self._parents = np.arange(len(rows))
        self._slots = np.full(len(rows), -1)
        self._capped = np.zeros(len(rows), dtype=np.bool_)
        self._failed = np.full(_FAILED_PAIRS, -1)
        self._edges: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]] = []
        self._checked = 0

    def compare(
        self,
        order: NDArray[np.int64],
        begins: NDArray[np.int64],
        ends: NDArray[np.int64],
        cancelled: Callable[[], bool],
    ) -> bool:
        """Compares the rows of each run that are not connected yet; False if cancelled."""
        import numpy as np

        from workbench.text.buckets import Compared, Found, Known, connect, open_buckets

        members = np.empty(int((ends - begins).sum()), dtype=np.int64)
        bounds = np.empty(len(begins) + 1, dtype=np.int64)
        count = open_buckets(order, ends, begins, self._parents, members, bounds)
        threshold = self._search.settings.threshold
        known = Known(self._parents, self._slots, self._failed, self._capped)
        for some, cuts in self._pieces(members[: bounds[count]], bounds[: count + 1]):
            if cancelled():
                return False
            ids, starts = self._search.rows.shingles(self._rows[some])
            left, right = np.empty((2, len(some)), dtype=np.int64)
            found = Found(left, right, np.empty(len(some)), np.zeros(2, dtype=np.int64))
            compared = Compared(some, cuts, ids, starts, self._sizes[some], self._marks[self._rows[some]])
            connect(compared, known, found, threshold, BUCKET_COMPARISONS, LEAST_COMPARISONS)
            edges, checked = found.counts.tolist()
            self._checked += checked
            self._edges.append((left[:edges].copy(), right[:edges].copy(), found.jaccard[:edges].copy()))
        return True

    def found(self, without_shingles: int) -> NearDuplicatesFound:
        """What was found, in the rows' own numbers."""
        import numpy as np

        from workbench.text.disjoint_sets import roots

        left, right, jaccard = (
            np.concatenate([np.empty(0, dtype=kind), *(edges[column] for edges in self._edges)])
            for column, kind in enumerate((np.int64, np.int64, np.float64))
        )
        tops = roots(self._parents)
        smallest = np.full(len(self._rows), len(self._search))
        np.minimum.at(smallest, tops, self._rows)
        labels = np.arange(len(self._search))
        labels[self._rows] = smallest[tops]
        return NearDuplicatesFound(
            self._rows[left], self._rows[right], jaccard, labels, self._checked, int(self._capped.sum()),
            without_shingles,
        )  # fmt: skip

    def _pieces(
        self, members: NDArray[np.int64], bounds: NDArray[np.int64]
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Whole buckets whose shingles fit in memory together; a crowded bucket in several overlapping ones."""
        import numpy as np

        widths = np.diff(bounds)
        crowded = np.flatnonzero(widths > _BUCKET_PIECE + _LEADERS)
        if len(crowded):
            parts: list[NDArray[np.int64]] = []
            for bucket in range(len(widths)):
                rows = members[bounds[bucket] : bounds[bucket + 1]]
                parts.append(rows[: _BUCKET_PIECE + _LEADERS])
                for start in range(_BUCKET_PIECE + _LEADERS, len(rows), _BUCKET_PIECE):
                    parts.append(np.concatenate([rows[:_LEADERS], rows[start : start + _BUCKET_PIECE]]))
            members = np.concatenate(parts)
            bounds = np.concatenate([[0], np.cumsum([len(part) for part in parts])])
        weights = np.add.reduceat(self._sizes[members], bounds[:-1]) if len(members) else np.empty(0, dtype=np.int64)
        for first, last in portions(weights):
            yield members[bounds[first] : bounds[last]], bounds[first : last + 1] - bounds[first]
