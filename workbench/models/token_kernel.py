"""The compiled half of counting tokens: texts cut at spaces, and the tokens of each piece looked up.

Import inside functions only: numba takes 0.3 s to load.

    "Capital of Peru?"  --pieces-->  "Capital", " of", " Peru?"
                        --hash-->    the piece's key in a table of 2^20 slots, which holds its tokens
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from workbench.text.compiling import compiled
from workbench.text.kernel import Bytes, Ids, Places
from workbench.text.white_space import white_before, white_size

Counts = NDArray[np.int64]

SLOTS = 1 << 20
_FREE = np.uint64(0)
"""What a free slot holds. No piece has this key: it would get another."""
_START, _STEP = np.uint64(0xCBF29CE484222325), np.uint64(0x9E3779B185EBCA87)
_MIX = np.uint64(0xC2B2AE3D27D4EB4F)


def empty_table() -> tuple[Ids, NDArray[np.uint32]]:
    """Keys and tokens of no piece yet; 12 MB."""
    return np.full(SLOTS, _FREE, dtype=np.uint64), np.zeros(SLOTS, dtype=np.uint32)


@compiled
def is_cut(data: Bytes, start: int, end: int, at: int) -> bool:
    """Whether a piece of the text `data[start:end]` begins at `at`: at a single space between two other characters."""
    return bool(
        data[at] == 0x20
        and start < at < end - 1
        and not white_before(data, at)
        and white_size(data, at + 1) == 0
    )


@compiled
def _slot(keys: Ids, key: np.uint64) -> np.int64:
    """Where a key is, or would be."""
    slot = np.int64(key & np.uint64(SLOTS - 1))
    while keys[slot] != key and keys[slot] != _FREE:
        slot = (slot + 1) & (SLOTS - 1)
    return slot


@compiled
def _with(value: np.uint64, byte: np.uint8) -> np.uint64:
    """The hash of a piece (FNV-1a) with one more byte."""
    return np.uint64((value ^ np.uint64(byte)) * _STEP)


@compiled
def _key(value: np.uint64) -> np.uint64:
    """What stands for the piece with this hash; two of a million pieces share it with a chance of 3 in 10^8."""
    value = (value ^ (value >> np.uint64(33))) * _MIX
    value = value ^ (value >> np.uint64(29))
    return np.uint64(value) if value != _FREE else np.uint64(1)


@compiled
def look_up(
    data: Bytes, offsets: Places, keys: Ids, tokens: NDArray[np.uint32], sums: Counts, unknown: Places
) -> int:
    """Adds up the tokens of the known pieces of each text `data[offsets[i]:offsets[i + 1]]` in `sums [n]`.

    Pieces that are not in the table go to `unknown [pieces, 3]`: text, first byte, end. Returns how many.
    """
    found = 0
    for text in range(len(offsets) - 1):
        start, end = offsets[text], offsets[text + 1]
        begin = start
        value = _START
        for at in range(start, end + 1):
            if at < end and not (data[at] == 0x20 and is_cut(data, start, end, at)):
                value = _with(value, data[at])
                continue
            key = _key(value)
            slot = _slot(keys, key)
            if keys[slot] == key:
                sums[text] += tokens[slot]
            else:
                unknown[found, 0] = text
                unknown[found, 1] = begin
                unknown[found, 2] = at
                found += 1
            begin = at
            value = _with(_START, np.uint8(0x20))
    return found


@compiled
def remember(
    data: Bytes, pieces: Places, counts: Counts, longest: int, keys: Ids, tokens: NDArray[np.uint32]
) -> int:
    """Puts `pieces [n, 3]` of at most `longest` bytes and their `counts [n]` in the table; returns how many are new."""
    new = 0
    for place in range(len(pieces)):
        start, end = pieces[place, 1], pieces[place, 2]
        if end - start > longest:
            continue
        value = _START
        for at in range(start, end):
            value = _with(value, data[at])
        key = _key(value)
        slot = _slot(keys, key)
        if keys[slot] == _FREE:
            keys[slot] = key
            tokens[slot] = np.uint32(counts[place])
            new += 1
    return new
