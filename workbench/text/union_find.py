"""Disjoint sets of rows: joined by pairs, read as labels or clusters.

    sets = UnionFind(4); sets.join(0, 2); sets.join(2, 3)
    sets.labels()    ->  [0, 1, 0, 0]
    sets.clusters()  ->  [[0, 2, 3], [1]]
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class UnionFind:
    """Rows 0..size-1, each alone at first. The smallest row is its set's root: the order of joining never shows."""

    def __init__(self, size: int) -> None:
        import numpy as np

        self._parents = np.arange(size)

    def root(self, row: int) -> int:
        """Smallest row of the set of `row`."""
        parents = self._parents
        while parents[row] != row:
            parents[row] = parents[parents[row]]
            row = parents[row]
        return int(row)

    def connected(self, left: int, right: int) -> bool:
        """Whether two rows are in one set."""
        return self.root(left) == self.root(right)

    def join(self, left: int, right: int) -> None:
        """Makes one set of two."""
        first, second = sorted((self.root(left), self.root(right)))
        self._parents[second] = first

    def join_pairs(self, left: NDArray[np.int64], right: NDArray[np.int64]) -> None:
        """Joins `left[i]` and `right[i]`, for every i."""
        from workbench.text.disjoint_sets import join_pairs

        join_pairs(self._parents, left, right)

    def labels(self) -> NDArray[np.int64]:
        """`[size]`: smallest row of every row's set."""
        from workbench.text.disjoint_sets import roots

        return roots(self._parents)

    def clusters(self) -> list[list[int]]:
        """All sets, each in ascending order, in order of their smallest row."""
        import numpy as np

        labels = self.labels()
        order = np.argsort(labels, kind="stable")
        turns = np.flatnonzero(np.diff(labels[order])) + 1
        return [members.tolist() for members in np.split(order, turns) if len(members)]
