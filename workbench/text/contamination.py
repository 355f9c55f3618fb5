"""Contamination: which documents of a suite does a training record give away?

    index = SuiteIndex(suite, read_documents(path, suite), ngram=8)
    index.find(record)  ->  [Contamination(document=3, kind="contained", share=0.87, span="Which planet ... how long")]

The needle is all of a document's `text_fields` together, so that a prompt shared by many documents, or an answer of one
word, says little by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from workbench.core.records import Record
from workbench.core.suites import Suite, SuiteDocument
from workbench.text.containment import ContainmentIndex


@dataclass(frozen=True, slots=True)
class Contamination:
    """One suite document found in one record."""

    suite: str
    document: int
    """Position in the suite's documents."""
    kind: Literal["equal", "contained", "short"]
    """`equal`: the record, its prompt or one user turn is the document, up to case and white space. `contained`: shares
    n-grams. `short`: a document of fewer words than an n-gram stands in it whole, which can be chance."""
    share: float
    """Share of the document's n-grams found; 1 if equal."""
    span: str
    """The longest common run of words, as written in the record."""


class SuiteIndex:
    """The documents of one suite, ready to be looked for in many records."""

    def __init__(self, suite: Suite, documents: Sequence[SuiteDocument], ngram: int) -> None:
        self.suite = suite.name
        self._ngram = ngram
        texts = [_needle(document, suite.text_fields) for document in documents]
        self.searchable = sum(bool(text) for text in texts)
        """Documents that have text to look for."""
        self._index = ContainmentIndex(texts, ngram)

    def find(self, record: Record) -> list[Contamination]:
        """Every document that `record` shares something with; one entry, `equal`, if it is one of them."""
        for view in _views(record):
            document = self._index.equal(view)
            if document is not None:
                return [Contamination(self.suite, document, "equal", 1.0, view)]
        return [
            Contamination(
                self.suite,
                match.needle,
                "contained" if match.words >= self._ngram else "short",
                match.share,
                match.span,
            )
            for match in self._index.search(compared_text(record))
        ]


def compared_text(record: Record) -> str:
    """All text of a record that a model could learn from: prompt, answer, and the rejected ending of a preference."""
    rejected = record.rejected.content if record.rejected else ""
    return "\n".join(piece for piece in (record.full_text(), rejected) if piece)


def _views(record: Record) -> list[str]:
    """What can be a suite document as it stands: the whole record, its prompt, one user turn."""
    user_turns = [turn.content for turn in record.messages if turn.role == "user"]
    return list(dict.fromkeys([record.full_text(), record.prompt(), *user_turns]))


def _needle(document: SuiteDocument, text_fields: Sequence[str]) -> str:
    values = [document.fields.get(field) for field in text_fields]
    return "\n".join(value for value in values if isinstance(value, str) and value.strip())
