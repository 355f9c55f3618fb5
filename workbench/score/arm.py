"""Scoring one arm: the model is loaded once, each suite's rows are kept as soon as it is finished.

    .workbench/scores/ARM.jsonl       batches, kept as soon as they are computed, for every run of the project
    work_dir/capitals.rows.jsonl, capitals.generations.jsonl, capitals.json (the mark that the suite is done)
    out_dir/samples.jsonl, generations.jsonl, arm.json, timing.json

After a kill the suites with a mark are read back, finished batches of the others come from the score cache, the rest is
computed, and the parts are the same; only timing.json differs from run to run.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.core.errors import IncompleteError, UsageError
from workbench.core.nodes import ScoreNode
from workbench.core.parts import read_model, read_rows, write_model, write_rows
from workbench.core.paths import inside
from workbench.core.records import Generation, ScoreRow
from workbench.core.results import ArmInfo
from workbench.core.stage import Cancelled, Context, Done, Inputs, Outcome, Summary
from workbench.core.suites import Suite, SuiteDocument, read_documents, read_examples, settings_hash, suite_path
from workbench.core.timing import ArmTiming, SuiteTiming
from workbench.core.wire import Wire, printable
from workbench.score.arm_models import ArmModels
from workbench.score.cache import BatchTime
from workbench.score.conditions import conditions
from workbench.score.kinds import perplexity
from workbench.score.kinds.registry import KINDS
from workbench.score.scoring import Job, Scored, ScoringStopped
from workbench.score.tasks import check_suite

_SHOWN_CHARS = 200
_USES_LM_EVAL = ("lm_eval", "regression")


class SuiteMark(Wire):
    """Written last: the suite's rows beside it are complete."""

    settings_hash: str
    truncated: int
    """Documents that were cut to fit the model's length."""
    timing: SuiteTiming
    corpus: dict[str, float] = {}
    """What only the whole suite has: corpus BLEU, macro F1."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """A suite with its documents."""

    suite: Suite
    documents: list[SuiteDocument]
    examples: list[dict[str, Any]]
    """Few-shot examples of a standard task."""
    settings_hash: str


def score_arm(config: ScoreNode, inputs: Inputs, ctx: Context) -> Outcome:
    """Scores the arm on all suites.

    Raises UsageError for suites that cannot work, IncompleteError for missing documents or an adapter of another base,
    and whatever loading the model raises.
    """
    plans = _plans(config, inputs, ctx)
    adapter = adapter_dir(config, inputs, ctx.project)
    models = ArmModels(config, adapter, ctx.project)
    scorer = _Scorer(config, ctx, models, total=sum(len(plan.documents) for plan in plans))
    try:
        for plan in plans:
            if ctx.cancelled():
                return Cancelled()
            scorer.score(plan)
    except ScoringStopped:
        return Cancelled()
    write_model(ctx.out_dir / "arm.json", _arm_info(config, models, plans))
    if damaged := models.damaged_lines():
        ctx.warn(f"{damaged} lines of the score cache were damaged; their batches were computed again")
    return Done(_collect(plans, ctx))


def check_suites(suites: Sequence[Suite]) -> None:
    """UsageError for a suite that cannot be scored as written, or two of the same name."""
    for suite in suites:
        check_suite(suite)
    for name, count in Counter(suite.name for suite in suites).items():
        if count > 1:
            raise UsageError(f"{count} suites have this name", where=f"suite {name}", next_step="rename all but one")


def adapter_dir(config: ScoreNode, inputs: Inputs, project: Path) -> Path | None:
    """Directory of the arm's adapter: this run's, its sham, or a directory; UsageError if the latter does not exist."""
    chosen = config.arm.adapter
    if chosen is None:
        return None
    if chosen in ("train", "sham"):
        return inputs["train"].part("adapter" if chosen == "train" else "sham")
    return named_adapter(chosen, config.arm.name, project)


def named_adapter(chosen: str, arm: str, project: Path) -> Path:
    """The adapter directory a configuration names: absolute, or inside the project."""
    where = f"score.arms {arm}: adapter"
    path = Path(chosen) if Path(chosen).is_absolute() else inside(project, chosen, where=where)
    if not path.is_dir():
        raise UsageError(
            f"adapter directory {chosen!r} does not exist",
            where=where,
            next_step="give `train`, `sham`, NAME@VERSION of a registered adapter, or a directory written by training",
        )
    return path


def _plans(config: ScoreNode, inputs: Inputs, ctx: Context) -> list[_Plan]:
    if not config.suites:
        raise IncompleteError("there is no suite to score", where=ctx.node, next_step="name suites under score.suites")
    check_suites(config.suites)
    datasets = {
        name.removeprefix("ingest:"): artifact for name, artifact in inputs.items() if name.startswith("ingest:")
    }
    plans = []
    for suite in config.suites:
        path = suite_path(ctx.project / config.suites_dir, suite, datasets)
        hashed = settings_hash(suite, path)
        plans.append(_Plan(suite, read_documents(path, suite), read_examples(path, suite), hashed))
    return plans


class _Scorer:
    """Scores suites one after another on a model that is loaded when the first one needs it."""

    def __init__(self, config: ScoreNode, ctx: Context, models: ArmModels, total: int) -> None:
        self._config = config
        self._ctx = ctx
        self._models = models
        self._total = total
        self._done = 0
        self._generated_tokens = 0

    def score(self, plan: _Plan) -> None:
        """Scores one suite into `work_dir`, unless its mark says that an earlier attempt did."""
        name = plan.suite.name
        if is_finished(self._ctx.work_dir, plan.suite, plan.settings_hash):
            self._ctx.info(f"suite {name}: kept from the interrupted attempt")
        else:
            if not self._models.loaded:
                self._ctx.progress(self._done, self._total, "documents", "loading the model")
            job = self._job(plan)
            self._generated_tokens = 0
            if job.base is not None and plan.suite.kind == "kl":
                job.base()  # read from disk before the clock starts, as the arm's own model is
            if plan.suite.kind in _USES_LM_EVAL:
                import workbench.score.hf_fast  # noqa: F401  # 1 to 5 s on first use, which no document costs
            started = time.perf_counter()
            scored = KINDS[plan.suite.kind](job)
            self._keep(plan, scored, self._timing(plan, time.perf_counter() - started))
        self._done += len(plan.documents)
        self._ctx.progress(self._done, self._total, "documents", name)

    def _job(self, plan: _Plan) -> Job:
        arm = self._config.arm
        assert arm.batch_size is not None, "the plan fills in batch_size"

        def on_batch(rows: int, all_rows: int) -> None:
            if self._ctx.cancelled():
                raise ScoringStopped
            documents = len(plan.documents) * rows // max(all_rows, 1)
            self._ctx.progress(self._done + documents, self._total, "documents", plan.suite.name)

        def on_generated(tokens: int) -> None:
            self._generated_tokens += tokens

        return Job(
            arm=arm.name,
            suite=plan.suite,
            documents=plan.documents,
            examples=plan.examples,
            loaded=self._models.own(),
            batch_size=arm.batch_size,
            system_prompt=arm.system_prompt,
            on_batch=on_batch,
            memo=self._models.memo(),
            base=self._models.base if self._models.differs_from_base else None,
            on_generated=on_generated,
            warn=self._ctx.warn,
        )

    def _timing(self, plan: _Plan, seconds: float) -> SuiteTiming:
        """`seconds` are this attempt's; what came from the cache is added with what it took when it was computed."""
        batches: list[BatchTime] = self._models.memo().take_times()
        reused = [batch.seconds for batch in batches if batch.reused]
        if reused:
            self._ctx.info(f"suite {plan.suite.name}: {len(reused)} of {len(batches)} batches from the score cache")
        seconds += sum(reused)
        tokens = self._generated_tokens
        return SuiteTiming(
            suite=plan.suite.name,
            documents=len(plan.documents),
            seconds=round(seconds, 4),
            seconds_per_document=round(seconds / len(plan.documents), 6),
            batches=len(batches),
            reused_batches=len(reused),
            longest_batch_seconds=round(max((batch.seconds for batch in batches), default=0.0), 4),
            generated_tokens=tokens,
            tokens_per_second=round(tokens / seconds, 3) if tokens else None,
        )

    def _keep(self, plan: _Plan, scored: Scored, timing: SuiteTiming) -> None:
        rows, generations, mark = suite_files(self._ctx.work_dir, plan.suite)
        if failed := _failures(scored):
            first = printable(next(iter(failed.values())))[:_SHOWN_CHARS]
            self._ctx.warn(
                f"suite {plan.suite.name}: {len(failed)} of {len(plan.documents)} documents failed; the first: {first}"
            )
        if scored.truncated:
            cut = f"{scored.truncated} of {len(plan.documents)} documents were cut"
            self._ctx.warn(f"suite {plan.suite.name}: {cut} to {self._config.model.max_length} tokens")
        write_rows(rows, scored.rows)
        write_rows(generations, scored.generations)
        finished = SuiteMark(
            settings_hash=plan.settings_hash, truncated=scored.truncated, timing=timing, corpus=scored.corpus
        )
        write_model(mark, finished)


def _failures(scored: Scored) -> dict[tuple[str, int], str]:
    """Why a document has no value or no answer, by its key; in the order of the rows."""
    failed: dict[tuple[str, int], str] = {}
    for row in scored.rows:
        if row.value is None:
            failed.setdefault((row.doc_hash, row.occurrence), row.error or "no reason given")
    for given in scored.generations:
        if given.finish_reason == "error":
            failed.setdefault((given.doc_hash, given.occurrence), given.output)
    return failed


def suite_files(work_dir: Path, suite: Suite) -> tuple[Path, Path, Path]:
    """Where a finished suite is kept: rows, generations, and the mark written last."""
    return (
        work_dir / f"{suite.name}.rows.jsonl",
        work_dir / f"{suite.name}.generations.jsonl",
        work_dir / f"{suite.name}.json",
    )


def is_finished(work_dir: Path, suite: Suite, expected_hash: str) -> bool:
    """Whether an earlier attempt scored the suite with the same settings and documents."""
    mark = suite_files(work_dir, suite)[2]
    return mark.is_file() and read_model(mark, SuiteMark).settings_hash == expected_hash


def _collect(plans: list[_Plan], ctx: Context) -> Summary:
    """Joins the suites' parts in the order of the configuration and sums them up."""
    rows: list[ScoreRow] = []
    generations: list[Generation] = []
    marks: list[SuiteMark] = []
    for plan in plans:
        rows_path, generations_path, mark = suite_files(ctx.work_dir, plan.suite)
        rows += read_rows(rows_path, ScoreRow)
        generations += read_rows(generations_path, Generation)
        marks.append(read_model(mark, SuiteMark))
    write_model(ctx.out_dir / "timing.json", ArmTiming(suites=tuple(mark.timing for mark in marks)))
    write_rows(ctx.out_dir / "samples.jsonl", rows)
    write_rows(ctx.out_dir / "generations.jsonl", generations)
    means = {
        f"{plan.suite.name}.{plan.suite.primary_metric}": mean
        for plan in plans
        if (mean := _mean(plan.suite, rows)) is not None
    }
    ctx.metric(len(plans), **means)
    derived = {
        f"{plan.suite.name}.{name}": total
        for plan in plans
        if plan.suite.kind == "perplexity"
        for name, total in perplexity.totals(row for row in rows if row.suite == plan.suite.name).items()
    }
    derived |= {
        f"{plan.suite.name}.{name}": value
        for plan, mark in zip(plans, marks, strict=True)
        for name, value in mark.corpus.items()
    }
    counts = {
        "suites": len(plans),
        "rows": len(rows),
        "generations": len(generations),
        "failed": sum(row.value is None for row in rows),
        "unparsed": sum(not row.parsed for row in rows),
        "truncated": sum(mark.truncated for mark in marks),
        "batches": sum(mark.timing.batches for mark in marks),
        "reused_batches": sum(mark.timing.reused_batches for mark in marks),
    }
    return {**counts, **{name: round(mean, 4) for name, mean in (derived | means).items()}}


def _mean(suite: Suite, rows: list[ScoreRow]) -> float | None:
    """Weighted mean of the primary metric under the first filter; None without rows. Failed documents have no value."""
    own = [
        row for row in rows if row.suite == suite.name and row.metric == suite.primary_metric and row.value is not None
    ]
    own = [row for row in own if row.filter == own[0].filter]
    weight = sum(row.weight for row in own)
    return sum(row.value * row.weight for row in own if row.value is not None) / weight if weight else None


def _arm_info(config: ScoreNode, models: ArmModels, plans: list[_Plan]) -> ArmInfo:
    arm, loaded = config.arm, models.own()
    assert arm.batch_size is not None, "the plan fills in batch_size"
    suites = {f"suite:{plan.suite.name}": plan.settings_hash for plan in plans}
    return ArmInfo(
        arm=arm.name,
        model=config.model.ref,
        model_fingerprint=loaded.fingerprint,
        adapter=arm.adapter,
        adapter_sha256=models.adapter_sha256,
        precision=loaded.precision,
        system_prompt=arm.system_prompt,
        conditions={**conditions(loaded), **suites},
        batch_size=arm.batch_size,
    )
