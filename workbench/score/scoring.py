"""What a suite kind is given and what it gives back: one function from a `Job` to `Scored`.

    KINDS["perplexity"](job)  ->  Scored(rows=[ScoreRow(metric="nll", value=3.41, weight=212.0, ...), ...])

Kinds know neither the stage nor each other's files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from workbench.core.records import Generation, ScoreRow
from workbench.core.suites import Suite, SuiteDocument

if TYPE_CHECKING:
    from workbench.models.loading import LoadedModel

GENERATION_BATCH_FACTOR = 4
"""Rows per generation batch over rows per scoring batch: a decoding step looks at one position per row, not at all."""


@dataclass(frozen=True, slots=True)
class Job:
    """One suite to be scored on one loaded arm."""

    arm: str
    suite: Suite
    documents: list[SuiteDocument]
    loaded: LoadedModel
    batch_size: int
    """Rows per forward pass."""
    system_prompt: str | None
    """The arm's system turn, used where the suite has `chat: true`."""
    on_batch: Callable[[int, int], None]
    """Called with rows done and rows in all after each batch; may raise `ScoringStopped`."""


@dataclass(frozen=True, slots=True)
class Scored:
    """Rows and answers of one suite."""

    rows: list[ScoreRow] = field(default_factory=list)
    generations: list[Generation] = field(default_factory=list)
    truncated: int = 0
    """Documents that were cut to fit the model's length."""


ScoreKind = Callable[[Job], Scored]


class ScoringStopped(Exception):
    """The user asked to stop; finished suites are kept."""


def score_row(job: Job, document: SuiteDocument, *, metric: str, value: float | None, **details: Any) -> ScoreRow:
    """A row with the document's identity, category and cluster filled in; `details` are further `ScoreRow` fields."""
    return ScoreRow(
        arm=job.arm,
        suite=job.suite.name,
        task=job.suite.name,
        metric=metric,
        value=value,
        doc_hash=document.doc_hash,
        occurrence=document.occurrence,
        doc_id=document.doc_id,
        group=_label(document.fields, job.suite.groups),
        cluster=_label(document.fields, job.suite.cluster),
        **details,
    )


def text_field(fields: Mapping[str, Any], name: str) -> str | None:
    """The document's text under `name`; None if it is missing, empty or no text."""
    value = fields.get(name)
    return value if isinstance(value, str) and value else None


def _label(fields: Mapping[str, Any], name: str | None) -> str | None:
    value = fields.get(name) if name else None
    return None if value is None else str(value)
