"""The compiled half of sketching: tokens, shingles, their hashes, and the MinHash of each text.

Import inside functions only: numba takes 0.3 s to load, and each function 1 to 4 s to compile the first time ever.

    "the cat sat"  --tokens-->  joined by single spaces, so that every shingle is one run of bytes
                   --xxh32-->   fmix32, a * h + b mod 2^32, smallest per permutation: datasketch's `affine32`
                   --xxh64-->   the shingle's id; ids are sorted and single, ready to be intersected
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from workbench.text.compiling import compiled
from workbench.text.tokenising import ALONE, OTHER, WORD

Bytes = NDArray[np.uint8]
Ids = NDArray[np.uint64]
Words = NDArray[np.uint32]
Places = NDArray[np.int64]

# xxHash, https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md
_P32_1, _P32_2, _P32_3 = np.uint32(0x9E3779B1), np.uint32(0x85EBCA77), np.uint32(0xC2B2AE3D)
_P32_4, _P32_5 = np.uint32(0x27D4EB2F), np.uint32(0x165667B1)
_P64_1, _P64_2, _P64_3 = np.uint64(0x9E3779B185EBCA87), np.uint64(0xC2B2AE3D27D4EB4F), np.uint64(0x165667B19E3779F9)
_P64_4, _P64_5 = np.uint64(0x85EBCA77C2B2AE63), np.uint64(0x27D4EB2F165667C5)
_SMALL_SORT = 32


@compiled
def _u32(data: Bytes, at: int) -> np.uint32:
    """Four bytes, little-endian. Unsigned places spare the look for negative ones, so this is a single load."""
    place = np.uint64(at)
    return np.uint32(
        np.uint32(data[place])
        | np.uint32(data[place + np.uint64(1)]) << np.uint32(8)
        | np.uint32(data[place + np.uint64(2)]) << np.uint32(16)
        | np.uint32(data[place + np.uint64(3)]) << np.uint32(24)
    )


@compiled
def _u64(data: Bytes, at: int) -> np.uint64:
    return np.uint64(np.uint64(_u32(data, at)) | np.uint64(_u32(data, at + 4)) << np.uint64(32))


@compiled
def _rotated32(value: np.uint32, bits: int) -> np.uint32:
    return np.uint32(np.uint32(value << np.uint32(bits)) | (value >> np.uint32(32 - bits)))


@compiled
def _rotated64(value: np.uint64, bits: int) -> np.uint64:
    return np.uint64((value << np.uint64(bits)) | (value >> np.uint64(64 - bits)))


@compiled
def _round32(state: np.uint32, lane: np.uint32) -> np.uint32:
    return np.uint32(_rotated32(np.uint32(state + np.uint32(lane * _P32_2)), 13) * _P32_1)


@compiled
def xxh32(data: Bytes, start: int, end: int) -> np.uint32:
    """xxHash of `data[start:end]` in 32 bits, seed 0."""
    at = start
    if end - start >= 16:
        one = np.uint32(_P32_1 + _P32_2)
        two = _P32_2
        three = np.uint32(0)
        four = np.uint32(np.uint32(0) - _P32_1)
        while at <= end - 16:
            one = _round32(one, _u32(data, at))
            two = _round32(two, _u32(data, at + 4))
            three = _round32(three, _u32(data, at + 8))
            four = _round32(four, _u32(data, at + 12))
            at += 16
        value = np.uint32(_rotated32(one, 1) + _rotated32(two, 7) + _rotated32(three, 12) + _rotated32(four, 18))
    else:
        value = _P32_5
    value = np.uint32(value + np.uint32(end - start))
    while at <= end - 4:
        value = np.uint32(_rotated32(np.uint32(value + np.uint32(_u32(data, at) * _P32_3)), 17) * _P32_4)
        at += 4
    while at < end:
        value = np.uint32(_rotated32(np.uint32(value + np.uint32(np.uint32(data[at]) * _P32_5)), 11) * _P32_1)
        at += 1
    value = np.uint32((value ^ (value >> np.uint32(15))) * _P32_2)
    value = np.uint32((value ^ (value >> np.uint32(13))) * _P32_3)
    return np.uint32(value ^ (value >> np.uint32(16)))


@compiled
def _round64(state: np.uint64, lane: np.uint64) -> np.uint64:
    return _rotated64(state + lane * _P64_2, 31) * _P64_1


@compiled
def xxh64(data: Bytes, start: int, end: int) -> np.uint64:
    """xxHash of `data[start:end]` in 64 bits, seed 0."""
    at = start
    if end - start >= 32:
        one = _P64_1 + _P64_2
        two = _P64_2
        three = np.uint64(0)
        four = np.uint64(0) - _P64_1
        while at <= end - 32:
            one = _round64(one, _u64(data, at))
            two = _round64(two, _u64(data, at + 8))
            three = _round64(three, _u64(data, at + 16))
            four = _round64(four, _u64(data, at + 24))
            at += 32
        value = _rotated64(one, 1) + _rotated64(two, 7) + _rotated64(three, 12) + _rotated64(four, 18)
        for state in (one, two, three, four):
            value = (value ^ _round64(np.uint64(0), state)) * _P64_1 + _P64_4
    else:
        value = _P64_5
    value = value + np.uint64(end - start)
    while at <= end - 8:
        value = _rotated64(value ^ _round64(np.uint64(0), _u64(data, at)), 27) * _P64_1 + _P64_4
        at += 8
    if at <= end - 4:
        value = _rotated64(value ^ (np.uint64(_u32(data, at)) * _P64_1), 23) * _P64_2 + _P64_3
        at += 4
    while at < end:
        value = _rotated64(value ^ (np.uint64(data[at]) * _P64_5), 11) * _P64_1
        at += 1
    value = (value ^ (value >> np.uint64(33))) * _P64_2
    value = (value ^ (value >> np.uint64(29))) * _P64_3
    return np.uint64(value ^ (value >> np.uint64(32)))


@compiled
def _code_point(data: Bytes, at: int) -> tuple[np.int64, int]:
    """The character of well-formed UTF-8 (lone surrogates included) at `at`, and its bytes."""
    first = np.int64(data[at])
    if first < 0x80:
        return first, 1
    second = np.int64(data[at + 1]) & 0x3F
    if first < 0xE0:
        return (first & 0x1F) << 6 | second, 2
    third = np.int64(data[at + 2]) & 0x3F
    if first < 0xF0:
        return (first & 0x0F) << 12 | second << 6 | third, 3
    return (first & 0x07) << 18 | second << 12 | third << 6 | (np.int64(data[at + 3]) & 0x3F), 4


@compiled
def tokenise(data: Bytes, start: int, end: int, classes: Bytes, joined: Bytes, begins: Places) -> int:
    """Writes the tokens of `data[start:end]` into `joined`, each followed by one space; returns how many.

    Token i is `joined[begins[i] : begins[i + 1] - 1]`. `joined` takes 1.5 times the text's bytes, `begins` half of
    them and two more.
    """
    count = 0
    written = 0
    at = start
    inside = False
    while at < end:
        code, size = _code_point(data, at)
        kind = classes[code]
        if inside and kind != WORD:
            joined[written] = 32
            written += 1
            inside = False
        if kind != OTHER:
            if not inside:
                begins[count] = written
                count += 1
            for offset in range(size):
                joined[written + offset] = data[at + offset]
            written += size
            inside = True
            if kind == ALONE:
                joined[written] = 32
                written += 1
                inside = False
        at += size
    if inside:
        joined[written] = 32
        written += 1
    begins[count] = written
    return count


@compiled
def count_tokens(data: Bytes, classes: Bytes) -> int:
    """How many tokens `tokenise` finds."""
    count = 0
    at = 0
    inside = False
    while at < len(data):
        code, size = _code_point(data, at)
        kind = classes[code]
        count += kind == ALONE or (kind == WORD and not inside)
        inside = kind == WORD
        at += size
    return count


@compiled
def _sort_in_place(ids: Ids, work: Ids, counts: Places) -> None:
    """Ascending order. Ids are hashes, so equal slices of their range hold about one id each: slice, then tidy up."""
    size = len(ids)
    bits = 0
    while (1 << bits) < size and (1 << (bits + 1)) < len(counts):
        bits += 1
    shift = np.uint64(64 - bits)
    if bits:
        counts[: (1 << bits) + 1] = 0
        for value in ids:
            counts[(value >> shift) + np.uint64(1)] += 1
        for piece in range(1 << bits):
            counts[piece + 1] += counts[piece]
        for value in ids:
            piece = value >> shift
            work[counts[piece]] = value
            counts[piece] += 1
        ids[:] = work[:size]
        start = 0
        for piece in range(1 << bits):
            if counts[piece] - start > _SMALL_SORT:
                ids[start : counts[piece]].sort()
            start = counts[piece]
    for place in range(1, size):
        value = ids[place]
        before = place - 1
        while before >= 0 and ids[before] > value:
            ids[before + 1] = ids[before]
            before -= 1
        ids[before + 1] = value


@compiled
def _single(ids: Ids) -> int:
    """Moves the distinct values of sorted `ids` to its front; returns how many."""
    kept = 0
    for place in range(len(ids)):
        if place == 0 or ids[place] != ids[kept - 1]:
            ids[kept] = ids[place]
            kept += 1
    return kept


@compiled
def _permute(hashes: Words, a: Words, b: Words, signature: Words) -> None:
    """Smallest a * fmix32(h) + b mod 2^32 of all hashes, for each permutation."""
    signature[:] = np.uint32(0xFFFFFFFF)
    for value in hashes:
        value = np.uint32((value ^ (value >> np.uint32(16))) * np.uint32(0x85EBCA6B))
        value = np.uint32((value ^ (value >> np.uint32(13))) * np.uint32(0xC2B2AE35))
        value = np.uint32(value ^ (value >> np.uint32(16)))
        for place in range(len(signature)):
            moved = np.uint32(np.uint32(a[place] * value) + b[place])
            if moved < signature[place]:
                signature[place] = moved


@compiled
def _shingle(begins: Places, shingle: int, tokens: int, ngram: int) -> tuple[int, int]:
    """Where the shingle's bytes begin and end."""
    return begins[shingle], begins[min(shingle + ngram, tokens)] - 1


@compiled
def sketch_packed(
    data: Bytes, offsets: Places, classes: Bytes, ngram: int, a: Words, b: Words,
    signatures: Words, ids: Ids, id_offsets: Places,
) -> None:
    """Fills `signatures [n, num_perm]`, `ids` and `id_offsets [n + 1]` for the texts `data[offsets[i]:offsets[i + 1]]`.

    `ids` has room for half the bytes of `data` and one more per text.
    """
    longest = 0
    for text in range(len(offsets) - 1):
        longest = max(longest, offsets[text + 1] - offsets[text])
    joined = np.empty(longest + longest // 2 + 2, dtype=np.uint8)
    begins = np.empty(longest // 2 + 2, dtype=np.int64)
    hashes = np.empty(longest // 2 + 2, dtype=np.uint32)
    work = np.empty(longest // 2 + 2, dtype=np.uint64)
    counts = np.empty(longest + 4, dtype=np.int64)
    written = 0
    id_offsets[0] = 0
    for text in range(len(offsets) - 1):
        tokens = tokenise(data, offsets[text], offsets[text + 1], classes, joined, begins)
        shingles = max(tokens - ngram + 1, min(tokens, 1))
        for shingle in range(shingles):
            start, end = _shingle(begins, shingle, tokens, ngram)
            hashes[shingle] = xxh32(joined, start, end)
            ids[written + shingle] = xxh64(joined, start, end)
        _permute(hashes[:shingles], a, b, signatures[text])
        here = ids[written : written + shingles]
        _sort_in_place(here, work, counts)
        written += _single(here)
        id_offsets[text + 1] = written
