"""What a check knows: the thresholds, the accepted pairs so far, the evaluation data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from workbench.core.config import SynthConfig
from workbench.core.curation import Decontamination
from workbench.synth.drafts import Draft
from workbench.text.containment import ContainmentIndex, Needle
from workbench.text.evaluation_sets import EvaluationSet
from workbench.text.leaks import EvaluationData, Leak
from workbench.text.novelty import KnownTexts

RUN_WORDS = 13
"""So many words in a row are more than chance."""


class Quotation(NamedTuple):
    """A run of words that a text has in common with an evaluation document."""

    source: str
    """Set and document, for people."""
    span: str


class QuotationIndex:
    """Looks for runs of `RUN_WORDS` words of any evaluation document."""

    def __init__(self, sets: Sequence[EvaluationSet]) -> None:
        """Boilerplate is counted within each set."""
        self._sources: list[str] = []
        needles = []
        for position, one in enumerate(sets):
            for owner, document in enumerate(one.documents):
                self._sources.append(f"{one.named.name}, {one.named.unit} {document.number}")
                needles.append(Needle(f"{document.prompt}\n{document.answer}", owner, position))
        self._index = ContainmentIndex(needles, ngram=RUN_WORDS)

    def first(self, text: str) -> Quotation | None:
        """The first document that shares a run; shorter documents are left to `EvaluationData.leaks`."""
        found = next((match for match in self._index.search(text) if match.words >= RUN_WORDS), None)
        return None if found is None else Quotation(self._sources[found.needle], found.span)


class Evaluation:
    """What candidates must not give away, in the two ways in which it is looked for."""

    def __init__(self, sets: Sequence[EvaluationSet], settings: Decontamination) -> None:
        self.data = EvaluationData.of(sets, settings)
        self.quotations = QuotationIndex(sets)


@dataclass(slots=True)
class Desk:
    """State of one strategy's checks."""

    synth: SynthConfig
    novel: Literal["question", "pair"]
    evaluation: Evaluation
    known: KnownTexts = field(default_factory=KnownTexts)
    """Texts to be different from: earlier accepted candidates, and the questions of the training data."""

    def leaks(self, draft: Draft, action: Literal["drop", "flag"]) -> list[Leak]:
        """What a pair gives away of evaluation data, as far as curated rows are dropped or flagged for it."""
        record = draft.record()
        assert record is not None, draft.id()
        return [leak for leak in self.evaluation.data.leaks(record) if leak.action == action]
