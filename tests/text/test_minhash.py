from __future__ import annotations

import random
from itertools import combinations

import numpy as np
import pytest
import xxhash
from datasketch import LeanMinHash, MinHash, MinHashLSH

from workbench.text.minhash import bands_and_rows, candidate_pairs, signatures
from workbench.text.shingles import shingles

AWKWARD_TEXTS = [
    "",
    "...",
    "one",
    "two words",
    "İstanbul ΟΔΟΣ Straße ﬁne",
    "机器学习是一门学科 and some English",
    "smile 🙂 again and again and again and again",
    "plain words in a row that go on for a while " * 5,
]


def variations(seed: int, originals: int = 40) -> list[str]:
    """Texts of 60 words, each with copies in which 0, 1, 2, 4, 8 or 16 words are replaced."""
    rng = random.Random(seed)
    vocabulary = [f"w{number}" for number in range(500)]
    texts = []
    for _ in range(originals):
        original = rng.choices(vocabulary, k=60)
        for changes in (0, 1, 2, 4, 8, 16):
            copy = list(original)
            for position in rng.sample(range(60), changes):
                copy[position] = rng.choice(vocabulary)
            texts.append(" ".join(copy))
    return texts


@pytest.mark.parametrize("num_perm", [16, 128])
def test_signatures_are_those_of_datasketch(num_perm: int) -> None:
    signed = signatures(AWKWARD_TEXTS, ngram=5, num_perm=num_perm)
    assert signed.shape == (len(AWKWARD_TEXTS), num_perm)
    assert signed.dtype == np.uint32
    for text, row in zip(AWKWARD_TEXTS, signed, strict=True):
        reference = MinHash(num_perm=num_perm, seed=1, scheme="affine32", hashfunc=xxhash.xxh32_intdigest)
        for shingle in shingles(text, 5):
            reference.update(shingle.encode())
        assert row.tolist() == reference.hashvalues.tolist()


def test_no_texts_give_no_signatures_and_no_pairs() -> None:
    signed = signatures([], ngram=5, num_perm=32)
    assert signed.shape == (0, 32)
    assert candidate_pairs(signed, 4, 8).pairs.shape == (0, 2)


@pytest.mark.parametrize("bands, rows", [(18, 7), (14, 9), (32, 1)])
def test_candidates_are_those_of_datasketch_lsh(bands: int, rows: int) -> None:
    signed = signatures(variations(seed=3), ngram=5, num_perm=128)
    index = MinHashLSH(num_perm=128, params=(bands, rows))
    expected = set()
    for position, row in enumerate(signed):
        sketch = LeanMinHash(seed=1, hashvalues=row, scheme="affine32")
        expected |= {(earlier, position) for earlier in index.query(sketch)}
        index.insert(position, sketch)
    found = candidate_pairs(signed, bands, rows, cap=len(signed))
    assert len(expected) > 50
    assert set(map(tuple, found.pairs.tolist())) == expected
    assert found.capped_rows == 0


def test_a_crowded_bucket_is_capped_and_the_cap_is_counted() -> None:
    signed = signatures(["the same few words once more"] * 10, ngram=5, num_perm=32)
    everything = candidate_pairs(signed, 4, 8, cap=9)
    assert set(map(tuple, everything.pairs.tolist())) == set(combinations(range(10), 2))
    assert everything.capped_rows == 0
    capped = candidate_pairs(signed, 4, 8, cap=2)
    assert set(map(tuple, capped.pairs.tolist())) == {(i, j) for i, j in combinations(range(10), 2) if j - i <= 2}
    assert capped.capped_rows == 4 * 7  # in each of 4 bands, 7 of 10 rows have more than 2 before them


def test_bands_lean_towards_recall() -> None:
    assert bands_and_rows(0.7, 128) == (18, 7)
    assert bands_and_rows(0.8, 128) == (14, 9)


@pytest.mark.parametrize("threshold", [0.05, 0.3, 0.9, 0.99, 0.999])
@pytest.mark.parametrize("num_perm", [16, 17, 64])
def test_every_threshold_has_bands_that_fit(threshold: float, num_perm: int) -> None:
    bands, rows = bands_and_rows(threshold, num_perm)
    assert bands >= 2 and rows >= 1 and bands * rows <= num_perm
    missed = (1 - threshold**rows) ** bands
    assert missed < 0.6, "a pair exactly at the threshold has a fair chance"
