"""From the artifacts of a run to one `ReportModel`. Reads files alone: no database, no network, no clock."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from statistics import fmean

from workbench.core.errors import IncompleteError
from workbench.core.fingerprints import fingerprint
from workbench.core.nodes import CompareNode, ReportNode, TrainNode
from workbench.core.objectives import OBJECTIVES
from workbench.core.parts import read_model, read_rows
from workbench.core.records import CurvePoint, TrainingSample
from workbench.core.results import ArmInfo, Comparison, JudgeTrust, PairComparison, TrainSummary, Verdict
from workbench.core.stage import Artifact, Inputs
from workbench.report import examples, gaps, intake
from workbench.report.deciding import deciding_suite
from workbench.report.excerpts import excerpt, without_credentials
from workbench.report.model import Measure, NodeFacts, ReportModel, SampledPrompt, Training
from workbench.report.timing import judge_cost, scoring_times

_SAMPLE_CHARS = 600


def build(config: ReportNode, inputs: Inputs, *, target: str, written_at: str, seed: int) -> ReportModel:
    """The report of a run, from its artifacts by node name.

    `target` is what a sign-off will refer to, `written_at` UTC in ISO 8601. Raises IncompleteError if `compare` or
    `gate` is missing, or a part cannot be read; every other node may be absent, and the report says so.
    """
    compare, gate = _required(inputs, "compare"), _required(inputs, "gate")
    comparison = read_model(compare.part("comparison.json"), Comparison)
    verdict = read_model(gate.part("verdict.json"), Verdict)
    pair = deciding_pair(comparison, config.before, config.after)
    training = _training(inputs.get("train"))
    judge = _judge(comparison, inputs.get("score:judge"))
    comparison = comparison.model_copy(update={"judge": judge})
    datasets = intake.intakes(inputs)
    mix = intake.mixture(inputs)
    shown_flips = examples.flips(config, compare)
    pairs = examples.generations(config, inputs)
    return ReportModel(
        title=config.report.title,
        name=config.name,
        command=without_credentials(config.command),
        written_at=written_at,
        target=target,
        config_fingerprint=fingerprint({name: artifact.manifest.config for name, artifact in inputs.items()}),
        workbench_version=_version(),
        seed=seed,
        before=config.before,
        after=config.after,
        verdict=verdict,
        comparison=comparison,
        deciding=deciding_suite(verdict, pair),
        alpha=CompareNode.model_validate(compare.manifest.config).alpha,
        alarms=tuple(gaps.alarms(verdict, training.summary if training else None)),
        arms=_arms(inputs),
        flips=shown_flips,
        generations=pairs,
        generations_suite=pairs[0].suite if pairs else None,
        intake=datasets,
        curation=intake.curation(inputs),
        synthesis=intake.synthesis(inputs),
        mix=mix,
        training=training,
        judge_counts=judge is not None and judge.trusted and _has_judge_suite(pair),
        nodes=tuple(_facts(name, artifact) for name, artifact in inputs.items()),
        times=scoring_times(inputs),
        price_per_hour=config.price_per_hour,
        judge_cost=judge_cost(judge, config.judge_prices),
        not_run=(*comparison.not_run, *gaps.missing_parts(inputs)),
        gaps=tuple(gaps.gaps(verdict, pair, judge, datasets, mix, shown_flips)),
    )


def target_of(config: ReportNode, inputs: Inputs, node_fingerprint: str) -> str:
    """What a sign-off refers to: the node's fingerprint, or where there is none, one of the same contents."""
    contents = {name: artifact.manifest.fingerprint for name, artifact in inputs.items()}
    return node_fingerprint or fingerprint([config.model_dump(mode="json"), contents])


def deciding_pair(comparison: Comparison, before: str, after: str) -> PairComparison | None:
    """The compared pair with these arms; None if it was not compared."""
    return next((pair for pair in comparison.pairs if (pair.before, pair.after) == (before, after)), None)


def _required(inputs: Inputs, node: str) -> Artifact:
    artifact = inputs.get(node)
    if artifact is None:
        raise IncompleteError(f"the report needs the artifact of {node!r}", next_step="run the loop up to its gate")
    return artifact


def _training(artifact: Artifact | None) -> Training | None:
    if artifact is None:
        return None
    config = TrainNode.model_validate(artifact.manifest.config)
    summary = read_model(artifact.part("training.json"), TrainSummary)
    settings = config.train.model_dump(mode="json", exclude_none=True)
    for other in set(OBJECTIVES) - {config.train.objective}:
        settings.pop(other, None)
    curve = tuple(read_rows(artifact.part("curve.jsonl"), CurvePoint))
    settings["max_length"] = config.train.max_length or config.model.max_length
    settings["seed"] = config.seed
    settings["max_steps"] = summary.steps
    used = {name: getattr(summary, name) for name in ("learning_rate", "dropout", "warmup_steps")}
    settings |= {name: value for name, value in used.items() if value is not None}
    return Training(
        summary=summary.model_copy(update={"base": without_credentials(summary.base)}),
        curve=curve,
        measures=_measures(curve),
        hyperparameters={name: str(value) for name, value in settings.items()},
        samples=_sampled(artifact.part("samples.jsonl")),
    )


def _measures(curve: Sequence[CurvePoint]) -> tuple[Measure, ...]:
    found: dict[str, list[float]] = {}
    for point in curve:
        for name, value in point.measures.items():
            found.setdefault(name, []).append(value)
    tenths = {name: max(1, len(values) // 10) for name, values in found.items()}
    return tuple(
        Measure(name=name, first=fmean(values[: tenths[name]]), last=fmean(values[-tenths[name] :]))
        for name, values in found.items()
    )


def _sampled(part: Path) -> tuple[SampledPrompt, ...]:
    """The first and the last answer to each prompt, in their order; none where the training took no samples."""
    by_record: dict[str, list[TrainingSample]] = {}
    for sample in read_rows(part, TrainingSample) if part.is_file() else ():
        by_record.setdefault(sample.record, []).append(sample)
    return tuple(
        SampledPrompt(
            prompt=excerpt(first.prompt, _SAMPLE_CHARS),
            reference=excerpt(first.reference, _SAMPLE_CHARS),
            held_back=first.held_back,
            first_step=first.step,
            first=excerpt(first.answer, _SAMPLE_CHARS),
            last_step=last.step,
            last=excerpt(last.answer, _SAMPLE_CHARS),
        )
        for first, *_, last in ([*found, found[-1]] for found in by_record.values())
    )


def _judge(comparison: Comparison, artifact: Artifact | None) -> JudgeTrust | None:
    trust = comparison.judge
    if trust is None and artifact is not None:
        trust = read_model(artifact.part("trust.json"), JudgeTrust)
    return trust and trust.model_copy(update={"judge": without_credentials(trust.judge)})


def _has_judge_suite(pair: PairComparison | None) -> bool:
    return pair is not None and any(row.kind == "judge" and row.gated for row in pair.suites)


def _arms(inputs: Inputs) -> tuple[ArmInfo, ...]:
    scored = [artifact for name, artifact in inputs.items() if name.startswith("score:") and name != "score:judge"]
    return tuple(read_model(artifact.part("arm.json"), ArmInfo) for artifact in scored)


def _facts(name: str, artifact: Artifact) -> NodeFacts:
    manifest = artifact.manifest
    return NodeFacts(
        node=name,
        stage=manifest.stage,
        stage_version=manifest.stage_version,
        fingerprint=manifest.fingerprint,
        created_at=manifest.created_at,
        seconds=manifest.seconds,
        config=without_credentials(manifest.config),
        external=manifest.external,
        libraries=manifest.libraries,
        parts=manifest.parts,
    )


def _version() -> str:
    try:
        return metadata.version("workbench-ft")
    except metadata.PackageNotFoundError:
        return "not installed"
