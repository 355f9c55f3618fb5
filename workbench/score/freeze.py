"""Freezing a regression suite: the items that a base model gets right whatever the order of the choices, by a margin.

    freeze(loaded, suite, candidates, margin_nats=1.0)
    -> Frozen(items=[{"question": "The opposite of hot is", "choices": [...], "answer": 0}, ...], provenance=...)

An item is asked once for every rotation of its choices, so that each stands once in each place. It is kept if the
right choice wins every time and its log-likelihood leads the best wrong one by `margin_nats` or more each time: what is
frozen is known, not guessed, and rounding does not flip it.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import redirect_stderr
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.core.config import ModelConfig
from workbench.core.errors import IncompleteError, UsageError
from workbench.core.fingerprints import file_sha256, fingerprint, short_id
from workbench.core.outputs import ChoiceOutput
from workbench.core.parts import write_documents, write_model, write_text
from workbench.core.suites import Documents, Suite, SuiteDocument, read_documents
from workbench.core.wire import Wire
from workbench.core.yamlfile import validate
from workbench.score.scoring import Job
from workbench.score.standard_task import quiet
from workbench.score.suite_new import suite_yaml

if TYPE_CHECKING:
    from workbench.models.loading import LoadedModel


OnBatch = Callable[[str, int, int], None]
"""Told after each batch of the round it is in, the rows done and the rows in all."""


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
    must_pass: int = 0
    """Items that may not fail at all."""
    must_pass_nats: float | None = None
    """Lead from which on an item must pass; None marks only what the candidates mark."""
    noise_flips: int | None = None
    """Items that the base itself got wrong in other batches: its A/A arm."""
    allowed_failures: int | None = None
    """What 95% of such arms stay within."""
    items_sha256: str | None = None
    """Of the file of items, as it was written."""


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
    must_pass_nats: float | None = None,
    batch_size: int = 8,
    on_batch: OnBatch = lambda what, done, total: None,
) -> Frozen:
    """Keeps the candidates (`question`, `choices`, `answer` as index) that the model knows.

    Those that lead by `must_pass_nats` or more in every rotation get `must_pass: true`, beside those that have it. What
    is kept is scored once more in batches of another size, which says how many failures mean nothing.

    Raises UsageError for a candidate without these fields or a suite that asks for others, IncompleteError if none is
    kept.
    """
    if suite.kind != "regression" or suite.task:
        raise UsageError("only suites of kind regression without `task` can be frozen", where=f"suite {suite.name}")
    for number, candidate in enumerate(candidates, start=1):
        _check_candidate(candidate, number)
    leads = _leads(loaded, suite, candidates, batch_size, on_batch)
    kept = [
        {**item, "must_pass": True} if must_pass_nats is not None and lead >= must_pass_nats else item
        for item, lead in zip(candidates, leads, strict=True)
        if lead >= margin_nats
    ]
    if not kept:
        raise IncompleteError(
            f"none of {len(candidates)} candidates passes the rule",
            where=f"suite {suite.name}",
            next_step="give more candidates or a smaller margin",
        )
    flips = _flips(loaded, suite, kept, batch_size, on_batch)
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
        must_pass=sum(item.get("must_pass") is True for item in kept),
        must_pass_nats=must_pass_nats,
        noise_flips=flips,
        allowed_failures=allowed_failures(flips, len(kept)),
    )
    return Frozen(kept, provenance)


def allowed_failures(flips: int, n: int) -> int:
    """Failures among `n` items that 95% of arms equal to the base stay within, after `flips` were seen in one.

    The 95% point of the predictive distribution: beta-binomial, from Jeffreys' prior (Gelman et al., Bayesian Data
    Analysis, section 2.4). The rate's own upper limit would allow several times as many.
    """
    # 1 s: scipy.stats
    from scipy.stats import betabinom

    return int(betabinom.ppf(0.95, n, flips + 0.5, n - flips + 0.5))


def freeze_items(
    items: Path,
    out: Path,
    model: ModelConfig,
    project: Path,
    *,
    margin: float,
    must_pass: float | None = None,
    tags: tuple[str, ...] = (),
    owners: tuple[str, ...] = (),
    dry_run: bool = False,
    on_batch: OnBatch = lambda what, done, total: None,
) -> Provenance:
    """Freezes the candidates in `items` (JSON Lines) to `out`, with the provenance beside it, and returns that.

    A suite of that name is written with it if there is none; one that is there stays as it is. `dry_run` writes
    nothing. The model is loaded at its configured precision. Raises as `freeze`, IncompleteError where the failures
    allowed would be all items, ConfigErrors for a name that no suite can have, and for unreadable lines and a missing
    model.
    """
    from workbench.models.loading import load

    if out.suffix != ".jsonl":
        raise UsageError(
            "frozen items are JSON Lines", where=f"--output {out}", next_step=f"-o {out.with_suffix('.jsonl')}"
        )
    values = {
        "name": out.stem,
        "kind": "regression",
        "role": "general",
        "documents": {"file": items.name},
        "primary_metric": "acc",
    }
    suite = validate(values, Suite, file=str(out.with_suffix(".yaml")))
    if not items.is_file():
        raise UsageError("candidates file does not exist", where=str(items))
    if out.resolve() == items.resolve():
        raise UsageError("would overwrite the candidates", where=f"--output {out}", next_step="choose another name")
    candidates = [document.fields for document in read_documents(items, suite)]
    loaded = load(model, model.precision, project)
    # lm-eval's own bars and remarks, one set for each of the two rounds
    with quiet(), redirect_stderr(io.StringIO()):
        frozen = freeze(loaded, suite, candidates, margin_nats=margin, must_pass_nats=must_pass, on_batch=on_batch)
    kept, allowed = frozen.provenance.kept, frozen.provenance.allowed_failures
    if allowed is not None and allowed >= kept and not frozen.provenance.must_pass:
        raise IncompleteError(
            f"{kept} of {len(candidates)} candidates pass the rule, of which {allowed} could fail by chance: "
            "such a suite could not fail",
            where=f"suite {suite.name}",
            next_step="give more candidates or a smaller margin",
        )
    if dry_run:
        return frozen.provenance
    provenance = write_frozen(frozen, out)
    if not (beside := out.with_suffix(".yaml")).exists():
        grouped = all(isinstance(item.get("group"), str) for item in frozen.items)
        policy = {
            "description": f"Frozen from {model.ref} at {loaded.precision}, see {out.stem}.provenance.json.",
            "documents": Documents(file=out.name),
            "groups": "group" if grouped else None,
            "allowed_failures": provenance.allowed_failures,
            "tags": tags,
            "owners": owners,
        }
        write_text(beside, suite_yaml(suite.model_copy(update=policy)))
    return provenance


def write_frozen(frozen: Frozen, documents: Path) -> Provenance:
    """Writes the items to `documents` (JSON Lines) and the provenance beside it, which is returned."""
    write_documents(documents, frozen.items)
    provenance = frozen.provenance.model_copy(update={"items_sha256": file_sha256(documents)})
    write_model(documents.with_suffix(".provenance.json"), provenance)
    return provenance


def _check_candidate(candidate: dict[str, Any], number: int) -> None:
    question, choices, answer = (candidate.get(name) for name in ("question", "choices", "answer"))
    where = f"candidate {number}"
    if not isinstance(question, str) or not question:
        raise UsageError("`question` must be a text", where=where)
    if not isinstance(choices, list) or len(choices) < 2 or not all(isinstance(text, str) and text for text in choices):
        raise UsageError("`choices` must be at least two texts", where=where)
    if not isinstance(answer, int) or isinstance(answer, bool) or not 0 <= answer < len(choices):
        raise UsageError(f"`answer` must be the index of the right choice, got {answer!r}", where=where)


def _flips(
    loaded: LoadedModel, suite: Suite, items: list[dict[str, Any]], batch_size: int, on_batch: OnBatch
) -> int:
    """Items, right in batches of `batch_size`, that are wrong in the A/A arm's."""
    from workbench.score.kinds import regression

    documents = [
        SuiteDocument(doc_id=number, doc_hash=short_id(fields), occurrence=0, fields=fields)
        for number, fields in enumerate(items)
    ]
    other = max(1, batch_size // 2)
    told = partial(on_batch, "what was kept, in other batches")
    rows = regression.score(Job("noise", suite, documents, loaded, other, None, told)).rows
    return sum(row.value != 1 for row in rows if row.metric == suite.primary_metric)


def _leads(
    loaded: LoadedModel, suite: Suite, candidates: list[dict[str, Any]], batch_size: int, on_batch: OnBatch
) -> list[float]:
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
            on_batch=partial(on_batch, "every rotation of the choices"),
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
