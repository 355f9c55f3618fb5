"""Duplicate clusters: records that say the same, so that none of them is tested on while another is trained on.

    cluster_texts(["Close the file.", "close  the file.", "Open a socket."])   ->  [[0, 1], [2]]

Texts are tied when equal after normalising, or when the Jaccard similarity of their word 5-grams reaches 0.7. Candidate
pairs come from MinHash with banding made for 0.5, which finds a pair at 0.7 with probability above 0.999; every pair is
verified exactly.
"""

from __future__ import annotations

from collections.abc import Sequence

from workbench.text.normalise import WORD, normalised
from workbench.text.shingles import jaccard, shingles
from workbench.text.union_find import UnionFind

NEAR_DUPLICATE = 0.7
"""Jaccard similarity from which two texts are in one cluster."""
_CANDIDATES_FROM = 0.5
_NGRAM = 5
_NUM_PERM = 128


def cluster_texts(texts: Sequence[str]) -> list[list[int]]:
    """Positions of `texts` in clusters, every position once; independent of the order of the texts."""
    sets = UnionFind(len(texts))
    join_texts(sets, texts)
    return sets.clusters()


def join_texts(sets: UnionFind, texts: Sequence[str]) -> None:
    """Joins in `sets` the positions of equal and of nearly equal texts."""
    first: dict[str, int] = {}
    for position, text in enumerate(texts):
        sets.join(first.setdefault(normalised(text), position), position)
    distinct = [position for position in first.values() if WORD.search(texts[position])]
    _join_near(sets, texts, distinct)


def join_equal(sets: UnionFind, keys: Sequence[str | None]) -> None:
    """Joins in `sets` the positions with the same key; None ties nothing."""
    first: dict[str, int] = {}
    for position, key in enumerate(keys):
        if key is not None:
            sets.join(first.setdefault(key, position), position)


def _join_near(sets: UnionFind, texts: Sequence[str], distinct: list[int]) -> None:
    if len(distinct) < 2:
        return
    from workbench.text.minhash import bands_and_rows, candidate_pairs, signatures  # numpy and datasketch: 0.5 s

    bands, rows = bands_and_rows(_CANDIDATES_FROM, _NUM_PERM)
    signed = signatures((texts[position] for position in distinct), _NGRAM, _NUM_PERM)
    cached: dict[int, set[str]] = {}
    for left, right in candidate_pairs(signed, bands, rows).pairs.tolist():
        first, second = distinct[left], distinct[right]
        if sets.connected(first, second):
            continue
        for position in (first, second):
            if position not in cached:
                cached[position] = shingles(texts[position], _NGRAM)
        if jaccard(cached[first], cached[second]) >= NEAR_DUPLICATE:
            sets.join(first, second)
