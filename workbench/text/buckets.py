"""The compiled half of the near-duplicate search: who shares a band with whom, and who is really similar.

Import inside functions only: numba takes 0.3 s to load. Without numba the same code runs as Python.

Rows are numbered in canonical order here, so the smaller row of two is the one that comes first there. `parents` are
the disjoint sets of rows connected so far: `parents[row]` leads to the smallest row of its set.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from workbench.text.compiling import compiled
from workbench.text.disjoint_sets import root

Ids = NDArray[np.uint64]
Places = NDArray[np.int64]
Rows = NDArray[np.int64]

_NONE = -1
MARK_WORDS = 4
"""Of 64 bits."""
_MARK_SHIFT = np.uint64(64 - 8)
"""The first eight bits of an id choose one of the 256 bits of a mark."""


@compiled
def marks(ids: Ids, offsets: Places) -> Ids:
    """A mark of 256 bits for each row, `[n, 4]`: an id sets the bit that its own first bits name.

    Every bit that only one of two marks has stands for at least one id that only that row has, so most pairs that are
    not similar show it in 32 bytes each.
    """
    made = np.zeros((len(offsets) - 1, MARK_WORDS), dtype=np.uint64)
    for row in range(len(offsets) - 1):
        for place in range(offsets[row], offsets[row + 1]):
            bit = ids[place] >> _MARK_SHIFT
            made[row, bit >> np.uint64(6)] |= np.uint64(1) << (bit & np.uint64(63))
    return made


@compiled
def _bits(word: np.uint64) -> np.uint64:
    """How many bits are set (Warren, "Hacker's Delight", 5-1)."""
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.uint64((word * np.uint64(0x0101010101010101)) >> np.uint64(56))


@compiled
def _only_in_one(marked: Ids, one: int, other: int) -> tuple[np.int64, np.int64]:
    """Bits that only the first of two marks has, and only the second."""
    first = np.uint64(0)
    second = np.uint64(0)
    for word in range(MARK_WORDS):
        left = marked[one, word]
        right = marked[other, word]
        first += _bits(left & ~right)
        second += _bits(right & ~left)
    return np.int64(first), np.int64(second)


@compiled
def _needed(left_size: int, right_size: int, threshold: float) -> np.int64:
    """How many ids two rows of these sizes must share for Jaccard `threshold` t: t / (1 + t) of the sizes' sum."""
    return np.int64(np.ceil(threshold / (1.0 + threshold) * (left_size + right_size) - 1e-6))


@compiled
def shared_or_none(
    ids: Ids, left: int, left_size: int, others: Ids, right: int, right_size: int, threshold: float
) -> int:
    """How many ids `ids[left:][:left_size]` and `others[right:][:right_size]` share, both ascending and single; -1,
    often early, if that cannot reach Jaccard `threshold`: each row may have only so many ids of its own.
    """
    needed = _needed(left_size, right_size, threshold)
    left_spare = left_size - needed
    right_spare = right_size - needed
    if left_spare < 0 or right_spare < 0:
        return _NONE
    i = 0
    j = 0
    shared = 0
    while i < left_size and j < right_size:
        one = ids[left + i]
        other = others[right + j]
        shared += one == other
        i += one <= other
        j += other <= one
        if i - shared > left_spare or j - shared > right_spare:
            return _NONE
    return shared


@compiled
def jaccards(
    ids: Ids, left: Places, left_size: Places, others: Ids, right: Places, right_size: Places
) -> NDArray[np.float64]:
    """Jaccard similarity of pairs of rows, given by where their ids start and how many they are."""
    found = np.zeros(len(left), dtype=np.float64)
    for pair in range(len(left)):
        union = left_size[pair] + right_size[pair]
        if union > 0:
            shared = shared_or_none(ids, left[pair], left_size[pair], others, right[pair], right_size[pair], 0.0)
            found[pair] = shared / (union - shared)
    return found


@compiled
def open_buckets(order: Rows, ends: Places, begins: Places, parents: Rows, members: Rows, bounds: Places) -> int:
    """Of the runs `order[begins[i]:ends[i]]` of rows with one key, those whose rows are not all connected yet.

    Writes their rows into `members`, ascending, and where each run begins and the last ends into `bounds`; returns how
    many runs there are.
    """
    count = 0
    written = 0
    bounds[0] = 0
    for run in range(len(begins)):
        first = root(parents, order[begins[run]])
        for place in range(begins[run] + 1, ends[run]):
            if root(parents, order[place]) != first:
                size = ends[run] - begins[run]
                members[written : written + size] = order[begins[run] : ends[run]]
                members[written : written + size].sort()
                written += size
                count += 1
                bounds[count] = written
                break
    return count


class Compared(NamedTuple):
    """Rows to compare, bucket after bucket, and their shingles."""

    members: Rows
    bounds: Places
    """Bucket b is `members[bounds[b] : bounds[b + 1]]`, ascending."""
    ids: Ids
    starts: Places
    """Where the ids of each of `members` start in `ids`, ..."""
    sizes: Places
    """... and how many they are."""
    marked: Ids
    """Their marks, `[members, 4]`."""


class Known(NamedTuple):
    """What the search remembers from bucket to bucket."""

    parents: Rows
    """Disjoint sets of rows connected so far."""
    slots: Rows
    """Of the smallest row of a set: the set's number in the bucket at hand; -1 everywhere between buckets."""
    failed: Rows
    """Pairs found dissimilar lately, each in the place that its hash gives; as many as a power of two."""
    capped: NDArray[np.bool_]
    """Rows that would have needed more comparisons than allowed."""


class Found(NamedTuple):
    """Verified edges, room for one per compared row, and counts."""

    left: Rows
    right: Rows
    jaccard: NDArray[np.float64]
    counts: Rows
    """Edges found, and comparisons made."""


class _Sets(NamedTuple):
    """The sets met in one bucket, as lists of their members there."""

    met: Rows
    """Numbers of the sets that are still apart; the last one was met last."""
    heads: Rows
    tails: Rows
    cursors: Rows
    """How far the row at hand has been compared with each set."""
    following: Rows
    """Next member of the same set, or -1."""


@compiled
def connect(compared: Compared, known: Known, found: Found, threshold: float, comparisons: int, least: int) -> None:
    """Compares the rows of each bucket with each other and connects those that are similar.

    Every row is compared with the earlier rows of its bucket that it is not connected to: one row of each set first,
    then a second of each, and so on. Behind n rows, `comparisons` / n of them are made at most, but `least` in any
    case. Pairs that failed lately are not compared again.
    """
    bounds = compared.bounds
    widest = 0
    for bucket in range(len(bounds) - 1):
        widest = max(widest, bounds[bucket + 1] - bounds[bucket])
    sets = _Sets(
        np.empty(widest, dtype=np.int64),
        np.empty(widest, dtype=np.int64),
        np.empty(widest, dtype=np.int64),
        np.empty(widest, dtype=np.int64),
        np.empty(len(compared.members), dtype=np.int64),
    )
    for bucket in range(len(bounds) - 1):
        apart = 0
        numbered = 0
        for member in range(bounds[bucket], bounds[bucket + 1]):
            top = root(known.parents, compared.members[member])
            own = known.slots[top]
            sets.following[member] = _NONE
            if own == _NONE:
                own = numbered
                numbered += 1
                known.slots[top] = own
                sets.heads[own] = member
                sets.met[apart] = own
                apart += 1
            else:
                sets.following[sets.tails[own]] = member
            sets.tails[own] = member
            cap = max(least, comparisons // max(member - bounds[bucket], 1))
            apart = _compare_with_others(compared, known, found, sets, member, own, apart, threshold, cap)
        for member in range(bounds[bucket], bounds[bucket + 1]):
            known.slots[root(known.parents, compared.members[member])] = _NONE


@compiled
def _compare_with_others(
    compared: Compared, known: Known, found: Found, sets: _Sets, member: int, own: int, apart: int, threshold: float,
    cap: int,
) -> int:
    """Compares one member with those of the other sets and joins similar ones; returns how many sets are left."""
    left_over = cap
    first_round = True
    more = True
    while more:
        more = False
        place = apart
        while place > 0:
            place -= 1
            slot = sets.met[place]
            other = sets.heads[slot] if first_round else sets.cursors[slot]
            if slot == own or other == _NONE:
                continue
            sets.cursors[slot] = sets.following[other]
            more = more or sets.cursors[slot] != _NONE
            earlier = compared.members[other]
            row = compared.members[member]
            pair = earlier << 32 | row
            trace = (earlier * 40503 + row * 30011) & (len(known.failed) - 1)
            if known.failed[trace] == pair:
                continue
            if left_over == 0:
                known.capped[row] = True
                return apart
            left_over -= 1
            found.counts[1] += 1
            similarity = _similarity(compared, other, member, threshold)
            if similarity < threshold:
                known.failed[trace] = pair
                continue
            edge = found.counts[0]
            found.counts[0] += 1
            found.left[edge] = earlier
            found.right[edge] = row
            found.jaccard[edge] = similarity
            _merge(known, sets, earlier, row, slot, own)
            apart -= 1
            for later in range(place, apart):
                sets.met[later] = sets.met[later + 1]
        first_round = False
    return apart


@compiled
def _similarity(compared: Compared, one: int, other: int, threshold: float) -> float:
    """Jaccard similarity of two members; 0 if it is below `threshold`."""
    starts, sizes = compared.starts, compared.sizes
    needed = _needed(sizes[one], sizes[other], threshold)
    of_one, of_other = _only_in_one(compared.marked, one, other)
    if of_one > sizes[one] - needed or of_other > sizes[other] - needed:
        return 0.0
    shared = shared_or_none(
        compared.ids, starts[one], sizes[one], compared.ids, starts[other], sizes[other], threshold
    )
    return shared / (sizes[one] + sizes[other] - shared) if shared > 0 else 0.0


@compiled
def _merge(known: Known, sets: _Sets, earlier: int, row: int, slot: int, own: int) -> None:
    """Makes one set of those of two rows, numbered `own` in this bucket."""
    one = root(known.parents, earlier)
    other = root(known.parents, row)
    known.parents[max(one, other)] = min(one, other)
    known.slots[one] = _NONE
    known.slots[other] = _NONE
    known.slots[min(one, other)] = own
    sets.following[sets.tails[own]] = sets.heads[slot]
    sets.tails[own] = sets.tails[slot]
