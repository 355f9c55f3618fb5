"""The strategies, by the name they have in the configuration. A new one is a file here, a line below and a test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from workbench.synth.drafts import Draft, Making
from workbench.synth.strategies import doc_pairs, qa_from_docs


@dataclass(frozen=True, slots=True)
class Strategy:
    """A way of making drafts."""

    make: Callable[[Making], Iterator[Draft]]
    novel: Literal["question", "pair"]
    """What must be new: the question, or, where questions follow templates, question and answer together."""


STRATEGIES: dict[str, Strategy] = {
    "doc_pairs": Strategy(doc_pairs.make, novel="pair"),
    "qa_from_docs": Strategy(qa_from_docs.make, novel="question"),
}
