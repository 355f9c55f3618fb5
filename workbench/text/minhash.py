"""MinHash as datasketch makes it: bands, permutations and signatures.

    plan(0.7, 128).bands, .rows                               # LSH banding for a Jaccard threshold
    signatures(texts, ngram=5, num_perm=128)                  # [n_texts, 128] uint32

Permutations and banding are datasketch's own; the signatures are computed here and equal its bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workbench.text.hashing import hashed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SCHEME = "affine32"
SEED = 1
HASH = "xxh32"
MISS_WEIGHT = 0.99
"""How much more a missed pair weighs than a false candidate: verification removes the false ones, nothing brings a
missed one back."""

_PIECE_TEXTS = 1024
_PIECE_CHARACTERS = 1 << 20


@dataclass(frozen=True, slots=True)
class Plan:
    """What datasketch says about a threshold and a number of permutations."""

    bands: int
    rows: int
    """Permutations per band."""
    permutations: NDArray[np.uint32]
    """`[2, num_perm]`: a, then b."""


_plans: dict[tuple[float, int], Plan] = {}


def plan(threshold: float, num_perm: int) -> Plan:
    """Bands, rows and permutations; asked of datasketch once per process.

    Where datasketch finds no split with two bands (thresholds near 1 with few permutations), two bands are used.
    """
    if (threshold, num_perm) not in _plans:
        import numpy as np
        from datasketch import MinHash, MinHashLSH  # 0.4 s and 40 MB: brings scipy.integrate

        try:
            index = MinHashLSH(threshold=threshold, num_perm=num_perm, weights=(1 - MISS_WEIGHT, MISS_WEIGHT))
            bands, rows = int(index.b), int(index.r)
        except ValueError:
            bands, rows = 2, num_perm // 2
        permutations = MinHash(num_perm=num_perm, seed=SEED, scheme=SCHEME).permutations
        _plans[threshold, num_perm] = Plan(bands, rows, np.ascontiguousarray(permutations, dtype=np.uint32))
    return _plans[threshold, num_perm]


def remember_plan(threshold: float, num_perm: int, known: Plan) -> None:
    """Spares this process datasketch: another one has asked."""
    _plans[threshold, num_perm] = known


def bands_and_rows(threshold: float, num_perm: int) -> tuple[int, int]:
    """Bands and rows per band for a Jaccard threshold, as `datasketch.MinHashLSH` optimises them."""
    chosen = plan(threshold, num_perm)
    return chosen.bands, chosen.rows


def signatures(texts: Iterable[str], ngram: int, num_perm: int) -> NDArray[np.uint32]:
    """Signature of each text's shingle set, `[n_texts, num_perm]` uint32; a text without shingles has all 0xFFFFFFFF.

    Equal to `datasketch.MinHash(num_perm, seed=1, scheme="affine32", hashfunc=xxhash.xxh32_intdigest)` updated with
    the UTF-8 bytes of every shingle.
    """
    import numpy as np

    permutations = plan(0.5, num_perm).permutations
    signed = [hashed(piece, ngram, permutations).signatures for piece in pieces(texts)]
    return np.concatenate(signed) if signed else np.empty((0, num_perm), dtype=np.uint32)


def pieces(texts: Iterable[str]) -> Iterator[Sequence[str]]:
    """`texts` in order, some at a time: about a million characters, at least one text."""
    waiting: list[str] = []
    characters = 0
    for text in texts:
        waiting.append(text)
        characters += len(text)
        if len(waiting) == _PIECE_TEXTS or characters >= _PIECE_CHARACTERS:
            yield waiting
            waiting, characters = [], 0
    if waiting:
        yield waiting
