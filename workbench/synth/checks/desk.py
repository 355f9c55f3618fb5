"""What a check knows: the thresholds, the accepted pairs so far, the documents of the suites."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from workbench.core.config import SynthConfig
from workbench.text.containment import ContainmentIndex
from workbench.text.novelty import KnownTexts


@dataclass(frozen=True, slots=True)
class SuiteText:
    """One text of one suite document."""

    suite: str
    doc_hash: str
    text: str


class SuiteTexts:
    """What candidates must not contain, indexed once for each n-gram length that is asked for."""

    def __init__(self, texts: tuple[SuiteText, ...]) -> None:
        self.texts = texts

    @cached_property
    def by_8_grams(self) -> ContainmentIndex:
        """For the share of a document that was taken over."""
        return ContainmentIndex([text.text for text in self.texts], ngram=8)

    @cached_property
    def by_13_grams(self) -> ContainmentIndex:
        """For a single long run in common."""
        return ContainmentIndex([text.text for text in self.texts], ngram=13)


@dataclass(slots=True)
class Desk:
    """State of one strategy's checks."""

    synth: SynthConfig
    novel: Literal["question", "pair"]
    suites: SuiteTexts
    known: KnownTexts = field(default_factory=KnownTexts)
    """Texts to be different from: earlier accepted candidates, and the questions of the training data."""
