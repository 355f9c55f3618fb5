"""Duplicate clusters: records that say the same, so that none of them is tested on while another is trained on.

    cluster_texts(["Close the file.", "close  the file.", "Open a socket."])   ->  [[0, 1], [2]]

    ties = Ties(scratch=work_dir)
    for batch in batches:                                # any number of rows: a few numbers are kept of each
        ties.add(texts, prompts, sources)                # rows are tied by text, and by equal prompts, and sources
    ties.labels()                                        ->  [n] int64: smallest row of each row's cluster

Texts are tied when equal after normalising, or when the Jaccard similarity of their word 5-grams reaches 0.7. Candidate
pairs come from MinHash, which misses one in a hundred of the pairs at 0.7 itself and fewer the more similar they are;
every pair is verified exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.text.normalise import normalised
from workbench.text.sketch import SketchSettings, sketch
from workbench.text.union_find import UnionFind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NEAR_DUPLICATE = 0.7
"""Jaccard similarity from which two texts are in one cluster."""
SETTINGS = SketchSettings(threshold=NEAR_DUPLICATE, ngram=5, num_perm=128)
_TEXTS_AT_ONCE = 1024


class Ties:
    """Rows added some at a time, and what ties them; large numbers of rows go to files under `scratch`."""

    def __init__(self, scratch: Path | None = None) -> None:
        from workbench.text.near_duplicates import NearDuplicateSearch

        self._search = NearDuplicateSearch(SETTINGS, scratch)
        self._keys: list[list[NDArray[np.uint64]]] = []

    def __len__(self) -> int:
        return len(self._search)

    def add(self, texts: Sequence[str], *keys: Sequence[str | None]) -> None:
        """Adds rows by their texts. Each of `keys` (the same number at every call) ties rows where it is equal; None
        ties nothing."""
        columns = [[normalised(text) for text in texts], *keys]
        self._keys.append([_hashes(column) for column in columns])
        self._search.add(sketch(texts, SETTINGS))

    def labels(self) -> NDArray[np.int64]:
        """`[n]`: the smallest row of each row's cluster."""
        return self._joined().labels()

    def clusters(self) -> list[list[int]]:
        """All clusters, each in ascending order, in order of their smallest row."""
        return self._joined().clusters()

    def _joined(self) -> UnionFind:
        import numpy as np

        sets = UnionFind(len(self))
        columns = [np.concatenate(parts) for parts in zip(*self._keys, strict=True)]
        for column in columns:
            order = np.argsort(column, kind="stable")
            same = np.flatnonzero((column[order][1:] == column[order][:-1]) & (column[order][1:] != 0))
            sets.join_pairs(order[same], order[same + 1])
        distinct = np.zeros(len(self), dtype=np.bool_)
        if columns:
            distinct[np.unique(columns[0], return_index=True)[1]] = True
        found = self._search.find(include=distinct)
        assert found is not None, "nobody cancels"
        sets.join_pairs(found.left, found.right)
        return sets


def cluster_texts(texts: Iterable[str]) -> list[list[int]]:
    """Positions of `texts` in clusters, every position once; independent of the order of the texts."""
    ties = Ties()
    remaining = iter(texts)
    while batch := list(islice(remaining, _TEXTS_AT_ONCE)):
        ties.add(batch)
    return ties.clusters()


def _hashes(keys: Sequence[str | None]) -> NDArray[np.uint64]:
    """64 bits of each key, 0 for None: among a million, two others collide with a chance of 3e-8."""
    import numpy as np
    import xxhash

    return np.array(
        [0 if key is None else xxhash.xxh3_64_intdigest(key.encode("utf-8", "surrogatepass")) for key in keys],
        dtype=np.uint64,
    )
