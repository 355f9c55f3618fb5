"""What a suite kind is given and what it gives back: one function from a `Job` to `Scored`.

    KINDS["perplexity"](job)  ->  Scored(rows=[ScoreRow(metric="nll", value=3.41, weight=212.0, ...), ...])

Kinds know neither the stage nor each other's files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from workbench.core.records import Generation, ScoreRow
from workbench.core.suites import Suite, SuiteDocument

if TYPE_CHECKING:
    from workbench.models.loading import LoadedModel
    from workbench.models.memo import BatchMemo

GENERATION_BATCH_FACTOR = 4
"""Rows per generation batch over rows per scoring batch: a decoding step looks at one position per row, not at all."""
TOKENS_PER_ROW = 256
"""A batch of choices holds this many tokens per row that the batch size allows: shorter rows are more of them. On two
cores 128 took 3% longer, and 384 no less."""


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
    examples: Sequence[dict[str, Any]] = ()
    """What a standard task draws its few-shot examples from."""
    memo: BatchMemo | None = None
    """Finished batches of this arm: for `continuation_nll`, `generate` and the fast engine; None keeps nothing."""
    base: Callable[[], LoadedModel] | None = None
    """Gives the loop's base in the arm's precision, loaded once; None where the arm's weights are that base's."""
    on_generated: Callable[[int], None] = lambda tokens: None
    """Told of the tokens of generated answers, for tokens per second; answers from the memo count too."""
    warn: Callable[[str], None] = lambda message: None
    """Told what a person should know, such as that the fast way was left."""


@dataclass(frozen=True, slots=True)
class Scored:
    """Rows and answers of one suite."""

    rows: list[ScoreRow] = field(default_factory=list)
    generations: list[Generation] = field(default_factory=list)
    truncated: int = 0
    """Documents that were cut to fit the model's length."""
    corpus: dict[str, float] = field(default_factory=dict)
    """What only the whole has, by name (corpus BLEU, macro F1): shown, not compared."""


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
        must_pass=job.suite.kind == "regression" and document.fields.get("must_pass") is True,
        **details,
    )


def text_field(fields: Mapping[str, Any], name: str) -> str | None:
    """The document's text under `name`; None if it is missing, empty or no text."""
    value = fields.get(name)
    return value if isinstance(value, str) and value else None


def _label(fields: Mapping[str, Any], name: str | None) -> str | None:
    value = fields.get(name) if name else None
    return None if value is None else str(value)
