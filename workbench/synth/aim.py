"""Aim: which documents a round of `workbench iterate` makes pairs from, and what was made before.

    weaknesses  json, wsgiref (by part_of)      earlier pairs: 40, made from 12 documents
    ->  documents of json and wsgiref that gave no accepted pair yet; no question that was asked before

A document is used once: rules would make the same pairs of it again. When all documents of the weak topics are used,
nothing new is accepted, and the rounds end.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from workbench.core.iterate import GroupedBy
from workbench.core.iteration import TargetedSynthNode, Weaknesses, topic_of
from workbench.core.nodes import SynthNode
from workbench.core.parts import read_model, read_rows
from workbench.core.records import Candidate, Record
from workbench.core.stage import Inputs


@dataclass(frozen=True, slots=True)
class Aim:
    """What is wanted, and what there is already."""

    by: GroupedBy
    topics: frozenset[str]
    replayed: frozenset[str]
    used: frozenset[str]
    """Ids of the documents that gave an accepted pair."""
    pairs: tuple[Record, ...]
    """Accepted before."""

    def wants(self, document: Record) -> bool:
        """Whether pairs are to be made from a document."""
        return (
            topic_of(document, self.by) in self.topics
            and document.source.dataset not in self.replayed
            and document.id not in self.used
        )


def aim_of(config: SynthNode, inputs: Inputs) -> Aim | None:
    """The aim of a targeted synthesis; None for any other. IncompleteError if a part cannot be read."""
    if not isinstance(config, TargetedSynthNode):
        return None
    weak = read_model(inputs["weaknesses"].part("weaknesses.json"), Weaknesses)
    accepted = [one for name in config.earlier for one in _accepted(inputs, name)]
    return Aim(
        by=weak.by,
        topics=frozenset(weak.targeted),
        replayed=frozenset(config.replayed),
        used=frozenset(seed for one in accepted for seed in one.seed_ids),
        pairs=tuple(one.record for one in accepted if one.record is not None),
    )


def _accepted(inputs: Inputs, name: str) -> Iterator[Candidate]:
    rows = read_rows(inputs[name].part("candidates.jsonl"), Candidate)
    return (one for one in rows if one.status == "accepted")
