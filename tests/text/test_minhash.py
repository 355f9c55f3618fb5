from __future__ import annotations

import numpy as np
import pytest
import xxhash
from awkward_texts import AWKWARD_TEXTS, made_up_texts
from datasketch import LeanMinHash, MinHash, MinHashLSH
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.text import hashing
from workbench.text.minhash import bands_and_rows, pieces, plan, signatures
from workbench.text.shingles import shingles

WAYS = pytest.mark.parametrize("way", [hashing._hashed_compiled, hashing._hashed_plain], ids=["compiled", "plain"])


def encoded(text: str, ngram: int) -> list[bytes]:
    return [shingle.encode("utf-8", "surrogatepass") for shingle in shingles(text, ngram)]


def by_datasketch(texts: list[str], ngram: int, num_perm: int) -> np.ndarray:
    made = MinHash.generator(
        (encoded(text, ngram) for text in texts),
        num_perm=num_perm, seed=1, scheme="affine32", hashfunc=xxhash.xxh32_intdigest,
    )  # fmt: skip
    return np.stack([sketch.hashvalues for sketch in made])


@pytest.mark.parametrize("num_perm", [16, 128, 256])
def test_signatures_are_those_of_datasketch_on_thousands_of_texts(num_perm: int) -> None:
    texts = AWKWARD_TEXTS + made_up_texts(2000 if num_perm == 128 else 300)
    signed = signatures(iter(texts), ngram=5, num_perm=num_perm)
    assert signed.dtype == np.uint32
    np.testing.assert_array_equal(signed, by_datasketch(texts, 5, num_perm))


def test_without_numba_the_signatures_are_the_same_on_thousands_of_texts() -> None:
    texts = AWKWARD_TEXTS + made_up_texts(2000)
    found = hashing._hashed_plain(texts, 5, plan(0.7, 128).permutations)
    np.testing.assert_array_equal(found.signatures, by_datasketch(texts, 5, 128))


@WAYS
@given(st.lists(st.text(), min_size=1, max_size=6), st.integers(1, 7))
@settings(deadline=None, max_examples=150)
def test_any_text_is_hashed_as_by_datasketch_and_xxhash(way, texts: list[str], ngram: int) -> None:
    found = way(texts, ngram, plan(0.7, 32).permutations)
    np.testing.assert_array_equal(found.signatures, by_datasketch(texts, ngram, 32))
    for text, start, end in zip(texts, found.offsets[:-1], found.offsets[1:], strict=True):
        ids = sorted({xxhash.xxh64_intdigest(shingle) for shingle in encoded(text, ngram)})
        assert found.ids[start:end].tolist() == ids


def test_texts_around_lone_surrogates_are_hashed_alike_with_and_without_numba() -> None:
    texts = ["a\ud800b", "\udfff", "one \ud83d\ude42 two three four five six", "机\ud800器 学习"]
    permutations = plan(0.7, 128).permutations
    compiled, plain = (way(texts, 5, permutations) for way in (hashing._hashed_compiled, hashing._hashed_plain))
    np.testing.assert_array_equal(compiled.signatures, plain.signatures)
    np.testing.assert_array_equal(compiled.ids, plain.ids)
    assert compiled.offsets.tolist() == plain.offsets.tolist() == [0, 1, 1, 3, 4]


def test_a_text_that_repeats_one_shingle_a_hundred_thousand_times_has_few_ids() -> None:
    found = hashing._hashed_compiled(["na " * 100_000, "a b " * 50_000], 5, plan(0.7, 16).permutations)
    assert found.offsets.tolist() == [0, 1, 3]


def test_empty_texts_have_the_largest_signature_and_no_texts_none() -> None:
    assert (signatures(["", "...", "\n"], ngram=5, num_perm=32) == 0xFFFFFFFF).all()
    assert signatures([], ngram=5, num_perm=32).shape == (0, 32)


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.8, 0.9])
def test_bands_are_datasketchs_own_and_miss_hardly_any_pair_at_the_threshold(threshold: float) -> None:
    bands, rows = bands_and_rows(threshold, 128)
    index = MinHashLSH(threshold=threshold, num_perm=128, weights=(1 - 0.99, 0.99))
    assert (bands, rows) == (index.b, index.r)
    assert (1 - threshold**rows) ** bands < 0.02


@pytest.mark.parametrize("threshold", [0.05, 0.3, 0.9, 0.99, 0.999])
@pytest.mark.parametrize("num_perm", [16, 17, 64])
def test_every_threshold_has_bands_that_fit(threshold: float, num_perm: int) -> None:
    bands, rows = bands_and_rows(threshold, num_perm)
    assert bands >= 2 and rows >= 1 and bands * rows <= num_perm
    missed = (1 - threshold**rows) ** bands
    assert missed < 0.6, "a pair exactly at the threshold has a fair chance"


def test_signatures_are_accepted_by_datasketch_as_its_own() -> None:
    row = signatures(["the cat sat on the mat"], ngram=5, num_perm=64)[0]
    own = MinHash(num_perm=64, seed=1, scheme="affine32", hashfunc=xxhash.xxh32_intdigest)
    own.update_batch(encoded("the cat sat on the mat", 5))
    assert LeanMinHash(seed=1, hashvalues=row, scheme="affine32").jaccard(LeanMinHash(own)) == 1.0


@given(st.lists(st.text(max_size=20), max_size=50))
def test_pieces_are_the_texts_in_order(texts: list[str]) -> None:
    assert [text for piece in pieces(texts) for text in piece] == texts


def test_pieces_are_bounded_in_texts_and_characters() -> None:
    assert [len(piece) for piece in pieces([""] * 2500)] == [1024, 1024, 452]
    assert [len(piece) for piece in pieces(["x" * 600_000] * 4)] == [2, 2]
