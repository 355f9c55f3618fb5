"""Duplicates: the same text again, and nearly the same text.

    rows 0 "Capital of Peru?" -> "Lima"    1 "capital of  peru?" -> "Lima"      exact: one text after normalising
    rows 2 a page                          3 the page with one word changed    near: true Jaccard 0.93

Of each cluster one row stays: one that passed every other test, with the fewest flags; then the longest; then the one
with the smallest id. The order of the input decides nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from workbench.core.config import NearDuplicates
from workbench.core.fingerprints import short_id
from workbench.core.records import Edge, Message, Record
from workbench.text.contamination import compared_text
from workbench.text.minhash import HASH, SCHEME, SEED, bands_and_rows, candidate_pairs, signatures
from workbench.text.normalise import WORD, normalised
from workbench.text.shingles import jaccard, shingles
from workbench.text.union_find import UnionFind

_CACHED_SHINGLE_SETS = 4096

Quality = tuple[int, int, int, str, str]
"""Sorts the best row of a cluster first: failed a test or not, flags, minus characters, id, source."""


def quality(record: Record, drops: int, flags: int) -> Quality:
    """How much a row deserves to be the one that stays of its duplicates; the smallest value wins."""
    return (int(drops > 0), flags, -len(compared_text(record)), record.id, record.source.model_dump_json())


def exact_clusters(records: Sequence[Record]) -> list[list[int]]:
    """Rows with equal normalised text, roles, tool calls and label together: ascending, singles included."""
    clusters: dict[str, list[int]] = {}
    for row, record in enumerate(records):
        clusters.setdefault(_exact_key(record), []).append(row)
    return list(clusters.values())


def _exact_key(record: Record) -> str:
    turns = [_turn_key(turn) for turn in record.messages]
    endings = [_turn_key(ending) if ending else None for ending in (record.chosen, record.rejected)]
    text = None if record.text is None else normalised(record.text)
    return short_id([record.kind, record.label, record.tools, turns, endings, text])


def _turn_key(turn: Message) -> list[object]:
    return [turn.role, normalised(turn.content), [[call.name, call.arguments] for call in turn.tool_calls]]


@dataclass(frozen=True, slots=True)
class NearClusters:
    """The near-duplicates among some rows."""

    edges: list[Edge]
    """Verified pairs, enough of them to hold each cluster together: pairs already connected are not compared."""
    clusters: list[list[int]]
    """Rows connected by edges, two or more each."""
    checked: int
    """Candidate pairs whose shingle sets were compared."""
    capped_rows: int
    """Rows that stood in a crowded bucket and were compared with their nearest neighbours there alone."""
    without_shingles: int
    """Rows with no words to compare; they are nobody's near-duplicate."""


def near_clusters(records: Sequence[Record], rows: Sequence[int], settings: NearDuplicates) -> NearClusters:
    """Near-duplicates among `rows` of `records`: MinHash LSH candidates, verified by the true Jaccard similarity.

    Only records of one kind and label are compared: a document and a question about it, or a good and a bad answer, are
    not copies of each other. Rows are taken in the order of their ids, so the order of the input decides nothing.
    """
    groups: dict[tuple[str, bool | None], list[int]] = {}
    for row in sorted(rows, key=lambda row: (records[row].id, records[row].source.model_dump_json())):
        groups.setdefault((records[row].kind, records[row].label), []).append(row)
    found = [_within_group(records, group, settings) for group in groups.values()]
    return NearClusters(
        edges=[edge for part in found for edge in part.edges],
        clusters=[cluster for part in found for cluster in part.clusters],
        checked=sum(part.checked for part in found),
        capped_rows=sum(part.capped_rows for part in found),
        without_shingles=sum(part.without_shingles for part in found),
    )


def _within_group(records: Sequence[Record], group: Sequence[int], settings: NearDuplicates) -> NearClusters:
    texts = {row: part_of(records[row], settings.compare) for row in group}
    comparable = [row for row in group if WORD.search(texts[row])]
    signed = signatures((texts[row] for row in comparable), settings.ngram, settings.num_perm)
    bands, band_rows = bands_and_rows(settings.threshold, settings.num_perm)
    candidates = candidate_pairs(signed, bands, band_rows)

    @lru_cache(maxsize=_CACHED_SHINGLE_SETS)
    def shingle_set(position: int) -> set[str]:
        return shingles(texts[comparable[position]], settings.ngram)

    sets = UnionFind(len(comparable))
    edges: list[Edge] = []
    checked = 0
    for left, right in candidates.pairs.tolist():
        if sets.connected(left, right):
            continue
        checked += 1
        similarity = jaccard(shingle_set(left), shingle_set(right))
        if similarity >= settings.threshold:
            sets.join(left, right)
            edges.append(_edge(records, comparable[left], comparable[right], similarity))
    clusters = [[comparable[position] for position in cluster] for cluster in sets.clusters() if len(cluster) > 1]
    return NearClusters(edges, clusters, checked, candidates.capped_rows, len(group) - len(comparable))


def _edge(records: Sequence[Record], left: int, right: int, similarity: float) -> Edge:
    return Edge(
        left=records[left].id, right=records[right].id, left_row=left, right_row=right, jaccard=similarity
    )


def part_of(record: Record, compare: Literal["all", "prompt", "answer"]) -> str:
    """The text by which records are compared; a preference's answer is both of its endings."""
    if compare == "prompt":
        return record.prompt()
    if compare == "answer":
        rejected = record.rejected.content if record.rejected else ""
        return f"{record.answer()}\n{rejected}"
    return compared_text(record)


def settings_used(settings: NearDuplicates) -> dict[str, float | int | str]:
    """Everything that decides which pairs are found, for the funnel."""
    bands, band_rows = bands_and_rows(settings.threshold, settings.num_perm)
    return {
        "threshold": settings.threshold,
        "ngram": settings.ngram,
        "compare": settings.compare,
        "num_perm": settings.num_perm,
        "bands": bands,
        "rows_per_band": band_rows,
        "scheme": SCHEME,
        "hash": HASH,
        "seed": SEED,
    }


def similarity(left: Record, right: Record, settings: NearDuplicates) -> float:
    """True Jaccard similarity of two records' shingle sets."""
    first, second = (shingles(part_of(record, settings.compare), settings.ngram) for record in (left, right))
    return jaccard(first, second)
