"""The held-out split: whole clusters, chosen by hash.

    split(records, fraction=0.1, most=200, seed=0)
    ->  Split(train=[...], heldout=[HeldOut(record, cluster="9f3a..."), ...])

Records are tied when they are duplicates or near-duplicates, when they answer the same prompt (of five words or more),
or when they were cut from the same thing (`source.part_of`). What is tied stays together. Clusters are taken in the
order of a hash of their content and the seed: the order of the rows plays no part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from workbench.core.fingerprints import short_id
from workbench.core.records import Record
from workbench.ingest.clusters import join_equal, join_texts
from workbench.text.normalise import normalised, words
from workbench.text.union_find import UnionFind

_TELLING_PROMPT_WORDS = 5
"""Records that share a shorter prompt ("Continue.") are not tied by it."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """One record kept away from training."""

    record: Record
    cluster: str
    """Id of its cluster: that of the smallest record id in it."""


@dataclass(frozen=True, slots=True)
class Split:
    """Both sides, each in the order of the input."""

    train: list[Record]
    heldout: list[HeldOut]
    clusters: int
    """Clusters in all."""


def split(records: Sequence[Record], fraction: float, most: int, seed: int) -> Split:
    """Holds out about `fraction` of the records, at most `most`, in whole clusters; at least one record if possible.

    Clusters with a record that has no answer to test on, or one marked as bad, stay in training.
    """
    clusters = _clusters(records)
    wanted = min(most, max(1, round(fraction * len(records)))) if fraction > 0 else 0
    cluster_of: dict[int, str] = {}
    for name, members in sorted(clusters.items(), key=lambda item: short_id([seed, item[0]])):
        fits = len(cluster_of) + len(members) <= wanted and len(members) < len(records)
        if fits and all(_is_testable(records[position]) for position in members):
            cluster_of |= dict.fromkeys(members, name)
    return Split(
        train=[record for position, record in enumerate(records) if position not in cluster_of],
        heldout=[HeldOut(records[position], cluster_of[position]) for position in sorted(cluster_of)],
        clusters=len(clusters),
    )


def heldout_document(held: HeldOut) -> dict[str, Any]:
    """The row of heldout.jsonl: the text to predict, the prompt before it, group and cluster."""
    row = {"text": held.record.answer(), "group": _group(held.record), "cluster": held.cluster}
    return row if held.record.kind == "document" else row | {"prompt": held.record.prompt()}


def prompt_document(held: HeldOut) -> dict[str, Any]:
    """The row of prompts.jsonl: what to ask and the answer the data gives."""
    return {
        "prompt": held.record.prompt(),
        "reference": held.record.answer(),
        "group": _group(held.record),
        "cluster": held.cluster,
    }


def _clusters(records: Sequence[Record]) -> dict[str, list[int]]:
    """Positions of tied records under the smallest record id among them."""
    sets = UnionFind(len(records))
    join_texts(sets, [record.full_text() for record in records])
    join_equal(sets, [_telling_prompt(record) for record in records])
    join_equal(sets, [record.source.part_of for record in records])
    return {min(records[position].id for position in members): members for members in sets.clusters()}


def _telling_prompt(record: Record) -> str | None:
    prompt = record.prompt()
    return normalised(prompt) if len(words(prompt)) >= _TELLING_PROMPT_WORDS else None


def _is_testable(record: Record) -> bool:
    return bool(record.answer().strip()) and record.label is not False


def _group(record: Record) -> str:
    return record.topic or record.source.part_of or record.source.dataset
