from __future__ import annotations

import random

import numpy as np
import pytest

from workbench.ingest.clusters import Ties, cluster_texts


def page(seed: int) -> list[str]:
    return random.Random(seed).choices([f"word{number}" for number in range(300)], k=50)


def ties_of(texts: list[str], *keys: list[str | None], batch: int = 3) -> Ties:
    ties = Ties()
    for start in range(0, len(texts), batch):
        ties.add(texts[start : start + batch], *(column[start : start + batch] for column in keys))
    return ties


def test_rows_are_tied_by_equal_text_by_similar_text_and_by_each_key() -> None:
    texts = [
        " ".join(page(1)), " ".join(page(2)), " ".join(page(1)).upper() + "  ", " ".join([*page(2)[:-2], "new", "end"]),
        "short", "other", "more", "rest",
    ]  # fmt: skip
    prompts = [None, None, None, None, "q", None, "q", None]
    sources = [None, None, None, None, None, "s", "s", None]
    assert ties_of(texts, prompts, sources).labels().tolist() == [0, 1, 0, 1, 4, 4, 4, 7]
    assert ties_of(texts, prompts, sources).clusters() == [[0, 2], [1, 3], [4, 5, 6], [7]]
    assert ties_of(texts).labels().tolist() == [0, 1, 0, 1, 4, 5, 6, 7]


def test_texts_without_words_are_tied_by_equality_alone() -> None:
    assert cluster_texts(iter(["...", "?!", "... ", "", " "])) == [[0, 2], [1], [3, 4]]


def test_a_key_ties_nothing_of_another_column() -> None:
    assert ties_of(["one", "two"], ["a", None], [None, "a"]).labels().tolist() == [0, 1]


@pytest.mark.parametrize("batch", [1, 7, 100])
def test_batches_and_order_make_no_difference(batch: int) -> None:
    texts = [" ".join([*page(seed % 20), f"tail{seed}"]) for seed in range(60)]
    order = np.random.default_rng(0).permutation(len(texts))
    straight = {frozenset(cluster) for cluster in cluster_texts(texts)}
    shuffled = ties_of([texts[row] for row in order], batch=batch).clusters()
    assert {frozenset(order[cluster].tolist()) for cluster in shuffled} == straight
    assert len(straight) == 20


def test_no_rows_are_no_clusters() -> None:
    assert cluster_texts([]) == []
    assert Ties().labels().tolist() == []
