"""MinHash signatures and the candidate pairs of LSH banding.

    signed = signatures(texts, ngram=5, num_perm=128)         # [n_texts, 128] uint32
    bands, rows = bands_and_rows(0.7, 128)                    # (18, 7)
    candidate_pairs(signed, bands, rows).pairs                # [n_pairs, 2]: rows that share at least one band

Candidates are candidates: about one pair in ten found at 0.7 is below the threshold, so whoever deletes something
verifies first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from workbench.text.shingles import shingles

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SCHEME = "affine32"
SEED = 1
HASH = "xxh32"
BUCKET_CAP = 64


@lru_cache(maxsize=64)
def bands_and_rows(threshold: float, num_perm: int) -> tuple[int, int]:
    """Bands and rows per band for a Jaccard threshold, as `datasketch.MinHashLSH` optimises them.

    Missing a pair weighs three times as much as a false candidate (seven times from 0.75 on): verification removes
    false candidates, nothing brings a missed pair back. Where no split with two bands is best, two bands are used.
    """
    from datasketch import MinHashLSH  # 0.4 s: brings scipy.integrate

    miss_weight = 0.75 if threshold < 0.75 else 0.875
    try:
        index = MinHashLSH(threshold=threshold, num_perm=num_perm, weights=(1 - miss_weight, miss_weight))
    except ValueError:
        return 2, num_perm // 2  # thresholds near 1 with few permutations: datasketch refuses a single band
    return int(index.b), int(index.r)


def signatures(texts: Iterable[str], ngram: int, num_perm: int) -> NDArray[np.uint32]:
    """Signature of each text's shingle set, `[n_texts, num_perm]` uint32; a text without shingles has all 0xFFFFFFFF.

    Equal to `datasketch.MinHash(num_perm, seed=1, scheme="affine32", hashfunc=xxhash.xxh32_intdigest)` updated with
    the UTF-8 bytes of every shingle.
    """
    import numpy as np
    import xxhash
    from datasketch import MinHash  # 0.4 s: brings scipy.integrate

    sketches = MinHash.generator(
        _shingle_bytes(texts, ngram), num_perm=num_perm, seed=SEED, scheme=SCHEME, hashfunc=xxhash.xxh32_intdigest
    )
    signed = [sketch.hashvalues for sketch in sketches]
    return np.stack(signed) if signed else np.empty((0, num_perm), dtype=np.uint32)


def _shingle_bytes(texts: Iterable[str], ngram: int) -> Iterator[list[bytes]]:
    for text in texts:
        yield [shingle.encode("utf-8", "surrogatepass") for shingle in shingles(text, ngram)]


@dataclass(frozen=True, slots=True)
class CandidatePairs:
    """Pairs of rows that agree in at least one band."""

    pairs: NDArray[np.int64]
    """`[n_pairs, 2]`, the smaller row first, sorted, no pair twice."""
    capped_rows: int
    """Times a row stood in a bucket behind more than `cap` others and was paired with the nearest `cap` alone."""


def candidate_pairs(signed: NDArray[np.uint32], bands: int, rows: int, cap: int = BUCKET_CAP) -> CandidatePairs:
    """All pairs of rows of `signed` that share a band; `MinHashLSH` with the same parameters finds the same.

    Rows without shingles must not be among them: they all look alike. Buckets are found by sorting, and a row is
    paired with at most `cap` rows before it in its bucket, so that a crowded bucket costs linear time.
    """
    import numpy as np

    encoded: list[NDArray[np.int64]] = []
    count = len(signed)
    capped = 0
    for band in range(bands):
        block = np.ascontiguousarray(signed[:, band * rows : (band + 1) * rows])
        _, bucket = np.unique(block.view(f"V{4 * rows}").ravel(), return_inverse=True)
        order = np.argsort(bucket, kind="stable")
        sorted_bucket = bucket[order]
        for distance in range(1, count):
            same = sorted_bucket[distance:] == sorted_bucket[:-distance]
            if not same.any():
                break
            if distance > cap:
                capped += int(same.sum())
                break
            encoded.append(order[:-distance][same] * count + order[distance:][same])
    keys = np.unique(np.concatenate(encoded)) if encoded else np.empty(0, dtype=np.int64)
    return CandidatePairs(np.stack(np.divmod(keys, count), axis=1) if count else keys.reshape(0, 2), capped)
