from __future__ import annotations

import os
import random
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from awkward_texts import AWKWARD_TEXTS, made_up_texts, variations
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.text import near_duplicates
from workbench.text.near_duplicates import NearDuplicateSearch, NearDuplicatesFound
from workbench.text.shingles import jaccard, shingles
from workbench.text.sketch import SketchSettings, sketch

SETTINGS = SketchSettings(threshold=0.7, ngram=3, num_perm=128)


def search_over(texts: list[str], batch: int = 1000, groups: list[int] | None = None, **options) -> NearDuplicateSearch:
    search = NearDuplicateSearch(SETTINGS, **options)
    for start in range(0, len(texts), batch):
        some = np.array(groups[start : start + batch], dtype=np.uint64) if groups else None
        search.add(sketch(texts[start : start + batch], SETTINGS), some)
    return search


def exact_components(texts: list[str], threshold: float = SETTINGS.threshold) -> list[int]:
    """Smallest row of each row's component of the graph of all pairs at or above the threshold."""
    sets = [shingles(text, SETTINGS.ngram) for text in texts]
    labels = list(range(len(texts)))
    for left, right in combinations(range(len(texts)), 2):
        if jaccard(sets[left], sets[right]) >= threshold and labels[left] != labels[right]:
            low, high = sorted((labels[left], labels[right]))
            labels = [low if label == high else label for label in labels]
    return labels


def same(one: NearDuplicatesFound, other: NearDuplicatesFound) -> None:
    for column in ("left", "right", "jaccard", "labels"):
        np.testing.assert_array_equal(getattr(one, column), getattr(other, column))
    assert (one.checked, one.capped, one.without_shingles) == (other.checked, other.capped, other.without_shingles)


def test_components_are_those_of_an_exact_search_over_all_pairs() -> None:
    texts = variations(seed=5, originals=50)
    found = search_over(texts).find()
    expected = exact_components(texts)
    clustered = sum(label != row for row, label in enumerate(expected))
    assert clustered > 100
    missed = sum(mine != true for mine, true in zip(found.labels.tolist(), expected, strict=True))
    assert missed <= 0.01 * clustered, "25 bands of 5 miss one pair in a hundred at the threshold"


def test_every_edge_is_a_pair_of_the_similarity_it_says_and_the_edges_are_no_more_than_needed() -> None:
    texts = variations(seed=6)
    found = search_over(texts).find()
    sets = [shingles(text, SETTINGS.ngram) for text in texts]
    for left, right, similarity in zip(found.left, found.right, found.jaccard, strict=True):
        assert similarity == jaccard(sets[left], sets[right]) >= SETTINGS.threshold
        assert left < right
    clusters = len(set(found.labels.tolist()))
    assert len(found.left) == len(texts) - clusters
    joined = {row: row for row in range(len(texts))}
    for left, right in zip(found.left.tolist(), found.right.tolist(), strict=True):
        low, high = sorted((joined[left], joined[right]))
        joined = {row: low if label == high else label for row, label in joined.items()}
    assert [joined[row] for row in range(len(texts))] == found.labels.tolist()


def test_a_pair_just_below_the_threshold_is_not_believed() -> None:
    words = [f"w{number}" for number in range(40)]
    shorter = " ".join(words)
    # 38 shingles against 38 + n: similarity 38 / (38 + n)
    at, below = (" ".join(words + [f"x{number}" for number in range(more)]) for more in (16, 17))
    assert jaccard(shingles(shorter, 3), shingles(at, 3)) == pytest.approx(38 / 54)
    assert jaccard(shingles(shorter, 3), shingles(below, 3)) < 0.7
    assert search_over([shorter, at]).find().labels.tolist() == [0, 0]
    assert search_over([shorter, below]).find().labels.tolist() == [0, 1]


def test_a_chain_is_one_cluster_though_its_ends_are_not_similar() -> None:
    words = [f"w{number}" for number in range(60)]
    texts = [" ".join(words[start : start + 40]) for start in (0, 5, 10, 15, 20)]
    found = search_over(texts).find()
    assert found.labels.tolist() == [0] * 5
    assert jaccard(shingles(texts[0], 3), shingles(texts[4], 3)) < 0.5
    assert (found.jaccard >= 0.7).all()


@given(st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=15)
def test_the_order_of_the_rows_decides_nothing(rng: random.Random) -> None:
    texts = variations(seed=7, originals=8)
    order = list(range(len(texts)))
    rng.shuffle(order)
    straight = search_over(texts).find()
    shuffled = search_over([texts[row] for row in order]).find(rank=np.array(order))
    back = np.array(order)
    np.testing.assert_array_equal(back[shuffled.left], straight.left)
    np.testing.assert_array_equal(back[shuffled.right], straight.right)
    np.testing.assert_array_equal(shuffled.jaccard, straight.jaccard)
    assert shuffled.checked == straight.checked
    clusters = {frozenset(back[shuffled.labels == label].tolist()) for label in set(shuffled.labels.tolist())}
    assert clusters == {frozenset(np.flatnonzero(straight.labels == label).tolist()) for label in set(straight.labels)}
    assert all(label == np.flatnonzero(shuffled.labels == label).min() for label in shuffled.labels)


def test_in_files_the_search_finds_exactly_what_it_finds_in_memory(tmp_path) -> None:
    texts = variations(seed=8) + AWKWARD_TEXTS + made_up_texts(500)
    in_memory = search_over(texts, batch=100)
    in_files = search_over(texts, batch=100, scratch=tmp_path, spill_above=250)
    same(in_files.find(), in_memory.find())
    left, right = np.array([0, 3, 5]), np.array([1, 500, 2])
    np.testing.assert_array_equal(in_files.jaccard(left, right), in_memory.jaccard(left, right))
    assert list(tmp_path.iterdir()) == [], "files have no names, so nothing is left behind whatever happens"


def test_portions_of_any_size_give_the_same(monkeypatch) -> None:
    texts = variations(seed=9)
    whole = search_over(texts).find()
    monkeypatch.setattr("workbench.text.row_store._SHINGLES_AT_ONCE", 200)
    same(search_over(texts, spill_above=10).find(), whole)


def test_rows_can_be_added_between_searches() -> None:
    texts = variations(seed=10)
    search = search_over(texts[:100])
    search.find()
    search.add(sketch(texts[100:], SETTINGS))
    same(search.find(), search_over(texts).find())


def test_rows_of_different_groups_are_never_connected() -> None:
    texts = ["one and the same text about nothing"] * 4
    found = search_over(texts, groups=[7, 2**63 + 5, 7, 2**63 + 5]).find()
    assert found.labels.tolist() == [0, 1, 0, 1]


def test_rows_left_out_are_alone_and_connect_nobody() -> None:
    words = [f"w{number}" for number in range(50)]
    texts = [" ".join(words[start : start + 40]) for start in (0, 5, 10)]  # 0 ~ 1 ~ 2, but not 0 ~ 2
    search = search_over(texts)
    assert search.find().labels.tolist() == [0, 0, 0]
    without = search.find(include=np.array([True, False, True]))
    assert without.labels.tolist() == [0, 1, 2]


def test_texts_without_words_are_nobodys_near_duplicates_and_are_counted() -> None:
    found = search_over(["", "...", "?!", "some words here", "some words here"]).find()
    assert found.labels.tolist() == [0, 1, 2, 3, 3]
    assert found.without_shingles == 3
    assert search_over(["", "...", "a b"]).find(include=np.array([True, False, True])).without_shingles == 1


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_to_compare_gives_nothing(count: int) -> None:
    found = search_over(["a lonely text"] * count).find()
    assert found.labels.tolist() == list(range(count))
    assert len(found.left) == found.checked == 0


def test_true_similarity_of_any_rows() -> None:
    texts = ["", "a b c d e", "a b c d x", "z z z", "a b c d e"]
    left, right = np.array([0, 1, 1, 1, 0]), np.array([0, 2, 3, 4, 1])
    expected = [jaccard(shingles(texts[a], 3), shingles(texts[b], 3)) for a, b in zip(left, right, strict=True)]
    assert search_over(texts).jaccard(left, right).tolist() == expected == [0.0, 0.5, 0.0, 1.0, 0.0]


def crowd(size: int) -> list[str]:
    """Texts of one template, similarity about 0.6, some of which come as a pair: many share bands, few are similar."""
    rng = random.Random(1)
    template = [f"t{number}" for number in range(60)]
    texts = []
    for number in range(size):
        own = [f"n{number}x{part}" for part in range(16)]
        texts += [" ".join(template + own), " ".join([*template, *own[:-1], "last"])]
    rng.shuffle(texts)
    return texts


def test_in_a_crowd_similar_pairs_are_found_and_dissimilar_ones_not_compared_twice() -> None:
    texts = crowd(60)
    found = search_over(texts).find()
    assert found.labels.tolist() == exact_components(texts)
    assert found.capped == 0
    assert found.checked <= len(texts) * (len(texts) - 1) / 2


def test_a_cap_bounds_the_comparisons_and_is_counted(monkeypatch) -> None:
    texts = crowd(60)
    monkeypatch.setattr(near_duplicates, "BUCKET_COMPARISONS", 0)
    monkeypatch.setattr(near_duplicates, "LEAST_COMPARISONS", 3)
    found = search_over(texts).find()
    assert 0 < found.capped <= len(texts)
    assert found.checked <= 3 * SETTINGS.bands * len(texts)
    assert (found.jaccard >= SETTINGS.threshold).all()


def test_copies_in_a_crowd_cost_one_comparison_each_under_any_cap(monkeypatch) -> None:
    monkeypatch.setattr(near_duplicates, "BUCKET_COMPARISONS", 0)
    monkeypatch.setattr(near_duplicates, "LEAST_COMPARISONS", 1)
    found = search_over(["the same few words once more"] * 500).find()
    assert found.labels.tolist() == [0] * 500
    assert (found.checked, found.capped) == (499, 0)


def test_a_bucket_too_large_for_one_piece_still_becomes_one_cluster(monkeypatch) -> None:
    monkeypatch.setattr(near_duplicates, "_BUCKET_PIECE", 20)
    monkeypatch.setattr(near_duplicates, "_LEADERS", 5)
    found = search_over(["the same few words once more"] * 200 + ["something else altogether"]).find()
    assert found.labels.tolist() == [0] * 200 + [200]


def test_progress_is_told_band_by_band_and_a_cancelled_search_finds_nothing() -> None:
    search = search_over(variations(seed=11, originals=5))
    told: list[tuple[int, int]] = []
    assert search.find(on_progress=lambda done, total: told.append((done, total))) is not None
    assert told == [(band + 1, SETTINGS.bands) for band in range(SETTINGS.bands)]
    assert search.find(cancelled=lambda: True) is None


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sets(st.integers(0, 2**64 - 1), max_size=400), min_size=2, max_size=2))
def test_bits_of_one_mark_alone_are_no_more_than_the_ids_of_that_row_alone(rows: list[set[int]]) -> None:
    from workbench.text.buckets import _only_in_one, marks

    one, other = rows
    ids = np.array([*sorted(one), *sorted(other)], dtype=np.uint64)
    marked = marks(ids, np.array([0, len(one), len(one) + len(other)]))
    of_one, of_other = _only_in_one(marked, 0, 1)
    first, second = ({number >> 56 for number in row} for row in rows)
    assert (of_one, of_other) == (len(first - second), len(second - first))
    assert of_one <= len(one - other) and of_other <= len(other - one)


def test_without_numba_the_search_finds_the_same() -> None:
    code = (
        "import sys, test_near_duplicates as t, hashlib\n"
        "from workbench.text.compiling import numba_is_used\n"
        "found = t.search_over(t.variations(seed=12, originals=15) + t.AWKWARD_TEXTS + t.crowd(10)).find()\n"
        "print(numba_is_used(), 'numba' in sys.modules, found.checked, found.capped, found.left.tolist(),"
        " found.right.tolist(), found.jaccard.tolist(), found.labels.tolist())"
    )
    here = str(Path(__file__).parent)

    def run(**switch: str) -> str:
        environment = os.environ | {"PYTHONPATH": here} | switch
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
        return done.stdout

    compiled, plain = run(WORKBENCH_NO_NUMBA="0"), run(WORKBENCH_NO_NUMBA="1")
    assert compiled.startswith("True True ") and plain.startswith("False False ")
    assert compiled.removeprefix("True True ") == plain.removeprefix("False False ")
