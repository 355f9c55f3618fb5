"""The held-out split: whole clusters, chosen by hash, from a few numbers per record.

    chooser = Chooser(scratch)
    for record in records: chooser.add(record)
    chooser.choose(fraction=0.1, most=200, seed=0)   ->  Chosen(cluster_of={3: "9f3a...", 17: "b20c..."}, clusters=940)

Records are tied when they are duplicates or near-duplicates, when they answer the same prompt (of five words or more),
or when they were cut from the same thing (`source.part_of`). What is tied stays together. Clusters are taken in the
order of a hash of their content and the seed: the order of the rows plays no part.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.core.fingerprints import short_id
from workbench.core.records import Record
from workbench.ingest.clusters import Ties
from workbench.text.normalise import normalised, words

_TELLING_PROMPT_WORDS = 5
"""Records that share a shorter prompt ("Continue.") are not tied by it."""
_RECORDS_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which records are held out."""

    cluster_of: dict[int, str]
    """Position of each held-out record, ascending, to the name of its cluster: the smallest record id in it."""
    clusters: int
    """Clusters in all."""


class Chooser:
    """Takes the records one by one, then chooses."""

    def __init__(self, scratch: Path | None = None) -> None:
        self._ties = Ties(scratch)
        self._ids = array("Q")
        self._testable = bytearray()
        self._waiting: list[Record] = []

    def add(self, record: Record) -> None:
        """Takes one more record."""
        self._ids.append(int(record.id, 16))
        self._testable.append(bool(record.answer().strip()) and record.label is not False)
        self._waiting.append(record)
        if len(self._waiting) == _RECORDS_AT_ONCE:
            self._tie()

    def choose(self, fraction: float, most: int, seed: int) -> Chosen:
        """About `fraction` of the records, at most `most`, in whole clusters; at least one record if possible.

        Clusters with a record that has no answer to test on, or one marked as bad, stay in training.
        """
        import numpy as np

        self._tie()
        labels = self._ties.labels()
        rows = np.argsort(labels, kind="stable")
        starts = np.concatenate(([0], np.flatnonzero(np.diff(labels[rows])) + 1))
        sizes = np.diff(np.append(starts, len(rows)))
        names = np.minimum.reduceat(np.array(self._ids, dtype=np.uint64)[rows], starts)
        testable = np.minimum.reduceat(np.frombuffer(self._testable, dtype=np.uint8)[rows], starts)
        order = np.argsort(np.fromiter((_place(seed, int(name)) for name in names), np.uint64, len(names)))
        wanted = min(most, max(1, round(fraction * len(rows))))
        cluster_of: dict[int, str] = {}
        for cluster in order[(testable[order] > 0) & (sizes[order] < len(rows))]:
            if len(cluster_of) + sizes[cluster] <= wanted:
                members = rows[starts[cluster] : starts[cluster] + sizes[cluster]]
                cluster_of |= dict.fromkeys(members.tolist(), f"{names[cluster]:016x}")
        return Chosen(dict(sorted(cluster_of.items())), len(starts))

    def _tie(self) -> None:
        records, self._waiting = self._waiting, []
        if records:
            texts = [record.full_text() for record in records]
            self._ties.add(texts, list(map(_telling_prompt, records)), [record.source.part_of for record in records])


def _place(seed: int, name: int) -> int:
    """Where a cluster stands among all: 64 bits that no order of rows can change."""
    return int(short_id([seed, f"{name:016x}"]), 16)


def heldout_document(record: Record, cluster: str) -> dict[str, Any]:
    """The row of heldout.jsonl: the text to predict, the prompt before it, group and cluster."""
    row = {"text": record.answer(), "group": _group(record), "cluster": cluster}
    return row if record.kind == "document" else row | {"prompt": record.prompt()}


def prompt_document(record: Record, cluster: str) -> dict[str, Any]:
    """The row of prompts.jsonl: what to ask and the answer the data gives."""
    return {"prompt": record.prompt(), "reference": record.answer(), "group": _group(record), "cluster": cluster}


def _telling_prompt(record: Record) -> str | None:
    prompt = record.prompt()
    return normalised(prompt) if len(words(prompt)) >= _TELLING_PROMPT_WORDS else None


def _group(record: Record) -> str:
    return record.topic or record.source.part_of or record.source.dataset
