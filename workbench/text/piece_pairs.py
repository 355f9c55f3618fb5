"""How much of a text has been said before in it: pairs of neighbouring pieces, pieces being what stands between spaces.

    pieces_and_pairs("so it goes and so it goes")   ->   (7, 4)      so-it, it-goes, goes-and, and-so; two come twice

Import inside functions only: brings numba (0.3 s). A thousand characters of ASCII take 5 microseconds.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from workbench.text.compiling import compiled, numba_is_used

_START = np.uint64(0xCBF29CE484222325)
_STEP = np.uint64(0x9E3779B185EBCA87)


def pieces_and_pairs(text: str) -> tuple[int, int]:
    """How many pieces `text.split()` has, and how many different pairs of neighbours."""
    if not text.isascii() or not numba_is_used():
        pieces = text.split()
        return len(pieces), len(set(pairwise(pieces)))
    data = np.frombuffer(text.encode() + b" ", dtype=np.uint8)
    count, different = _pieces_and_pairs(data, np.empty(len(data) // 2 + 1, dtype=np.uint64))
    return int(count), int(different)


@compiled
def _pieces_and_pairs(data: Any, pairs: Any) -> Any:
    """Of ASCII that ends in a space; writes a hash of 64 bits for each pair to `pairs`."""
    count = 0
    piece = before = _START
    for byte in data:
        if not (byte == 32 or 9 <= byte <= 13 or 28 <= byte <= 31):
            piece = (piece ^ np.uint64(byte)) * _STEP
        elif piece != _START:
            if count:
                pairs[count - 1] = (before ^ (before >> np.uint64(29))) * _STEP + piece
            count += 1
            before, piece = piece, _START
    found = pairs[: max(0, count - 1)]
    found.sort()
    different = 0
    for place in range(len(found)):
        if place == 0 or found[place] != found[place - 1]:
            different += 1
    return count, different
