"""The compiled half of union-find. Import inside functions only: numba takes 0.3 s to load.

`parents[row]` leads to the smallest row of its set, which is its own parent.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from workbench.text.compiling import compiled

Rows = NDArray[np.int64]


@compiled
def root(parents: Rows, row: int) -> int:
    """Smallest row of the set of `row`; halves the path to it."""
    while parents[row] != row:
        parents[row] = parents[parents[row]]
        row = parents[row]
    return row


@compiled
def roots(parents: Rows) -> Rows:
    """Smallest row of every row's set."""
    found = np.empty(len(parents), dtype=np.int64)
    for row in range(len(parents)):
        found[row] = root(parents, row)
    return found


@compiled
def join_pairs(parents: Rows, left: Rows, right: Rows) -> None:
    """Makes one set of the sets of `left[i]` and `right[i]`, for every i."""
    for pair in range(len(left)):
        one = root(parents, left[pair])
        other = root(parents, right[pair])
        parents[max(one, other)] = min(one, other)
