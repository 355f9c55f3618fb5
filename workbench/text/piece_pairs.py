"""How much of a text has been said before in it: pairs of neighbouring pieces, pieces being what stands between spaces.

    pieces_and_pairs("so it goes and so it goes")   ->   (7, 4)      so-it, it-goes, goes-and, and-so; two come twice

Import inside functions only: brings numba (0.3 s). A thousand characters take 5 microseconds.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from workbench.text.compiling import compiled, numba_is_used
from workbench.text.white_space import white_size

_START = np.uint64(0xCBF29CE484222325)
_STEP = np.uint64(0x9E3779B185EBCA87)


def pieces_and_pairs(text: str) -> tuple[int, int]:
    """How many pieces `text.split()` has, and how many different pairs of neighbours."""
    if not numba_is_used():
        pieces = text.split()
        return len(pieces), len(set(pairwise(pieces)))
    data = np.frombuffer(text.encode("utf-8", "surrogatepass") + b" ", dtype=np.uint8)
    pairs = np.empty(len(data) // 2 + 1, dtype=np.uint64)
    count = int(_pairs(data, pairs))
    return count, int(_different(pairs[: max(0, count - 1)]))


@compiled
def _pairs(data: Any, pairs: Any) -> Any:
    """Of UTF-8 that ends in a space: writes a hash of each pair to `pairs`, returns the number of pieces."""
    count = 0
    piece = before = _START
    at = 0
    while at < len(data):
        byte = data[at]
        # most characters show by their first byte that they are none to look at
        white = 0 if 0x20 < byte < 0xC2 or byte > 0xE3 else white_size(data, at)
        if white == 0:
            piece = (piece ^ np.uint64(byte)) * _STEP
            at += 1
            continue
        if piece != _START:
            if count:
                pairs[count - 1] = (before ^ (before >> np.uint64(29))) * _STEP + piece
            count += 1
            before, piece = piece, _START
        at += white
    return count


@compiled
def _different(hashes: Any) -> Any:
    """How many different ones there are."""
    slots = 64
    while slots < 2 * len(hashes):
        slots *= 2
    table = np.zeros(slots, dtype=np.uint64)
    different = 0
    for value in hashes:
        marked = value | np.uint64(1)  # a free slot holds 0
        slot = np.int64(marked >> np.uint64(32)) & (slots - 1)
        while table[slot] != 0 and table[slot] != marked:
            slot = (slot + 1) & (slots - 1)
        if table[slot] == 0:
            table[slot] = marked
            different += 1
    return different
