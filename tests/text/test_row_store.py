from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.text.row_store import RowStore, portions, read_exactly
from workbench.text.sketch import Sketches

BANDS = 3


def sketches_of(counts: list[int], seed: int) -> Sketches:
    rng = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return Sketches(
        rng.integers(0, 1 << 63, (len(counts), BANDS), dtype=np.uint64),
        rng.integers(0, 1 << 63, int(offsets[-1]), dtype=np.uint64),
        offsets,
    )


COUNTS = st.lists(st.lists(st.integers(0, 5), max_size=6), max_size=8)


@given(COUNTS, st.sampled_from([0, 3, 1000]), st.integers(1, 9))
def test_all_comes_back_from_memory_and_from_files(batches: list[list[int]], spill_above: int, block: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("workbench.text.row_store._BLOCK_ROWS", block)
        store = RowStore(BANDS, None, spill_above)
        added = [sketches_of(counts, seed) for seed, counts in enumerate(batches)]
        for part in added:
            store.add(part)
        keys = np.concatenate([np.empty((0, BANDS), dtype=np.uint64), *(part.band_keys for part in added)])
        rows = [part.shingles[a:b] for part in added for a, b in zip(part.offsets, part.offsets[1:], strict=False)]
        assert len(store) == len(rows)
        assert store.counts().tolist() == [len(row) for row in rows]
        for band in range(BANDS):
            np.testing.assert_array_equal(store.band(band), keys[:, band])
        together = [np.empty((BANDS, 0), dtype=np.uint64), *(part for _, part in store.blocks())]
        np.testing.assert_array_equal(np.concatenate(together, axis=1).T, keys)
        some = np.array([row for row in range(len(rows) - 1, -1, -1) if row % 3 != 1], dtype=np.int64)
        ids, places = store.shingles(some)
        for row, place in zip(some.tolist(), places.tolist(), strict=True):
            np.testing.assert_array_equal(ids[place : place + len(rows[row])], rows[row])


@given(st.lists(st.integers(0, 50)), st.integers(1, 60))
def test_portions_cover_everything_and_stay_small(weights: list[int], most: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("workbench.text.row_store._SHINGLES_AT_ONCE", most)
        slices = list(portions(np.array(weights, dtype=np.int64)))
    assert [row for start, stop in slices for row in range(start, stop)] == list(range(len(weights)))
    assert all(stop - start == 1 or sum(weights[start:stop]) <= most for start, stop in slices)


def test_a_file_that_ends_too_early_is_an_error(tmp_path) -> None:
    path = tmp_path / "short"
    path.write_bytes(b"12345678" * 2)
    with path.open("rb") as stream, pytest.raises(EOFError, match="8 bytes too early"):
        read_exactly(stream.fileno(), np.empty(3, dtype=np.uint64), 0)
