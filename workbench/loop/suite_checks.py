"""The project's suites, looked at before anything is scored: what is wrong, what it costs, what the base did before.

    check_suites(project, ["capitals"])
    -> [SuiteCheck(suite="capitals", documents=200, tokens_read=3_460, seconds=4.1, base=.83, chance=.5, findings=())]

No weights are loaded: the tokenizer counts, earlier runs of the project say how long a document takes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.compare.power import refuse_small_margins
from workbench.core.config import GateConfig, LoopConfig, ModelConfig
from workbench.core.errors import ExitCode, PrerequisiteError, UsageError, WorkbenchError
from workbench.core.parts import read_model
from workbench.core.paths import Project
from workbench.core.suites import Suite, SuiteDocument, read_documents, read_examples, suite_path
from workbench.core.timing import ArmTiming, SuiteTiming
from workbench.core.wire import Wire
from workbench.loop.artifacts import ArtifactStore
from workbench.loop.settings import PROJECT_FILE, load_config, load_suite, suites_dir
from workbench.score.cost import Tokens, expected_seconds, tokens_of
from workbench.score.standard_task import quiet as without_remarks
from workbench.score.suite_check import Finding, chance_of, findings, level_findings, provenance_findings
from workbench.score.tasks import check_suite

_BINARY = ("acc", "acc_norm", "acc_bytes", "exact_match")


class SuiteCheck(Wire):
    """What was found about one suite."""

    suite: str
    kind: str = ""
    role: str = ""
    gated: bool = False
    documents: int | None = None
    """None where a dataset makes them, or they cannot be read."""
    tokens_read: int | None = None
    """Of one arm, every choice counted with its prompt."""
    tokens_generated: int | None = None
    """Of one arm, at most."""
    seconds: float | None = None
    """Of one arm, from earlier runs; None if nothing like it was ever scored here."""
    base: float | None = None
    """What a base scored in the latest run."""
    chance: float | None = None
    findings: tuple[Finding, ...] = ()
    exit_code: int = 0


@dataclass(slots=True)
class _Seen:
    """A suite with what was read of it."""

    check: SuiteCheck
    suite: Suite | None = None
    documents: list[SuiteDocument] = field(default_factory=list)
    examples: list[dict[str, Any]] = field(default_factory=list)
    tokens: Tokens | None = None


@dataclass(frozen=True, slots=True)
class _Earlier:
    """What runs of the project left behind, for the configured model."""

    timings: dict[str, list[SuiteTiming]]
    bases: dict[str, float]
    """`SUITE.METRIC` of the latest base arm."""


def base_of(project: Project) -> ModelConfig:
    """The project's model, or the default one where there is no project; raises as `load_config`."""
    file = project.root / PROJECT_FILE
    return load_config(file).model if file.is_file() else ModelConfig()


def check_suites(project: Project, names: Sequence[str] | None = None, *, quick: bool = False) -> list[SuiteCheck]:
    """Every suite named, or all there are. `quick` reads settings and files only: neither lm-eval nor a tokenizer.

    What is wrong with a suite is among its findings; PrerequisiteError if the tokenizer cannot be had.
    """
    file = project.root / PROJECT_FILE
    config = load_config(file) if file.is_file() else None
    model = base_of(project)
    below = suites_dir(project)
    directory = project.root / below
    with nullcontext() if quick else without_remarks():
        seen = [
            _read(project.root, below, name, config, quick=quick)
            for name in names or sorted(path.stem for path in directory.glob("*.yaml"))
        ]
        if not quick:
            _count(seen, model, project.root)
    fingerprint = _fingerprint(model, project.root, seen)
    earlier = _earlier(project, model)
    return [_judged(one, seen, directory, fingerprint, earlier) for one in seen]


def _read(root: Path, below: str, name: str, config: LoopConfig | None, *, quick: bool) -> _Seen:
    try:
        suite = load_suite(root, below, name)
    except WorkbenchError as error:
        return _Seen(SuiteCheck(suite=name, findings=(_error(error),), exit_code=int(error.exit_code)))
    seen = _Seen(SuiteCheck(suite=name, kind=suite.kind, role=suite.role, gated=suite.gated), suite)
    try:
        check_suite(suite)
        if suite.documents.file is None:
            return seen
        path = suite_path(root / below, suite, {})
        seen.documents, seen.examples = read_documents(path, suite), read_examples(path, suite)
        found = findings(suite, seen.documents, seen.examples, quick=quick)
    except WorkbenchError as error:
        seen.check = seen.check.model_copy(update={"findings": (_error(error),), "exit_code": int(error.exit_code)})
        return seen
    alpha = (config.gate if config else GateConfig()).alpha
    small = refuse_small_margins([suite], {suite.name: len(seen.documents)}, alpha=alpha)
    found += [Finding(level="warning", text=sentence) for sentence in small]
    bad = any(one.level == "error" for one in found)
    seen.check = seen.check.model_copy(
        update={
            "documents": len(seen.documents),
            "chance": chance_of(seen.documents),
            "findings": tuple(found),
            "exit_code": int(ExitCode.USAGE) if bad else 0,
        }
    )
    return seen


def _error(error: WorkbenchError) -> Finding:
    return Finding(level="error", text=str(error))


def _fingerprint(model: ModelConfig, root: Path, seen: Iterable[_Seen]) -> str | None:
    """The base's, if a frozen suite asks for it and its weights are here."""
    from workbench.models.refs import model_fingerprint, resolve

    if not any(one.suite is not None and one.suite.kind == "regression" for one in seen):
        return None
    try:
        return model_fingerprint(resolve(model.ref, model.revision, root))
    except PrerequisiteError:
        return None


def _earlier(project: Project, model: ModelConfig) -> _Earlier:
    timings: dict[str, list[SuiteTiming]] = {}
    bases: dict[str, float] = {}
    artifacts = sorted(ArtifactStore(project).all(), key=lambda artifact: artifact.manifest.created_at)
    for artifact in artifacts:
        arm = artifact.manifest.config.get("arm")
        if not isinstance(arm, dict) or artifact.manifest.config.get("model", {}).get("ref") != model.ref:
            continue
        if (timing := artifact.part("timing.json")).is_file():
            for one in read_model(timing, ArmTiming).suites:
                timings.setdefault(one.suite, []).append(one)
        if arm.get("adapter") is None and arm.get("system_prompt") is None:
            numbers = artifact.manifest.summary.items()
            bases |= {name: value for name, value in numbers if "." in name and isinstance(value, float)}
    return _Earlier(timings, bases)


def _count(seen: Sequence[_Seen], model: ModelConfig, root: Path) -> None:
    from workbench.models.loading import load_tokenizer

    sound = [one for one in seen if one.documents and not one.check.exit_code]
    if not sound:
        return
    tokenizer = load_tokenizer(model, root)
    for one in sound:
        assert one.suite is not None
        try:
            one.tokens = tokens_of(one.suite, one.documents, one.examples, tokenizer, system_prompt=model.system_prompt)
        except UsageError as error:
            found = (*one.check.findings, _error(error))
            one.check = one.check.model_copy(update={"findings": found, "exit_code": int(error.exit_code)})


def _judged(
    one: _Seen, seen: Sequence[_Seen], directory: Path, fingerprint: str | None, earlier: _Earlier
) -> SuiteCheck:
    """The check with what only the project can say."""
    if one.suite is None or not one.documents or one.check.exit_code:
        return one.check
    suite, tokens = one.suite, one.tokens
    base = earlier.bases.get(f"{suite.name}.{suite.primary_metric}")
    found = list(one.check.findings)
    found += provenance_findings(suite, suite_path(directory, suite, {}), fingerprint)
    if base is not None and suite.primary_metric in _BINARY and suite.kind != "regression":
        found += level_findings(base, len(one.documents), one.check.chance)
    update: dict[str, Any] = {"findings": tuple(found), "base": base}
    if tokens is not None:
        others = [
            (other.tokens, timing)
            for other in seen
            if other.tokens is not None
            for timing in earlier.timings.get(other.check.suite, [])
        ]
        same = earlier.timings.get(suite.name, [])
        update |= {
            "tokens_read": tokens.read,
            "tokens_generated": tokens.generated,
            "seconds": expected_seconds(tokens, same, others),
        }
    return one.check.model_copy(update=update)
