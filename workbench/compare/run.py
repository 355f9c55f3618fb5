"""One run of the stage: reads the arms, compares the pairs, writes comparison.json and flips.jsonl."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from workbench.compare.flips import flips, pick_rows, wanted_rows, with_must_pass
from workbench.compare.gain import Settings
from workbench.compare.pairs import Arm, ComparedPair, compare_pair, other_filters, with_noise
from workbench.compare.rows import read_columns
from workbench.compare.suite import Policy
from workbench.core.errors import IncompleteError
from workbench.core.nodes import CompareNode
from workbench.core.parts import read_model, read_rows, write_model, write_rows
from workbench.core.records import Judgment, ScoreRow
from workbench.core.results import ArmInfo, Comparison, JudgeFindings, JudgeTrust, PairComparison
from workbench.core.stage import Artifact, Cancelled, Context, Done, Inputs, Outcome, Summary
from workbench.core.suites import Suite

_JUDGE = "score:judge"


def compare_run(config: CompareNode, inputs: Inputs, ctx: Context) -> Outcome:
    """As `stage.run`."""
    names = sorted({name for pair in config.compare.pairs for name in (pair.before, pair.after)})
    artifacts = {name: _artifact(inputs, name) for name in names}
    arms: dict[str, Arm] = {}
    for done, name in enumerate(names):
        if ctx.cancelled():
            return Cancelled()
        ctx.progress(done, len(names) + len(config.compare.pairs), "steps", f"reading {name}")
        arms[name] = read_arm(name, artifacts[name], config.suites)
    judgments, trust, findings = _judgments(inputs)
    policy = policy_of(config)
    judge_counts = trust is not None and trust.trusted
    compared: list[ComparedPair] = []
    for done, pair in enumerate(config.compare.pairs):
        if ctx.cancelled():
            return Cancelled()
        steps = (len(names) + done, len(names) + len(config.compare.pairs))
        ctx.progress(*steps, "steps", f"{pair.before} against {pair.after}")
        compared.append(compare_pair(pair, arms, config.suites, judgments, policy, judge_counts=judge_counts))
    wanted = wanted_rows(compared)
    texts = {
        name: pick_rows(read_rows(artifacts[name].part("samples.jsonl"), ScoreRow), wanted[name]) for name in names
    }
    results = [
        with_must_pass(result, found, texts[found.pair.before])
        for result, found in zip(_with_noise_floor(compared), compared, strict=True)
    ]
    comparison = Comparison(
        confidence=config.compare.confidence,
        pairs=tuple(results),
        judge=trust,
        judged=findings,
        not_run=(*config.not_run, *_not_compared(config, arms, results)),
    )
    _warn(comparison, ctx)
    flip_count = write_rows(ctx.out_dir / "flips.jsonl", flips(compared, texts))
    write_model(ctx.out_dir / "comparison.json", comparison)
    return Done(_summary(results, flip_count))


def read_arm(name: str, artifact: Artifact, suites: Sequence[Suite]) -> Arm:
    """The arm's columns and conditions; IncompleteError if a part is missing or broken."""
    rows = read_rows(artifact.part("samples.jsonl"), ScoreRow)
    return Arm(name, read_columns(rows, suites), read_model(artifact.part("arm.json"), ArmInfo))


def policy_of(config: CompareNode) -> Policy:
    """The limits and settings of a node. Documents in one arm alone are failed documents of the other."""
    return Policy(
        settings=Settings(config.compare.confidence, config.compare.bootstrap_resamples, config.compare.seed),
        alpha=config.alpha,
        max_failed_fraction=config.max_failed_fraction,
        max_unpaired_fraction=config.max_failed_fraction,
    )


def _artifact(inputs: Inputs, arm: str) -> Artifact:
    artifact = inputs.get(f"score:{arm}")
    if artifact is None:
        raise IncompleteError(f"arm {arm!r} was not scored", where="compare.pairs", next_step="add it under score.arms")
    return artifact


def _judgments(inputs: Inputs) -> tuple[list[Judgment], JudgeTrust | None, JudgeFindings | None]:
    artifact = inputs.get(_JUDGE)
    if artifact is None or not artifact.part("judgments.jsonl").is_file():
        return [], None, None
    trust, findings = artifact.part("trust.json"), artifact.part("findings.json")
    return (
        list(read_rows(artifact.part("judgments.jsonl"), Judgment)),
        read_model(trust, JudgeTrust) if trust.is_file() else None,
        read_model(findings, JudgeFindings) if findings.is_file() else None,
    )


def _with_noise_floor(compared: Sequence[ComparedPair]) -> list[PairComparison]:
    """Every pair with the A/A pair of the same arm before beside it; that pair itself has none."""
    floors: dict[str, ComparedPair] = {}
    for found in compared:
        if found.pair.purpose == "noise":
            floors.setdefault(found.pair.before, found)
    return [
        with_noise(found, floors[found.pair.before])
        if found.pair.purpose != "noise" and found.pair.before in floors
        else found.result
        for found in compared
    ]


def _not_compared(config: CompareNode, arms: dict[str, Arm], results: Sequence[PairComparison]) -> Iterator[str]:
    candidate = next(pair for pair in results if pair.purpose == "candidate")
    judged = {suite.suite for suite in candidate.suites}
    for suite in config.suites:
        if suite.kind == "judge" and suite.name not in judged:
            yield f"Suite {suite.name}: the answers of {candidate.before} and {candidate.after} were not judged."
    yield from other_filters(config.suites, arms[candidate.before])


def _warn(comparison: Comparison, ctx: Context) -> None:
    for pair in comparison.pairs:
        for obstacle in pair.obstacles:
            ctx.warn(f"{pair.before} against {pair.after}: {obstacle}")
        for suite in pair.suites:
            for obstacle in suite.obstacles:
                ctx.warn(f"{pair.before} against {pair.after}, suite {suite.suite}: {obstacle}")


def _summary(results: Sequence[PairComparison], flip_count: int) -> Summary:
    candidate = next(pair for pair in results if pair.purpose == "candidate")
    gains = {f"{suite.suite}.gain": round(suite.gain.value, 4) for suite in candidate.suites if suite.n}
    return {"pairs": len(results), "suites": len(candidate.suites), "flips": flip_count, **gains}
