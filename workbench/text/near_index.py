"""A saved index: what was kept once is recognised later, without reading it again.

    index = SavedIndex.open(project / "known", settings)         # a directory; it need not exist yet
    found = index.matches(search, exact_keys)                    # rows of the search that the index holds already
    found.row, found.record_id, found.jaccard                    # row 3 is 0.93 like record 0x9f3a...
    add_segment(project / "known", out / "index", "tickets")     # the rows kept this time join

    known/manifest.json            settings, and the names of the segments; replaced as a whole, last
    known/segments/FOLDER/         one segment each (see near_segment.py)

A name stands for some data. The same name with the same rows changes nothing; with other rows, it is the data curated
in another way, and they take the place of the earlier ones. An extension killed at any point leaves the index as it was
or as it should become.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from workbench.core.errors import UsageError
from workbench.core.fingerprints import file_sha256, short_id
from workbench.core.parts import read_model, write_model
from workbench.core.wire import Wire
from workbench.text.near_duplicates import NearDuplicateSearch
from workbench.text.near_segment import EXACT_KEY, ROWS, SEGMENT, Segment, SegmentInfo, check_settings
from workbench.text.row_store import portions
from workbench.text.sketch import SketchSettings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MANIFEST = "manifest.json"
_SEGMENTS = "segments"
_LOCK = ".lock"
BUCKET_CAP = 64
"""Indexed rows of one row group and bucket that a row is compared with."""
_PREFIX_BITS = 18


class IndexManifest(Wire):
    """manifest.json of a saved index."""

    schema_version: int = 1
    settings: str
    """`SketchSettings.fingerprint()` of all its sketches."""
    segments: dict[str, str] = {}
    """Name of a segment to its folder, in order of adding."""


@dataclass(frozen=True, slots=True)
class IndexMatches:
    """Rows of a search that a saved index holds already, ascending; each with its best match."""

    row: NDArray[np.int64]
    record_id: NDArray[np.uint64]
    """Id of the indexed record."""
    dataset: list[str]
    """Its dataset."""
    source_row: NDArray[np.int64]
    """Its row there."""
    jaccard: NDArray[np.float64]
    """Exact Jaccard similarity; 1 for exact duplicates."""
    exact: NDArray[np.bool_]
    """Whether it is an exact duplicate."""
    capped: int
    """Rows that were compared with some rows of a crowded bucket only."""


class SavedIndex:
    """The segments of an index, as they were when it was opened."""

    def __init__(self, settings: SketchSettings, segments: dict[str, Path]) -> None:
        self.settings = settings
        self._segments = segments

    @classmethod
    def open(cls, path: Path, settings: SketchSettings) -> SavedIndex:
        """The index in the directory `path`, empty if there is none. UsageError if it was made with other settings."""
        manifest = _manifest(path)
        if manifest is None:
            return cls(settings, {})
        check_settings(manifest.settings, settings, path)
        return cls(settings, {name: path / _SEGMENTS / folder for name, folder in manifest.segments.items()})

    @property
    def segments(self) -> dict[str, Path]:
        """Name of each segment to its directory, in order of adding."""
        return dict(self._segments)

    def matches(
        self, search: NearDuplicateSearch, exact_keys: NDArray[np.uint64], exclude_segment: str | None = None
    ) -> IndexMatches:
        """Which rows of `search` are duplicates of indexed ones; `exact_keys` `[n, 2]` are the rows' own.

        `exclude_segment` is left out: what an earlier run of the same data added. IncompleteError if a segment is torn.
        """
        segments = [Segment(path, self.settings) for name, path in self._segments.items() if name != exclude_segment]
        looked = _Lookup(search, exact_keys)
        for number, segment in enumerate(segments):
            looked.compare_exactly(number, segment)
        for number, segment in enumerate(segments):
            looked.compare(number, segment)
        return looked.found(segments)


@dataclass(frozen=True, slots=True)
class _Band:
    """Some rows' keys in one band, to be looked up."""

    order: NDArray[np.int64]
    keys: NDArray[np.uint64]
    """In this order, ascending."""
    prefixes: NDArray[np.bool_]
    """Which first bits occur: spares nearly all indexed keys the search among `keys`."""

    @classmethod
    def of(cls, keys: NDArray[np.uint64]) -> _Band:
        """From keys in the rows' own order."""
        import numpy as np

        order = np.argsort(keys, kind="stable")
        prefixes = np.zeros(1 << _PREFIX_BITS, dtype=np.bool_)
        prefixes[keys >> np.uint64(64 - _PREFIX_BITS)] = True
        return cls(order, keys[order], prefixes)

    def buckets(
        self, indexed: NDArray[np.uint64], filled: NDArray[np.bool_]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Positions of indexed keys that occur here, and where in `order` their rows begin and how many they are.

        Sorted by bucket. Positions that are not `filled` have no shingles and are left out."""
        import numpy as np

        hits = np.flatnonzero(self.prefixes[indexed >> np.uint64(64 - _PREFIX_BITS)] & filled)
        start = np.searchsorted(self.keys, indexed[hits], side="left")
        width = np.searchsorted(self.keys, indexed[hits], side="right") - start
        order = np.argsort(start, kind="stable")
        order = order[width[order] > 0]
        return hits[order], start[order], width[order]


class _Lookup:
    """The best match so far of every row of a search."""

    def __init__(self, search: NearDuplicateSearch, exact_keys: NDArray[np.uint64]) -> None:
        import numpy as np

        self._search = search
        self._exact_keys = exact_keys
        self._by_key = np.argsort(exact_keys[:, 0], kind="stable")
        self._jaccard = np.zeros(len(search))
        self._exact = np.zeros(len(search), dtype=np.bool_)
        self._segment = np.full(len(search), -1)
        self._indexed = np.full(len(search), -1)
        self._capped = np.zeros(len(search), dtype=np.bool_)

    def compare_exactly(self, number: int, segment: Segment) -> None:
        """Looks for all rows in one segment by their exact keys."""
        import numpy as np

        keys = self._exact_keys[self._by_key, 0]
        for first, (high, low) in segment.columns(EXACT_KEY):
            left = np.searchsorted(keys, high, side="left")
            right = np.searchsorted(keys, high, side="right")
            for indexed in np.flatnonzero(right > left).tolist():
                rows = self._by_key[left[indexed] : right[indexed]]
                rows = rows[(self._exact_keys[rows, 1] == low[indexed]) & ~self._exact[rows]]
                self._exact[rows] = True
                self._jaccard[rows] = 1.0
                self._segment[rows] = number
                self._indexed[rows] = first + indexed

    def compare(self, number: int, segment: Segment) -> None:
        """Looks for all other rows in one segment by their shingles."""
        import numpy as np

        counts = segment.counts()
        starts = np.cumsum(counts) - counts
        for first_row, own_keys in self._search.key_blocks():
            rows = np.arange(first_row, first_row + own_keys.shape[1])
            compared = (self._search.rows.counts()[rows] > 0) & ~self._exact[rows]
            rows = rows[compared]
            bands = [_Band.of(keys) for keys in own_keys[:, compared]]
            for first, indexed_keys in segment.columns(segment.bands):
                filled = counts[first : first + len(indexed_keys[0])] > 0
                row, position = self._candidates(rows, bands, indexed_keys, filled)
                self._verify(number, segment, row, first + position, starts, counts)

    def found(self, segments: list[Segment]) -> IndexMatches:
        """The rows with a match at or above the threshold, or an exact one."""
        import numpy as np

        rows = np.flatnonzero(self._segment >= 0)
        record_id = np.empty(len(rows), dtype=np.uint64)
        dataset = [""] * len(rows)
        source_row = np.empty(len(rows), dtype=np.int64)
        for number, segment in enumerate(segments):
            here = np.flatnonzero(self._segment[rows] == number)
            ids, names, source_rows = segment.about(self._indexed[rows[here]])
            record_id[here], source_row[here] = ids, source_rows
            for place, name in zip(here.tolist(), names, strict=True):
                dataset[place] = name
        return IndexMatches(
            rows, record_id, dataset, source_row, self._jaccard[rows], self._exact[rows], int(self._capped.sum())
        )

    def _candidates(
        self,
        rows: NDArray[np.int64],
        bands: list[_Band],
        indexed_keys: list[NDArray[np.uint64]],
        filled: NDArray[np.bool_],
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Pairs of a row and a position in a row group that share a band, no pair twice."""
        import numpy as np

        pairs = np.empty(0, dtype=np.int64)
        for band, indexed in zip(bands, indexed_keys, strict=True):
            hits, start, width = band.buckets(indexed, filled)
            place = np.arange(len(hits)) - np.searchsorted(start, start, side="left")
            for crowded in np.flatnonzero(place == BUCKET_CAP).tolist():
                self._capped[rows[band.order[start[crowded] : start[crowded] + width[crowded]]]] = True
            kept = place < BUCKET_CAP
            hits, start, width = hits[kept], start[kept], width[kept]
            # One pair for every row of the bucket of every hit.
            step = np.arange(int(width.sum())) - np.repeat(np.cumsum(width) - width, width)
            members = rows[band.order[np.repeat(start, width) + step]]
            pairs = np.union1d(pairs, members * len(filled) + np.repeat(hits, width))
        row, position = np.divmod(pairs, len(filled))
        return row, position

    def _verify(
        self,
        number: int,
        segment: Segment,
        rows: NDArray[np.int64],
        indexed: NDArray[np.int64],
        starts: NDArray[np.int64],
        counts: NDArray[np.int64],
    ) -> None:
        """Compares pairs exactly and keeps the best match of each row."""
        import numpy as np

        from workbench.text.buckets import jaccards

        sizes = self._search.rows.counts()
        for begin, end in portions(sizes[rows] + counts[indexed]):
            row, there = rows[begin:end], indexed[begin:end]
            own, places = self._search.rows.shingles(row)
            fetched, where = np.unique(there, return_inverse=True)
            other = segment.shingles(starts[fetched], counts[fetched])
            other_places = (np.cumsum(counts[fetched]) - counts[fetched])[where]
            similar = jaccards(own, places, sizes[row], other, other_places, counts[there])
            for pair in np.flatnonzero(similar >= self._search.settings.threshold).tolist():
                if similar[pair] > self._jaccard[row[pair]]:
                    self._jaccard[row[pair]] = similar[pair]
                    self._segment[row[pair]] = number
                    self._indexed[row[pair]] = there[pair]


def add_segment(path: Path, segment: Path, name: str) -> Literal["added", "replaced"] | None:
    """Adds a segment to the index in the directory `path`, which is made if need be; None if the name has these rows.

    Other rows of the same name are replaced. UsageError if index and segment were made with different settings.
    """
    info = read_model(segment / SEGMENT, SegmentInfo)
    with _locked(path):
        manifest = _manifest(path) or IndexManifest(settings=info.settings)
        if manifest.settings != info.settings:
            raise UsageError(
                f"the saved index was made with other settings:\n    index:   {manifest.settings}\n    segment: "
                f"{info.settings}",
                where=str(path),
                next_step="use the same curate.near_duplicates settings, or name another directory for a new index",
            )
        before = manifest.segments.get(name)
        rows = file_sha256(segment / ROWS)
        if before is not None and _has_rows(path / _SEGMENTS / before, rows):
            return None
        _remove_leftovers(path / _SEGMENTS, manifest)
        folder = short_id([name, rows])
        _copy(segment, path / _SEGMENTS / folder)
        write_model(path / MANIFEST, manifest.model_copy(update={"segments": {**manifest.segments, name: folder}}))
    return "added" if before is None else "replaced"


def _has_rows(folder: Path, rows: str) -> bool:
    """Whether the segment in `folder` is there and has the rows with this hash."""
    return (folder / ROWS).is_file() and file_sha256(folder / ROWS) == rows


def _remove_leftovers(segments: Path, manifest: IndexManifest) -> None:
    """Deletes what no manifest names: of an extension that was killed, or replaced by the one before this.

    A segment that is being replaced stays until the next extension, so that whoever is reading it can finish.
    """
    for folder in segments.iterdir() if segments.is_dir() else ():
        if folder.name not in manifest.segments.values():
            shutil.rmtree(folder, ignore_errors=True)


def _copy(segment: Path, target: Path) -> None:
    """Copies the files of a segment; they are on disk under this name all together or not at all."""
    aside = target.with_name(f".{target.name}.tmp")
    aside.mkdir(parents=True)
    for part in sorted(segment.iterdir()):
        shutil.copyfile(part, aside / part.name)
        _sync(aside / part.name)
    aside.rename(target)
    _sync(target.parent)


def _manifest(path: Path) -> IndexManifest | None:
    """The manifest of the index in `path`; None where there is no index yet. UsageError for another directory."""
    if (path / MANIFEST).exists():
        return read_model(path / MANIFEST, IndexManifest)
    if path.exists() and not path.is_dir():
        raise UsageError("a saved index is a directory, this is a file", where=str(path))
    ours = (_SEGMENTS, MANIFEST)  # the manifest may have come just now, and its file aside is hidden
    entries = [entry.name for entry in path.iterdir()] if path.exists() else []
    others = [name for name in entries if name not in ours and not name.startswith(".")]
    if others:
        raise UsageError(
            f"is no saved index, but holds other files ({min(others)})",
            where=str(path),
            next_step="name a new or empty directory",
        )
    return None


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One extension at a time; the lock ends with the process."""
    _manifest(path)  # refuses a directory that is none of ours before anything is written into it
    path.mkdir(parents=True, exist_ok=True)
    with (path / _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
