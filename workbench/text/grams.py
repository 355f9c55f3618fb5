"""Texts as token hashes, and tables that say at once which n-grams of a text somebody holds.

    tokens = read_tokens(["Pay $1,200", "now"])         # hashes of pay, 1200, now; ends [2, 3]
    table = GramTable.of(grams, holders)                # grams[i] belongs to holders[i]
    places, keys = table.known(gram_hashes(tokens.hashes, 8))

A text in which nothing is known costs a few microseconds. Hashes have 64 bits: whoever acts on a hit compares the
words themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import TYPE_CHECKING

from workbench.text.normalise import dropped_characters, folded, without_tags
from workbench.text.shingles import UNSPACED_CHARACTER
from workbench.text.tokenising import character_classes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BREAK = "\x1e"
"""Stands between two pieces of a text; where a text has it, it is white space."""
_BITS_PER_GRAM = 32
_MODULUS = 1 << 64


@dataclass(frozen=True, slots=True)
class Tokens:
    """A text, given in pieces, as numbers."""

    hashes: NDArray[np.uint64]
    """One per token of `normalise.folded_tokens`."""
    numeric: NDArray[np.bool_]
    """Which tokens are numbers."""
    ends: list[int]
    """Tokens before the end of each piece."""
    prefixes: list[int]
    """Hash of all tokens before the end of each piece."""

    def sequence(self, first: int, last: int) -> int:
        """Hash of the tokens of the pieces `first` to `last` in their order; 0 if there are none."""
        if first == 0:
            return self.prefixes[last]
        size = self.ends[last] - self.ends[first - 1]
        return (self.prefixes[last] - self.prefixes[first - 1] * pow(_step(), size, _MODULUS)) % _MODULUS

    def size(self, first: int, last: int) -> int:
        """Tokens of the pieces `first` to `last`."""
        return self.ends[last] - (self.ends[first - 1] if first else 0)


    def of_pieces(self, pieces: Sequence[int]) -> Tokens:
        """The tokens of some pieces alone."""
        import numpy as np

        slices = [slice(self.ends[piece - 1] if piece else 0, self.ends[piece]) for piece in pieces]
        hashes = np.concatenate([self.hashes[piece] for piece in slices])
        return Tokens(hashes, np.concatenate([self.numeric[piece] for piece in slices]), [], [])


def read_tokens(pieces: Sequence[str]) -> Tokens:
    """The tokens of all pieces, one after the other; no token spans two pieces."""
    import numpy as np

    text = _BREAK.join(pieces)
    if text.count(_BREAK) >= len(pieces):
        text = _BREAK.join(piece.replace(_BREAK, " ") for piece in pieces)
    text = without_tags(text) + _BREAK
    if text.isascii():
        codes = np.frombuffer(text.lower().encode("ascii"), dtype=np.uint8)
    else:
        codes = np.frombuffer(folded(text).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    hashes = np.empty(len(codes), dtype=np.uint64)
    numeric = np.empty(len(codes), dtype=np.bool_)
    ends = np.zeros(max(1, len(pieces)), dtype=np.int64)
    prefixes = np.zeros(len(ends), dtype=np.uint64)
    count = _kernel().read_tokens(codes, _classes(), hashes, numeric, ends, prefixes)
    return Tokens(hashes[:count], numeric[:count], ends.tolist(), prefixes.tolist())


def gram_hashes(hashes: NDArray[np.uint64], ngram: int) -> NDArray[np.uint64]:
    """One hash per run of `ngram` tokens `[n_tokens - ngram + 1]`."""
    grams: NDArray[np.uint64] = _kernel().gram_hashes(hashes, ngram)
    return grams


def renumbered_hashes(tokens: Tokens, ngram: int) -> NDArray[np.uint64]:
    """As `gram_hashes` with all numbers alike; 0 for a run with more numbers than words."""
    grams: NDArray[np.uint64] = _kernel().renumbered_hashes(tokens.hashes, tokens.numeric, ngram)
    return grams


@dataclass(frozen=True, slots=True)
class GramTable:
    """Which n-grams are known, and who holds them."""

    keys: NDArray[np.uint64]
    """Distinct n-grams, ascending."""
    bits: NDArray[np.uint64]
    """One bit per key, so that most of what is unknown is told without a search."""
    starts: NDArray[np.int64]
    """`[n_keys + 1]`: the holders of key i are `holders[starts[i] : starts[i + 1]]`."""
    holders: NDArray[np.int32]

    @classmethod
    def of(cls, grams: NDArray[np.uint64], holders: NDArray[np.int32]) -> GramTable:
        """From pairs of gram and holder, each pair once."""
        import numpy as np

        order = np.argsort(grams, kind="stable")
        keys, starts = np.unique(grams[order], return_index=True)
        bits = np.zeros(max(1, 1 << (len(keys) * _BITS_PER_GRAM // 64).bit_length()), dtype=np.uint64)
        _kernel().set_bits(keys, bits)
        return cls(keys, bits, np.append(starts, len(grams)).astype(np.int64), holders[order])

    def knows_any(self, tokens: Tokens, ngram: int, *, alike: bool = False) -> bool:
        """Whether any run of `ngram` tokens is known, with all numbers `alike` or not."""
        known = _kernel().knows_any(tokens.hashes, tokens.numeric, ngram, alike, self.bits, self.keys)
        return bool(known)

    def known(self, grams: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Places in `grams` of those that are known, and their positions in `keys`."""
        import numpy as np

        places = np.empty(len(grams), dtype=np.int64)
        found = np.empty(len(grams), dtype=np.int64)
        count = _kernel().known_grams(grams, self.bits, self.keys, places, found)
        return places[:count], found[:count]

    def holders_of(self, found: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """All holders of the keys `found`, and for each the index in `found` it comes from."""
        import numpy as np

        sizes = self.starts[found + 1] - self.starts[found]
        origin = np.repeat(np.arange(len(found)), sizes)
        before = np.repeat(np.cumsum(sizes) - sizes, sizes)
        return self.holders[np.arange(len(origin)) - before + self.starts[found][origin]], origin


@lru_cache(maxsize=1)
def _classes() -> NDArray[np.uint8]:
    """`[0x110000] uint8`: the class of every character, as the compiled half counts them."""
    import numpy as np

    kernel = _kernel()
    classes = character_classes().copy()
    dropped = [ord(character) for character in dropped_characters() if not UNSPACED_CHARACTER.match(character)]
    classes[np.array(dropped)] = kernel.DROPPED
    classes[ord("0") : ord("9") + 1] = kernel.DIGIT
    classes[ord(_BREAK)] = kernel.BREAK
    return classes


@lru_cache(maxsize=1)
def _step() -> int:
    return int(_kernel().STEP)


@lru_cache(maxsize=1)
def _kernel() -> ModuleType:
    from workbench.text import gram_kernel  # numba: 0.3 s

    return gram_kernel
