"""A segment of a saved index: the sketches of some rows, in files.

    write_segment(out / "index", search, rows, about)
    ->  index/rows.parquet      per row: record id, dataset, row in it, exact key, shingle count, one key per band
        index/shingles.u64      the shingle ids of all rows, one after the other, 8 bytes each, little-endian
        index/segment.json      settings and counts; written last: it is the commit mark

Shingle ids are not in the Parquet file, because a few thousand rows out of a million are asked for: from plain numbers
they are read row by row, from Parquet with whole row groups around them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.core.errors import IncompleteError, UsageError
from workbench.core.parts import read_model, write_model
from workbench.core.wire import Wire
from workbench.text.arrow_numbers import arrow_numbers, arrow_strings, numpy_numbers
from workbench.text.near_duplicates import NearDuplicateSearch
from workbench.text.row_store import portions, read_exactly
from workbench.text.sketch import SketchSettings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ROWS = "rows.parquet"
SHINGLES = "shingles.u64"
SEGMENT = "segment.json"
ROW_GROUP = 16_384
EXACT_KEY = ("exact_key_high", "exact_key_low")


class SegmentInfo(Wire):
    """segment.json."""

    schema_version: int = 1
    settings: str
    """`SketchSettings.fingerprint()` of the sketches."""
    rows: int
    shingles: int


@dataclass(frozen=True, slots=True)
class AboutRows:
    """What an index says about the rows it holds, besides their sketches; one entry per row of the search."""

    exact_key: NDArray[np.uint64]
    """`[n, 2]`: 128-bit hash of everything that exact duplicates share."""
    record_id: NDArray[np.uint64]
    """`[n]`: record ids, 16 hexadecimal digits as a number."""
    dataset: NDArray[np.int64]
    """`[n]`: position in `datasets`."""
    datasets: tuple[str, ...]
    """Names of the datasets."""
    source_row: NDArray[np.int64]
    """`[n]`: row in the dataset."""


def write_segment(path: Path, search: NearDuplicateSearch, rows: NDArray[np.int64], about: AboutRows) -> None:
    """Writes `rows` (ascending) of a search as a segment into the directory `path`, which is made if need be."""
    path.mkdir(parents=True, exist_ok=True)
    (path / SEGMENT).unlink(missing_ok=True)
    _write_rows(path / ROWS, search, rows, about)
    counts = search.rows.counts()[rows]
    with (path / SHINGLES).open("wb") as stream:
        for start, stop in portions(counts):
            ids, places = search.rows.shingles(rows[start:stop])
            for place, count in zip(places.tolist(), counts[start:stop].tolist(), strict=True):
                stream.write(ids[place : place + count].astype("<u8", copy=False).data)
        stream.flush()
        os.fsync(stream.fileno())
    info = SegmentInfo(settings=search.settings.fingerprint(), rows=len(rows), shingles=int(counts.sum()))
    write_model(path / SEGMENT, info)


def _write_rows(path: Path, search: NearDuplicateSearch, rows: NDArray[np.int64], about: AboutRows) -> None:
    """One row group per `ROW_GROUP` rows at most; hashes do not compress, so they are stored plainly."""
    import pyarrow as pa  # 0.1 s
    from pyarrow import parquet

    bands = search.settings.bands
    schema = pa.schema(
        [
            ("record_id", pa.uint64()),
            ("dataset", pa.string()),
            ("source_row", pa.int64()),
            *((name, pa.uint64()) for name in EXACT_KEY),
            ("shingles", pa.int64()),
            *((_band(band), pa.uint64()) for band in range(bands)),
        ]
    )
    with parquet.ParquetWriter(
        path, schema, compression="none", use_dictionary=["dataset"], write_statistics=False
    ) as writer:
        for some, keys in _keys_of(search, rows):
            names = arrow_strings([about.datasets[dataset] for dataset in about.dataset[some].tolist()])
            numbers = [about.source_row[some], *about.exact_key[some].T, search.rows.counts()[some], *keys]
            columns = [arrow_numbers(about.record_id[some]), names, *map(arrow_numbers, numbers)]
            writer.write_table(pa.table(columns, schema=schema))


def _keys_of(
    search: NearDuplicateSearch, rows: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint64]]]:
    """`rows` with their keys `[bands, rows]`, some at a time."""
    import numpy as np

    for first, keys in search.key_blocks():
        start, stop = np.searchsorted(rows, [first, first + keys.shape[1]]).tolist()
        for begin in range(start, stop, ROW_GROUP):
            some = rows[begin : min(begin + ROW_GROUP, stop)]
            yield some, keys[:, some - first]


def _band(band: int) -> str:
    return f"band_{band:03d}"


class Segment:
    """A segment to look things up in. UsageError if it was made with other settings, IncompleteError if torn."""

    def __init__(self, path: Path, settings: SketchSettings) -> None:
        from pyarrow import parquet  # 0.1 s

        self.path = path
        info = read_model(path / SEGMENT, SegmentInfo)
        check_settings(info.settings, settings, path)
        self._shingles = path / SHINGLES
        try:
            self._rows = parquet.ParquetFile(path / ROWS)
            size = self._shingles.stat().st_size
        except (OSError, ValueError) as error:  # pyarrow's own errors are ValueErrors
            raise IncompleteError(f"segment of a saved index cannot be read: {error}", where=str(path)) from None
        if size != 8 * info.shingles or self._rows.metadata.num_rows != info.rows:
            raise IncompleteError(
                "segment of a saved index is torn: its files are shorter or longer than segment.json says",
                where=str(path),
                next_step="delete the index directory and curate the data again to make it anew",
            )
        self.bands = tuple(map(_band, range(settings.bands)))
        """Names of the columns with band keys."""

    def columns(self, names: Sequence[str]) -> Iterator[tuple[int, list[NDArray[np.uint64]]]]:
        """Columns of numbers, some rows at a time: number of the first row, `[rows]` per name."""
        first = 0
        for group in range(self._rows.num_row_groups):
            table = self._rows.read_row_group(group, columns=list(names))
            yield first, [numpy_numbers(table.column(name)) for name in names]
            first += table.num_rows

    def counts(self) -> NDArray[np.int64]:
        """`[n]`: shingles of each row."""
        return numpy_numbers(self._rows.read(columns=["shingles"]).column(0))

    def shingles(self, starts: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.uint64]:
        """The ids from each of `starts` on, one after the other."""
        import numpy as np

        ids = np.empty(int(counts.sum()), dtype="<u8")
        place = 0
        with self._shingles.open("rb", buffering=0) as stream:
            for start, count in zip(starts.tolist(), counts.tolist(), strict=True):
                read_exactly(stream.fileno(), ids[place : place + count], 8 * start)
                place += count
        return ids.astype(np.uint64, copy=False)

    def about(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.uint64], list[str], NDArray[np.int64]]:
        """Record ids, datasets and rows in them of `rows`."""
        import numpy as np

        ids = np.empty(len(rows), dtype=np.uint64)
        datasets = [""] * len(rows)
        source_rows = np.empty(len(rows), dtype=np.int64)
        first = 0
        for group in range(self._rows.num_row_groups):
            last = first + self._rows.metadata.row_group(group).num_rows
            here = np.flatnonzero((rows >= first) & (rows < last))
            if len(here):
                table = self._rows.read_row_group(group, columns=["record_id", "dataset", "source_row"])
                wanted = rows[here] - first
                ids[here] = numpy_numbers(table.column("record_id"))[wanted]
                source_rows[here] = numpy_numbers(table.column("source_row"))[wanted]
                names = table.column("dataset").to_pylist()
                for place, row in zip(here.tolist(), wanted.tolist(), strict=True):
                    datasets[place] = names[row]
            first = last
        return ids, datasets, source_rows


def check_settings(made_with: str, settings: SketchSettings, path: Path) -> None:
    """UsageError naming both settings if they differ."""
    if made_with != settings.fingerprint():
        raise UsageError(
            f"the saved index was made with other settings:\n    index: {made_with}\n    now:   "
            f"{settings.fingerprint()}",
            where=str(path),
            next_step="use the same curate.near_duplicates settings, or name another directory for a new index",
        )
