"""The compiled half of containment: tokens as numbers, n-grams as numbers, and whether an index knows them.

Import inside functions only: numba takes 0.3 s to load, and each function about 1 s to compile the first time ever.

    "Pay $1,200 now"  --tokens-->  hashes of "pay", "1200", "now"; the second is numeric
                      --grams-->   one hash per run of n tokens
                      --known-->   places of those among an index's sorted hashes
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from workbench.text.compiling import compiled, numba_is_used
from workbench.text.tokenising import ALONE, OTHER, WORD

Hashes = NDArray[np.uint64]
Places = NDArray[np.int64]

DIGIT, DROPPED, BREAK = 3, 4, 5
"""Further classes of characters: 0 to 9; no part of a token and no end of one; between two pieces of a text."""

_COMMA, _POINT = 44, 46
STEP = np.uint64(0x9E3779B185EBCA87)
"""The hash of a sequence is the sum of its members, each times STEP to the power of what follows, modulo 2^64."""
_START = np.uint64(0xCBF29CE484222325)
_MIX = np.uint64(0xC2B2AE3D27D4EB4F)
_ANY_NUMBER = np.uint64(0x165667B19E3779F9)

Loop = TypeVar("Loop", bound=Callable[..., Any])


def _wrapping(function: Loop) -> Loop:
    """Products modulo 2^64 are meant: without compiling, numpy would warn of each."""
    return function if numba_is_used() else np.errstate(over="ignore")(function)


@compiled
def _mixed(value: np.uint64) -> np.uint64:
    value = (value ^ (value >> np.uint64(33))) * _MIX
    value = (value ^ (value >> np.uint64(29))) * STEP
    return np.uint64(value ^ (value >> np.uint64(32)))


@compiled
def _is_digit(codes: NDArray[Any], classes: NDArray[np.uint8], at: int) -> bool:
    return bool(0 <= at < len(codes) and classes[codes[at]] == DIGIT)


@compiled
def _joins_digits(codes: NDArray[Any], classes: NDArray[np.uint8], at: int) -> bool:
    """Whether the character is a decimal point, or a comma before exactly three digits, inside a number."""
    if codes[at] != _COMMA and codes[at] != _POINT:
        return False
    if not _is_digit(codes, classes, at - 1) or not _is_digit(codes, classes, at + 1):
        return False
    if codes[at] == _POINT:
        return True
    three = _is_digit(codes, classes, at + 2) and _is_digit(codes, classes, at + 3)
    return three and not _is_digit(codes, classes, at + 4)


@compiled
def _word(codes: NDArray[Any], classes: NDArray[np.uint8], start: int) -> tuple[int, np.uint64, bool]:
    """End and hash of the word that begins at `start`, and whether it is a number."""
    value = _START
    number = True
    at = start
    while at < len(codes):
        kind = classes[codes[at]]
        if kind == WORD or kind == DIGIT:  # noqa: SIM109 - a tuple is slower when compiled
            value = (value ^ np.uint64(codes[at])) * STEP
            number = number and kind == DIGIT
        elif kind == OTHER and _joins_digits(codes, classes, at):
            if codes[at] == _POINT:
                value = (value ^ np.uint64(_POINT)) * STEP
        elif kind != DROPPED:
            break
        at += 1
    return at, _mixed(value), number


@_wrapping
@compiled
def read_tokens(
    codes: NDArray[Any], classes: NDArray[np.uint8], tokens: Hashes, numeric: NDArray[np.bool_], ends: Places,
    prefixes: Hashes,
) -> int:
    """Writes the hash of each token of `normalise.folded_tokens`, and whether it is a number; returns how many.

    `codes` are the characters `[n] uint8 or uint32`; `tokens` and `numeric` have room for one per character.
    `ends[i]` becomes the number of tokens before the i-th BREAK, `prefixes[i]` the hash of all of them in their order.
    """
    count = 0
    pieces = 0
    prefix = np.uint64(0)
    at = 0
    while at < len(codes):
        kind = classes[codes[at]]
        if kind == WORD or kind == DIGIT:  # noqa: SIM109 - as above
            at, tokens[count], numeric[count] = _word(codes, classes, at)
            prefix = prefix * STEP + tokens[count]
            count += 1
            continue
        if kind == ALONE:
            tokens[count] = _mixed((_START ^ np.uint64(codes[at])) * STEP)
            numeric[count] = False
            prefix = prefix * STEP + tokens[count]
            count += 1
        elif kind == BREAK:
            ends[pieces] = count
            prefixes[pieces] = prefix
            pieces += 1
        at += 1
    return count


@_wrapping
@compiled
def gram_hashes(tokens: Hashes, ngram: int) -> Hashes:
    """One hash per run of `ngram` tokens `[n_tokens - ngram + 1]`; never 0, which stands for none."""
    count = max(0, len(tokens) - ngram + 1)
    grams = np.empty(count, dtype=np.uint64)
    power = np.uint64(1)
    for _ in range(ngram):
        power *= STEP
    value = np.uint64(0)
    for place in range(len(tokens)):
        value = value * STEP + tokens[place]
        if place >= ngram:
            value -= power * tokens[place - ngram]
        if place >= ngram - 1:
            grams[place - ngram + 1] = _mixed(value) | np.uint64(1)
    return grams


@_wrapping
@compiled
def renumbered_hashes(tokens: Hashes, numeric: NDArray[np.bool_], ngram: int) -> Hashes:
    """As `gram_hashes`, with all numbers alike; 0 for a run that is more numbers than words."""
    masked = tokens.copy()
    for place in range(len(tokens)):
        if numeric[place]:
            masked[place] = _ANY_NUMBER
    grams = gram_hashes(masked, ngram)
    numbers = 0
    for place in range(len(tokens)):
        numbers += numeric[place]
        if place >= ngram:
            numbers -= numeric[place - ngram]
        if place >= ngram - 1 and 2 * numbers > ngram:
            grams[place - ngram + 1] = np.uint64(0)
    return grams


@compiled
def _position(gram: np.uint64, bits: Hashes, keys: Hashes) -> int:
    """Where a gram stands in sorted `keys`; -1 if it does not.

    `bits` has one bit per key, in a power of two of words, so that most of what is unknown is told without a search.
    """
    bit = (gram >> np.uint64(1)) & np.uint64(64 * len(bits) - 1)
    if not (bits[bit >> np.uint64(6)] >> (bit & np.uint64(63))) & np.uint64(1):
        return -1
    low, high = 0, len(keys)
    while low < high:
        middle = (low + high) // 2
        if keys[middle] < gram:
            low = middle + 1
        else:
            high = middle
    return low if low < len(keys) and keys[low] == gram else -1


@compiled
def known_grams(grams: Hashes, bits: Hashes, keys: Hashes, places: Places, found: Places) -> int:
    """Writes place and position in `keys` of every gram that is among them; returns how many."""
    count = 0
    for place in range(len(grams)):
        position = _position(grams[place], bits, keys)
        if position >= 0:
            places[count] = place
            found[count] = position
            count += 1
    return count


@_wrapping
@compiled
def knows_any(tokens: Hashes, numeric: NDArray[np.bool_], ngram: int, alike: bool, bits: Hashes, keys: Hashes) -> bool:
    """Whether `keys` has any n-gram of `tokens`, with all numbers `alike` or not: nothing is written."""
    if len(keys) == 0 or len(tokens) < ngram:
        return False
    power = np.uint64(1)
    for _ in range(ngram):
        power *= STEP
    value = np.uint64(0)
    numbers = 0
    for place in range(len(tokens)):
        value = value * STEP + (_ANY_NUMBER if alike and numeric[place] else tokens[place])
        numbers += numeric[place]
        if place >= ngram:
            before = place - ngram
            value -= power * (_ANY_NUMBER if alike and numeric[before] else tokens[before])
            numbers -= numeric[before]
        if place < ngram - 1 or (alike and (numbers == 0 or 2 * numbers > ngram)):
            continue
        if _position(_mixed(value) | np.uint64(1), bits, keys) >= 0:
            return True
    return False


@compiled
def set_bits(keys: Hashes, bits: Hashes) -> None:
    """Marks every key for `known_grams`."""
    mask = np.uint64(64 * len(bits) - 1)
    for key in keys:
        bit = (key >> np.uint64(1)) & mask
        bits[bit >> np.uint64(6)] |= np.uint64(1) << (bit & np.uint64(63))
