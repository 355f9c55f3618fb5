"""Shingles of many texts as numbers: the MinHash of each text, and the ids of its shingles.

    hashed(["the cat sat", "..."], ngram=2, permutations=...)
    ->  signatures [2, num_perm] uint32 (the second row all 0xFFFFFFFF)
        ids of "the cat" and "cat sat", offsets [0, 2, 2]

Compiled where numba is installed; otherwise with numpy and xxhash, to the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workbench.text.compiling import numba_is_used
from workbench.text.shingles import shingles
from workbench.text.tokenising import character_classes, packed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_PERMUTATION_BLOCK = 8


@dataclass(frozen=True, slots=True)
class Hashed:
    """Some texts' shingles."""

    signatures: NDArray[np.uint32]
    """`[n, num_perm]`; 0xFFFFFFFF throughout for a text without shingles."""
    ids: NDArray[np.uint64]
    """xxh64 of each shingle's UTF-8 bytes: ascending and single within a text."""
    offsets: NDArray[np.int64]
    """`[n + 1]`: the ids of text i are `ids[offsets[i] : offsets[i + 1]]`."""


def hashed(texts: Sequence[str], ngram: int, permutations: NDArray[np.uint32]) -> Hashed:
    """Signatures and shingle ids of `texts` under `permutations [2, num_perm]` (a, then b)."""
    way = _hashed_compiled if numba_is_used() else _hashed_plain
    return way(texts, ngram, permutations)


def _hashed_compiled(texts: Sequence[str], ngram: int, permutations: NDArray[np.uint32]) -> Hashed:
    import numpy as np

    from workbench.text.kernel import sketch_packed

    data, starts = packed(texts)
    signatures = np.empty((len(texts), permutations.shape[1]), dtype=np.uint32)
    ids = np.empty(len(data) // 2 + len(texts), dtype=np.uint64)
    offsets = np.empty(len(texts) + 1, dtype=np.int64)
    a, b = permutations
    sketch_packed(data, starts, character_classes(), ngram, a, b, signatures, ids, offsets)
    return Hashed(signatures, ids[: offsets[-1]].copy(), offsets)


def _hashed_plain(texts: Sequence[str], ngram: int, permutations: NDArray[np.uint32]) -> Hashed:
    import numpy as np
    import xxhash

    sets = [[shingle.encode("utf-8", "surrogatepass") for shingle in shingles(text, ngram)] for text in texts]
    offsets = np.zeros(len(texts) + 1, dtype=np.int64)
    np.cumsum([len(of_text) for of_text in sets], out=offsets[1:])
    ids = np.empty(offsets[-1], dtype=np.uint64)
    for text, of_text in enumerate(sets):
        found = np.array([xxhash.xxh64_intdigest(shingle) for shingle in of_text], dtype=np.uint64)
        ids[offsets[text] : offsets[text + 1]] = np.sort(found)
    hashes = np.array([xxhash.xxh32_intdigest(shingle) for of_text in sets for shingle in of_text], dtype=np.uint32)
    return Hashed(_smallest(hashes, offsets, permutations), ids, offsets)


def _smallest(
    hashes: NDArray[np.uint32], offsets: NDArray[np.int64], permutations: NDArray[np.uint32]
) -> NDArray[np.uint32]:
    """Smallest a * fmix32(h) + b mod 2^32 per text and permutation, some permutations at a time."""
    import numpy as np

    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        hashes = (hashes ^ (hashes >> np.uint32(shift))) * np.uint32(factor)
    hashes = hashes ^ (hashes >> np.uint32(16))
    signatures = np.full((len(offsets) - 1, permutations.shape[1]), 0xFFFFFFFF, dtype=np.uint32)
    filled = np.flatnonzero(np.diff(offsets))
    if len(filled):
        for start in range(0, permutations.shape[1], _PERMUTATION_BLOCK):
            a, b = permutations[:, start : start + _PERMUTATION_BLOCK, None]
            signatures[filled, start : start + _PERMUTATION_BLOCK] = np.minimum.reduceat(
                a * hashes + b, offsets[filled], axis=1
            ).T
    return signatures
