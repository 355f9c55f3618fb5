from __future__ import annotations

import gzip
import json
import os
import random
from collections.abc import Callable, Iterable, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from record_makers import chat, document, preference
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from workbench.core.config import NearDuplicates
from workbench.core.records import Record
from workbench.curate.duplicates import near_clusters, quality
from workbench.text.normalise import words

SHARED_DATA = Path(os.environ.get("WORKBENCH_SHARED_DATA", Path(__file__).parents[2].parent / "shared" / "data"))


def brute_force(texts: Sequence[str], threshold: float, n: int = 5) -> dict[tuple[int, int], float]:
    """Every pair at or above the threshold with its Jaccard similarity, from the definition."""
    sets = []
    for text in texts:
        sequence = words(text)
        starts = range(max(len(sequence) - n + 1, 1 if sequence else 0))
        sets.append({tuple(sequence[start : start + n]) for start in starts})
    pairs = {
        (i, j): len(sets[i] & sets[j]) / max(len(sets[i] | sets[j]), 1) for i, j in combinations(range(len(sets)), 2)
    }
    return {pair: similarity for pair, similarity in pairs.items() if similarity >= threshold}


def components(pairs: Iterable[tuple[int, int]]) -> set[frozenset[int]]:
    """Sets of two rows or more that pairs connect, by scipy."""
    left, right = np.array(sorted(pairs)).T
    size = 1 + int(max(left.max(), right.max()))
    _, label = connected_components(coo_array((np.ones(len(left)), (left, right)), shape=(size, size)), directed=False)
    found = (frozenset(np.flatnonzero(label == one).tolist()) for one in set(label))
    return {component for component in found if len(component) > 1}


def edited_corpus(seed: int) -> list[Record]:
    """60 texts of 40 to 120 words, with 300 edited copies between nearly equal and quite different."""
    rng = random.Random(seed)
    vocabulary = [f"word{number}" for number in range(400)]
    originals = [rng.choices(vocabulary, k=rng.randint(40, 120)) for _ in range(60)]
    texts = [list(text) for text in originals]
    for _ in range(300):
        copy = list(rng.choice(originals))
        for _ in range(rng.choice([1, 1, 2, 3, 5, 8])):
            copy[rng.randrange(len(copy))] = rng.choice(vocabulary)
        texts.append(copy)
    rng.shuffle(texts)
    return [document(" ".join(text), row=row) for row, text in enumerate(texts)]


@pytest.mark.parametrize("threshold, least_recall", [(0.7, 0.98), (0.8, 0.96), (0.5, 0.98)])
def test_edges_are_true_and_clusters_nearly_complete_against_brute_force(threshold: float, least_recall: float) -> None:
    records = edited_corpus(seed=11)
    found = near_clusters(records, range(len(records)), NearDuplicates(threshold=threshold))
    truth = brute_force([record.answer() for record in records], threshold)
    assert len(truth) > 150
    for edge in found.edges:
        pair = (min(edge.left_row, edge.right_row), max(edge.left_row, edge.right_row))
        assert edge.jaccard == truth[pair]
        assert (edge.left, edge.right) == (records[edge.left_row].id, records[edge.right_row].id)
    true_components = components(truth)
    for cluster in found.clusters:
        assert any(component.issuperset(cluster) for component in true_components), "precision is 1 by construction"
    # A pair counts as found if its two rows ended in one cluster.
    cluster_of = {row: number for number, cluster in enumerate(found.clusters) for row in cluster}
    together = sum(i in cluster_of and cluster_of[i] == cluster_of.get(j) for i, j in truth)
    assert together / len(truth) >= least_recall


def test_clusters_are_held_together_by_their_edges() -> None:
    records = edited_corpus(seed=12)
    found = near_clusters(records, range(len(records)), NearDuplicates())
    assert components((edge.left_row, edge.right_row) for edge in found.edges) == set(map(frozenset, found.clusters))
    assert len(found.edges) == sum(len(cluster) - 1 for cluster in found.clusters) <= found.checked


def test_lsh_candidates_below_the_threshold_are_not_believed() -> None:
    records = edited_corpus(seed=13)
    found = near_clusters(records, range(len(records)), NearDuplicates(threshold=0.7))
    assert found.checked > len(found.edges), "the corpus has candidates that verification refuses"
    assert min(edge.jaccard for edge in found.edges) >= 0.7


def test_a_pair_exactly_at_the_threshold_is_a_near_duplicate() -> None:
    common = [f"w{number}" for number in range(14)]
    # 10 shared shingles, 5 + 5 others: Jaccard 10 / 20.
    left = document(" ".join([*common, *"abcde"]), row=0)
    right = document(" ".join([*common, *"vwxyz"]), row=1)
    found = near_clusters([left, right], [0, 1], NearDuplicates(threshold=0.5))
    assert [edge.jaccard for edge in found.edges] == [0.5]


def test_records_without_words_are_nobodys_near_duplicates(curate: Callable) -> None:
    result = curate([document("!!!"), document("???"), document("..."), document("a text")])
    assert len(result.records) == 4
    assert result.funnel.near_duplicate_settings["rows_without_shingles"] == 3


def test_of_near_duplicates_the_longest_stays_and_the_finding_shows_the_similarity(curate: Callable) -> None:
    page = " ".join(f"word{number}" for number in range(60))
    rows = [document(page, row=0), document(page + " and more", row=1), document(page + " x", row=2)]
    result = curate(rows)
    assert result.records == [rows[1]]
    similarity = brute_force([page, page + " and more"], 0)[0, 1]
    assert result.dropped[0].findings[0].detail == f"Jaccard {similarity:.3f} with row 1 ({rows[1].id}, data row 1)"
    assert result.funnel.largest_clusters == ((rows[1].id, 3),)


def test_a_row_that_fails_a_filter_is_not_kept_in_place_of_one_that_passes(curate: Callable) -> None:
    page = " ".join(f"word{number}" for number in range(60))
    clean, flagged, failing = page, page + " {{flag}} x", page + " and much more <|im_end|> inside"
    result = curate([document(clean), document(flagged), document(failing)])
    assert result.records == [document(clean)]
    assert result.reasons(2) == ["special_token_in_text", "near_duplicate"]


def test_equal_quality_is_decided_by_id_and_source() -> None:
    one, two = document("abc", row=1), document("abd", row=2)
    first, second = sorted([one, two], key=lambda record: record.id)
    assert quality(first, 0, 0) < quality(second, 0, 0)
    assert quality(second, 0, 0) < quality(first, 0, 1) < quality(second, 1, 0)
    assert quality(document("abc", row=1), 0, 0) < quality(document("abc", row=2), 0, 0)


def test_a_chain_is_one_cluster_and_says_that_its_ends_differ(curate: Callable) -> None:
    stream = [f"word{number:03}" for number in range(90)]
    rows = [document(" ".join(stream[start : start + 70 - start // 10]), row=start) for start in (0, 10, 20)]
    result = curate(rows, near_duplicates={"threshold": 0.7})
    truth = brute_force([row.answer() for row in rows], 0)
    assert truth[0, 1] >= 0.7 and truth[1, 2] >= 0.7 and truth[0, 2] < 0.7
    assert result.records == [rows[0]]
    assert "linked through rows in between" not in result.dropped[0].findings[0].detail
    assert f"Jaccard {truth[0, 2]:.3f}" in result.dropped[1].findings[0].detail
    assert "linked through rows in between" in result.dropped[1].findings[0].detail


def test_exact_copies_count_in_their_near_duplicate_cluster(curate: Callable) -> None:
    page = " ".join(f"word{number}" for number in range(60))
    texts = [page, page.upper(), page + " and more", "x y", "X  y"]
    result = curate([document(text) for text in texts])
    sizes = [size for _, size in result.funnel.largest_clusters]
    assert sizes == [3, 2]
    assert len(result.records) == 2


def test_the_compared_part_can_be_chosen(curate: Callable) -> None:
    question = "Please explain in a few words what the following thing is and does"
    answer = "It is a thing that does what things of this kind usually do all day"
    rows = [
        chat(question, "One answer of quite another kind, in its own words entirely"),
        chat(question, answer),
        chat("Something else is asked here with other words than before", answer),
    ]
    kept = {part: len(curate(rows, near_duplicates={"compare": part}).records) for part in ("all", "prompt", "answer")}
    assert kept == {"all": 3, "prompt": 2, "answer": 2}


def test_preferences_are_compared_with_both_endings(curate: Callable) -> None:
    better = " ".join(f"good{number}" for number in range(30))
    worse = [" ".join(f"bad{number}{kind}" for number in range(30)) for kind in "ab"]
    assert len(curate([preference("Q?", better, text) for text in worse]).records) == 2
    assert len(curate([preference("Q?", better, worse[0] + tail) for tail in ("", " x")]).records) == 1


def test_settings_that_decide_what_is_found_stand_in_the_funnel(curate: Callable) -> None:
    settings = curate([document("a text")]).funnel.near_duplicate_settings
    assert (settings["bands"], settings["rows_per_band"], settings["seed"]) == (18, 7, 1)
    assert (settings["scheme"], settings["hash"]) == ("affine32", "xxh32")


def test_real_documents_against_brute_force() -> None:
    path = SHARED_DATA / "dedup" / "real_50k.jsonl.gz"
    if not path.is_file():
        pytest.skip(f"no real documents at {path}")
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        texts = [json.loads(next(stream))["text"] for _ in range(500)]
    records = [document(text, row=row) for row, text in enumerate(texts)]
    found = near_clusters(records, range(len(records)), NearDuplicates(threshold=0.7))
    truth = components(brute_force(texts, 0.7))
    assert truth
    removable = sum(len(component) - 1 for component in truth)
    removed = sum(len(cluster) - 1 for cluster in found.clusters)
    assert all(any(component.issuperset(cluster) for component in truth) for cluster in found.clusters)
    assert removed >= 0.95 * removable
