"""The end of a run: its adapter gets a version, and the gate's verdict is written to the adapter it is about.

    run support-20261122-101500: mix > train > score:base@nf4, score:candidate > compare > gate
    ->  registered  support@3        the adapter of the node `train`, under the name of the run's configuration
        judged      support@3        because the deciding pair's second arm scored this very content

A verdict goes by content: a later run that scores `adapter: support@3` judges the same version. Nodes that train
something else (an ablation's or a sweep's arms) are registered by hand: `workbench adapters register RUN:NODE`.
"""

from __future__ import annotations

from pathlib import Path

from workbench.adapters.registry import Registered, read_registry
from workbench.adapters.versions import Training, judge, register
from workbench.core.adapters import AdapterJudged, SuiteResult
from workbench.core.config import LoopConfig, ModelConfig
from workbench.core.errors import IncompleteError, UsageError
from workbench.core.fingerprints import fingerprint
from workbench.core.parts import read_model
from workbench.core.paths import Project
from workbench.core.results import (
    ArmInfo,
    Comparison,
    PairComparison,
    PairVerdict,
    SuiteComparison,
    TrainSummary,
    Verdict,
)
from workbench.core.stage import Artifact
from workbench.core.who import user_name
from workbench.loop.scored import config_of, run_artifact
from workbench.models.adapter_files import CONFIG, NOTE, TrainedOn, check_adapter_fits, read_note
from workbench.models.refs import model_fingerprint, resolve

TRAIN = "train"
"""The node whose adapter is registered when its run ends."""
ADAPTER = "adapter"
"""The part with the adapter."""


def register_run(
    project: Project, run: str, config: LoopConfig, artifacts: dict[str, Artifact], at: str
) -> tuple[str, ...]:
    """Registers the adapter of a finished run and its verdict; says what was new, for people.

    Raises IncompleteError for a damaged log, and OSError as the file system does."""
    said: list[str] = []
    if TRAIN in artifacts:
        registered, new = register_node(project, run, config, artifacts, TRAIN, config.name, at=at)
        if new:
            said.append(f"registered as {registered.reference}")
    for judgement in judgements_of(project, run, artifacts, at):
        if judge(project, judgement):
            said.append(f"the gate's verdict on {judgement.name}@{judgement.version} is kept: {judgement.state}")
    return tuple(said)


def register_node(
    project: Project,
    run: str,
    config: LoopConfig,
    artifacts: dict[str, Artifact],
    node: str,
    name: str,
    *,
    at: str,
    who: str | None = None,
    dry_run: bool = False,
) -> tuple[Registered, bool]:
    """Registers the adapter of one training node as the next version of `name`; the version, and whether it is new."""
    artifact = artifacts[node]
    directory = artifact.part(ADAPTER)
    note = _note(directory)
    mixed = next((artifacts[name] for name in artifacts if _is_input(artifacts[name], artifact)), None)
    trained = Training(
        directory=directory,
        base=note.base,
        base_fingerprint=note.base_fingerprint,
        method=note.method,
        precision=note.precision,
        seed=note.seed,
        train=note.train,
        run=run,
        config_hash=fingerprint(config.model_dump(mode="json")),
        data_sha256=None if mixed is None else _sha256_of(mixed, "train.jsonl"),
        artifacts={name: each.manifest.fingerprint for name, each in artifacts.items()},
        metrics=_metrics(artifact.part("training.json")),
    )
    return register(project, trained, name, who=who or user_name(), at=at, dry_run=dry_run)


def register_reference(
    project: Project,
    reference: str,
    name: str | None,
    base: str | None,
    *,
    at: str,
    who: str | None = None,
    dry_run: bool = False,
) -> tuple[Registered, bool]:
    """Registers `RUN:NODE`, `RUN`, or a directory, with the run's verdict on it; the version, and whether it is new.

    UsageError for what does not exist, IncompleteError for an adapter of another base or one that says none."""
    run, _, node = reference.partition(":")
    if (project.runs / run / "plan.json").is_file():
        node = node or TRAIN
        config = config_of(project, run)
        artifacts = run_artifacts(project, run)
        if node not in artifacts or not artifacts[node].part(ADAPTER).is_dir():
            others = ", ".join(name for name, each in artifacts.items() if each.part(ADAPTER).is_dir()) or "none"
            raise UsageError(f"run {run!r} has no adapter from {node!r}; nodes with one: {others}", where=reference)
        name = name or config.name
        found, new = register_node(project, run, config, artifacts, node, name, at=at, who=who, dry_run=dry_run)
        if dry_run:
            return found, new
        for judgement in judgements_of(project, run, artifacts, at):
            judge(project, judgement)
        return read_registry(project).get(found.reference), new
    directory = (project.root / Path(reference).expanduser()).resolve()
    if not directory.is_dir():
        raise UsageError(
            "is neither a run, RUN:NODE, nor a directory", where=reference, next_step="workbench runs list"
        )
    if name is None:
        raise UsageError("a directory needs a name to be registered under", where=reference, next_step="--name NAME")
    trained = _described(project, directory, base)
    return register(project, trained, name, who=who or user_name(), at=at, dry_run=dry_run)


def run_artifacts(project: Project, run: str) -> dict[str, Artifact]:
    """The artifacts a run has, by node."""
    from workbench.loop.runs import read_run

    found = {node.name: run_artifact(project, run, node.name) for node in read_run(project, run).nodes}
    return {name: artifact for name, artifact in found.items() if artifact is not None}


def judgements_of(project: Project, run: str, artifacts: dict[str, Artifact], at: str) -> list[AdapterJudged]:
    """The verdict of a run on what its second arm scored, for each name that is registered under; none without a
    verdict or an adapter."""
    if "gate" not in artifacts or "compare" not in artifacts:
        return []
    verdict = read_model(artifacts["gate"].part("verdict.json"), Verdict)
    scored = artifacts.get(f"score:{verdict.decisive.after}")
    content = None if scored is None else read_model(scored.part("arm.json"), ArmInfo).adapter_sha256
    adapters = () if content is None else read_registry(project).with_content(content)
    comparison = read_model(artifacts["compare"].part("comparison.json"), Comparison)
    return [
        AdapterJudged(
            at=at,
            who=user_name(),
            name=adapter.name,
            version=adapter.version,
            sha256=adapter.sha256,
            run=run,
            gate=artifacts["gate"].manifest.fingerprint,
            state=verdict.state,
            headline=verdict.headline,
            before=verdict.decisive.before,
            suites=_suites(verdict.decisive, comparison),
            artifacts={name: each.manifest.fingerprint for name, each in artifacts.items()},
        )
        for adapter in adapters
        if adapter.version is not None
    ]


def _suites(verdict: PairVerdict, comparison: Comparison) -> tuple[SuiteResult, ...]:
    pair = next(
        (pair for pair in comparison.pairs if (pair.before, pair.after) == (verdict.before, verdict.after)), None
    )
    results = []
    for suite in verdict.suites:
        measured = _measured(pair, suite.suite, suite.metric)
        results.append(
            SuiteResult(
                suite=suite.suite,
                metric=suite.metric,
                role=suite.role,
                gated=suite.gated,
                state=suite.state,
                unit=None if measured is None else measured.unit,
                gain=None if measured is None else measured.gain.value,
                low=None if measured is None else measured.gain.low,
                high=None if measured is None else measured.gain.high,
                forgotten=None if measured is None else measured.forgotten,
                learned=None if measured is None else measured.learned,
            )
        )
    return tuple(results)


def _measured(pair: PairComparison | None, suite: str, metric: str) -> SuiteComparison | None:
    """The numbers of a suite, or None where it could not be compared."""
    suites = () if pair is None else pair.suites
    return next((one for one in suites if (one.suite, one.metric) == (suite, metric) and not one.obstacles), None)


def _is_input(mixed: Artifact, trained: Artifact) -> bool:
    """Whether an artifact is the training set of another."""
    return mixed.manifest.stage == "mix" and mixed.manifest.fingerprint in trained.manifest.inputs.values()


def _sha256_of(artifact: Artifact, part: str) -> str | None:
    return next((one.sha256 for one in artifact.manifest.parts if one.path == part), None)


def _metrics(training: Path) -> dict[str, float]:
    """The numbers of a training's summary: losses, steps, tokens, parameters, seconds."""
    summary = read_model(training, TrainSummary).model_dump()
    numbers = {key: value for key, value in summary.items() if isinstance(value, int | float)}
    return {key: float(value) for key, value in numbers.items() if not isinstance(value, bool)}


def _note(adapter: Path) -> TrainedOn:
    note = read_note(adapter)
    if note is None:
        raise IncompleteError(f"{NOTE} is missing", where=str(adapter), next_step="train the adapter again")
    return note


def _described(project: Project, directory: Path, base: str | None) -> Training:
    """What a directory says of itself, its base checked: by the note of `workbench train`, or by --base."""
    note = read_note(directory)
    ref = base or (None if note is None else note.base)
    if ref is None:
        raise IncompleteError(
            f"the directory does not say which base its adapter is for: {NOTE} is missing",
            where=str(directory),
            next_step="--base MODEL",
        )
    check_adapter_fits(directory, ModelConfig(ref=ref), project.root)
    found = model_fingerprint(resolve(ref, None, project.root))
    if note is not None:
        return Training(directory, ref, found, note.method, note.precision, note.seed, note.train)
    return Training(directory, ref, found, _peft_type(directory))


def _peft_type(directory: Path) -> str:
    """`lora` of a configuration written by PEFT."""
    import json

    try:
        settings = json.loads((directory / CONFIG).read_text(encoding="utf-8"))
        return str(settings["peft_type"]).lower()
    except (ValueError, KeyError, TypeError):
        raise IncompleteError(
            "is no adapter configuration of PEFT: `peft_type` is missing", where=str(directory / CONFIG)
        ) from None
