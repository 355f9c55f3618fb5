"""Disjoint sets of rows: joined pair by pair, read as clusters.

    sets = UnionFind(4); sets.join(0, 2); sets.join(2, 3)
    sets.clusters()  ->  [[0, 2, 3], [1]]
"""

from __future__ import annotations


class UnionFind:
    """Rows 0..size-1, each alone at first. Path halving, and the smallest row is the root: order never shows."""

    def __init__(self, size: int) -> None:
        self._parent = list(range(size))

    def root(self, row: int) -> int:
        """Smallest row of the set of `row`."""
        parent = self._parent
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    def connected(self, left: int, right: int) -> bool:
        """Whether two rows are in one set."""
        return self.root(left) == self.root(right)

    def join(self, left: int, right: int) -> None:
        """Makes one set of two."""
        first, second = sorted((self.root(left), self.root(right)))
        self._parent[second] = first

    def clusters(self) -> list[list[int]]:
        """All sets, each in ascending order, in order of their smallest row."""
        members: dict[int, list[int]] = {}
        for row in range(len(self._parent)):
            members.setdefault(self.root(row), []).append(row)
        return list(members.values())
