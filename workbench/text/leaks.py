"""Leaks: evaluation documents that a row to train on gives away, and whether that is enough to drop it.

    suite document   {"question": "Which planet of the solar system has the shortest day, and how long is it?"}
    record           "Quiz night: which planet of the solar system has the shortest day, and how long is it?"
      ->  Leak("drop", 1.0, 'suite planets, document 0: 100% of its 8-grams: "which planet of the solar ..."')
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from workbench.core.curation import Decontamination
from workbench.core.records import Record
from workbench.text.contamination import Contamination, EvaluationIndex
from workbench.text.evaluation_sets import EvaluationSet, NamedSet
from workbench.text.personal_data import masked

_SPAN_CHARS = 160


@dataclass(frozen=True, slots=True)
class Leak:
    """The worst that a record does to one evaluation set."""

    action: Literal["drop", "flag"]
    share: float
    """Share of the document that is in the record (of the record, for a piece of a longer document)."""
    detail: str
    """Set, document, share and the words in common, personal data masked, for people."""


@dataclass(frozen=True, slots=True)
class EvaluationData:
    """Everything that must not be trained on, ready to be looked for; picklable."""

    index: EvaluationIndex
    names: tuple[NamedSet, ...]
    """Of the sets in the index."""
    settings: Decontamination

    @classmethod
    def of(cls, sets: Sequence[EvaluationSet], settings: Decontamination) -> EvaluationData:
        """The sets, indexed."""
        index = EvaluationIndex([one.documents for one in sets], settings.ngram)
        return cls(index, tuple(one.named for one in sets), settings)

    def leaks(self, record: Record) -> list[Leak]:
        """At most one for each suite, dataset and split, in their order; a split of the data is none to its own rows.
        """
        own = self.split_of(record)
        worst: dict[int, tuple[tuple[bool, bool, float, float], Leak]] = {}
        for found in self.index.find(record, self.settings.flag_at):
            action = _action(found, self.settings)
            named = self.names[found.set]
            if action is None or (own is not None and named.dataset == own.dataset):
                continue
            rank = (action == "drop", found.kind == "equal", *found.strength)
            if found.set not in worst or rank > worst[found.set][0]:
                worst[found.set] = (rank, Leak(action, found.share, _evidence(found, named, self.settings)))
        return [worst[position][1] for position in sorted(worst)]

    def split_of(self, record: Record) -> NamedSet | None:
        """The split of the data that `record` belongs to, if that is kept for evaluation."""
        source = record.source
        if source.split is None:
            return None
        return next((one for one in self.names if (one.dataset, one.split) == (source.dataset, source.split)), None)


def _action(found: Contamination, settings: Decontamination) -> Literal["drop", "flag"] | None:
    """What happens to the record; None if the share is too small to be evidence."""
    certain = min(found.share, found.own) >= settings.drop_at
    if found.kind in ("equal", "contained"):
        return "drop" if certain else "flag"
    if found.kind == "excerpt":
        return None if found.share < settings.drop_at else "drop" if certain else "flag"
    if found.kind == "renumbered":
        return "flag" if found.share >= settings.drop_at else None
    return "flag"


def _evidence(found: Contamination, named: NamedSet, settings: Decontamination) -> str:
    grams = f"{settings.ngram}-grams"
    whose = "its" if found.part == "whole" else "its question's"
    measured = {
        "equal": "the same text" if found.part == "whole" else "the same question",
        "contained": f"{found.share:.0%} of {whose} {grams}",
        "excerpt": f"{found.share:.0%} of this record's {grams} are from it",
        "answer": f"its answer without its question, {found.share:.0%} of its {grams}",
        "renumbered": f"{found.share:.0%} of {whose} {grams} with other numbers",
        "short": "stands in it whole, but is short",
    }[found.kind]
    if found.kind in ("contained", "excerpt") and found.own < settings.drop_at <= found.share:
        measured += ", shared with other documents of the set"
    span = " ".join(masked(found.span).split())
    shown = span if len(span) <= _SPAN_CHARS else span[:_SPAN_CHARS] + "..."
    return f'{named.name}, {named.unit} {found.document}: {measured}: "{shown}"'
