from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from workbench.text.union_find import UnionFind

SIZE = 12
PAIRS = st.lists(st.tuples(st.integers(0, SIZE - 1), st.integers(0, SIZE - 1)), max_size=20)


@given(PAIRS, st.randoms())
@settings(deadline=None)
def test_clusters_are_the_connected_components_in_any_order_of_joining(pairs: list[tuple[int, int]], rng) -> None:
    rng.shuffle(pairs)
    sets = UnionFind(SIZE)
    for left, right in pairs:
        sets.join(left, right)
    left, right = np.array(pairs, dtype=int).reshape(-1, 2).T
    _, label = connected_components(coo_array((np.ones(len(pairs)), (left, right)), shape=(SIZE, SIZE)), directed=False)
    expected = {tuple(np.flatnonzero(label == one).tolist()) for one in set(label)}
    assert {tuple(cluster) for cluster in sets.clusters()} == expected
    assert all(sets.connected(a, b) == (label[a] == label[b]) for a in range(SIZE) for b in range(SIZE))
    assert sets.labels().tolist() == [min(np.flatnonzero(label == label[row])) for row in range(SIZE)]
    at_once = UnionFind(SIZE)
    at_once.join_pairs(left, right)
    assert at_once.labels().tolist() == sets.labels().tolist()
    assert [cluster[0] for cluster in sets.clusters()] == sorted(cluster[0] for cluster in sets.clusters())


def test_no_rows_are_no_clusters() -> None:
    assert UnionFind(0).clusters() == []
