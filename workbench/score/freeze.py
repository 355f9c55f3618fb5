"""Freezing a regression suite: the items that a base model gets right whatever the order of the choices, by a margin.

    freeze(loaded, suite, candidates, margin_nats=1.0)
    -> Frozen(items=[{"question": "The opposite of hot is", "choices": [...], "answer": 0}, ...], provenance=...)

An item is asked once for every rotation of its choices, so that each stands once in each place. It is kept if the
right choice wins every time and its log-likelihood leads the best wrong one by `margin_nats` or more each time: what is
frozen is known, not guessed, and rounding does not flip it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.core.config import ModelConfig
from workbench.core.errors import IncompleteError, UsageError
from workbench.core.fingerprints import fingerprint, short_id
from workbench.core.outputs import ChoiceOutput
from workbench.core.parts import write_documents, write_model
from workbench.core.suites import Documents, Suite, SuiteDocument, read_documents
from workbench.core.wire import Wire
from workbench.score.scoring import Job

if TYPE_CHECKING:
    from workbench.models.loading import LoadedModel


class Provenance(Wire):
    """Where a frozen suite comes from; stands beside its documents as NAME.provenance.json."""

    rule: str = "right under every rotation of the choices, each time by the margin or more"
    suite: str
    model: str
    model_fingerprint: str
    precision: str
    batch_size: int
    margin_nats: float
    """Smallest lead of the right choice over the best wrong one, in nats."""
    candidates: int
    candidates_sha256: str
    kept: int
    wrong: int
    """Candidates that some rotation got wrong."""
    narrow: int
    """Candidates right every time, but once by less than the margin."""


@dataclass(frozen=True, slots=True)
class Frozen:
    """The items kept, in the candidates' order, and how they were chosen."""

    items: list[dict[str, Any]]
    provenance: Provenance


def freeze(
    loaded: LoadedModel,
    suite: Suite,
    candidates: list[dict[str, Any]],
    *,
    margin_nats: float = 1.0,
    batch_size: int = 8,
) -> Frozen:
    """Keeps the candidates (`question`, `choices`, `answer` as index) that the model knows.

    Raises UsageError for a candidate without these fields or a suite that asks for others, IncompleteError if none is
    kept.
    """
    if suite.kind != "regression" or suite.task:
        raise UsageError("only suites of kind regression without `task` can be frozen", where=f"suite {suite.name}")
    for number, candidate in enumerate(candidates, start=1):
        _check_candidate(candidate, number)
    leads = _leads(loaded, suite, candidates, batch_size)
    kept = [item for item, lead in zip(candidates, leads, strict=True) if lead >= margin_nats]
    if not kept:
        raise IncompleteError(
            f"none of {len(candidates)} candidates passes the rule",
            where=f"suite {suite.name}",
            next_step="give more candidates or a smaller margin",
        )
    provenance = Provenance(
        suite=suite.name,
        model=loaded.config.ref,
        model_fingerprint=loaded.fingerprint,
        precision=loaded.precision,
        batch_size=batch_size,
        margin_nats=margin_nats,
        candidates=len(candidates),
        candidates_sha256=fingerprint(candidates),
        kept=len(kept),
        wrong=sum(lead <= 0 for lead in leads),
        narrow=sum(0 < lead < margin_nats for lead in leads),
    )
    return Frozen(kept, provenance)


def freeze_items(items: Path, out: Path, model: ModelConfig, project: Path, *, margin: float) -> Provenance:
    """Freezes the candidates in `items` (JSON Lines) to `out`, with the provenance beside it, and returns that.

    The model is loaded at its configured precision. Raises as `freeze`, for unreadable lines, and for a missing model.
    """
    from workbench.models.loading import load

    documents = Documents(file=items.name)
    suite = Suite(name=out.stem, kind="regression", role="general", documents=documents, primary_metric="acc")
    if not items.is_file():
        raise UsageError("candidates file does not exist", where=str(items))
    candidates = [document.fields for document in read_documents(items, suite)]
    frozen = freeze(load(model, model.precision, project), suite, candidates, margin_nats=margin)
    write_frozen(frozen, out)
    return frozen.provenance


def write_frozen(frozen: Frozen, documents: Path) -> None:
    """Writes the items to `documents` (JSON Lines) and the provenance beside it."""
    write_documents(documents, frozen.items)
    write_model(documents.with_suffix(".provenance.json"), frozen.provenance)


def _check_candidate(candidate: dict[str, Any], number: int) -> None:
    question, choices, answer = (candidate.get(name) for name in ("question", "choices", "answer"))
    where = f"candidate {number}"
    if not isinstance(question, str) or not question:
        raise UsageError("`question` must be a text", where=where)
    if not isinstance(choices, list) or len(choices) < 2 or not all(isinstance(text, str) and text for text in choices):
        raise UsageError("`choices` must be at least two texts", where=where)
    if not isinstance(answer, int) or isinstance(answer, bool) or not 0 <= answer < len(choices):
        raise UsageError(f"`answer` must be the index of the right choice, got {answer!r}", where=where)


def _leads(loaded: LoadedModel, suite: Suite, candidates: list[dict[str, Any]], batch_size: int) -> list[float]:
    """Smallest lead of the right choice over all rotations, in nats, per candidate; negative where one is wrong."""
    from workbench.score.kinds import regression

    rotated = [(index, turn, item) for index, item in enumerate(candidates) for turn in range(len(item["choices"]))]
    asked = [_rotation(item, turn) for _, turn, item in rotated]
    documents = [
        SuiteDocument(doc_id=number, doc_hash=short_id(fields), occurrence=0, fields=fields)
        for number, fields in enumerate(asked)
    ]
    rows = regression.score(
        Job(
            arm="freeze",
            suite=suite,
            documents=documents,
            loaded=loaded,
            batch_size=batch_size,
            system_prompt=None,
            on_batch=lambda done, total: None,
        )
    ).rows
    leads = [float("inf")] * len(candidates)
    for (index, _, _), fields, row in zip(rotated, asked, rows, strict=True):
        lead = float("-inf") if row.error else _lead(row.output, fields["answer"])
        leads[index] = min(leads[index], lead)
    return leads


def _rotation(item: dict[str, Any], turn: int) -> dict[str, Any]:
    """The item with its choices moved `turn` places to the front."""
    choices = item["choices"]
    return {**item, "choices": choices[turn:] + choices[:turn], "answer": (item["answer"] - turn) % len(choices)}


def _lead(output: str, right: int) -> float:
    """Log-likelihood of the right choice minus that of the best wrong one."""
    logprobs = ChoiceOutput.model_validate_json(output).logprobs
    rivals = [value for place, value in enumerate(logprobs) if place != right and value is not None]
    own = logprobs[right]
    assert own is not None and rivals, "a row without an error has every log-likelihood"
    return own - max(rivals)
