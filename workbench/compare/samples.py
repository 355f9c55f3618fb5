"""Two scored arms compared directly, of one run or of two: no plan, no stage.

compare_arms(artifact of base@nf4, artifact of candidate, suites)  ->  Comparison, flips
compare_files(Path("a/samples.jsonl"), Path("b/samples.jsonl"))    ->  the same, from files alone
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from pydantic import ValidationError

from workbench.core.config import CompareConfig, GateConfig, PairConfig
from workbench.core.errors import IncompleteError, UsageError
from workbench.core.parts import read_model, read_rows
from workbench.core.records import Flip, ScoreRow
from workbench.core.results import ArmInfo, Comparison
from workbench.core.stage import Artifact
from workbench.core.suites import Documents, Suite, SuiteKind

if TYPE_CHECKING:
    from workbench.compare.pairs import Arm

_KINDS_BY_METRIC: dict[str, SuiteKind] = {
    "nll": "perplexity",
    "bits_per_byte": "perplexity",
    "kl": "kl",
    "pass": "safety",
}


def compare_arms(
    before: Artifact,
    after: Artifact,
    suites: Sequence[Suite] = (),
    *,
    compare: CompareConfig | None = None,
    gate: GateConfig | None = None,
) -> tuple[Comparison, list[Flip]]:
    """Compares two artifacts of `score`. Raises as `compare_files`."""
    return compare_files(before.path, after.path, suites, compare=compare, gate=gate)


def compare_files(
    before: Path,
    after: Path,
    suites: Sequence[Suite] = (),
    *,
    compare: CompareConfig | None = None,
    gate: GateConfig | None = None,
) -> tuple[Comparison, list[Flip]]:
    """Compares two samples files, or directories that hold one, as candidate against base.

    Conditions are checked where an arm.json lies beside both files; otherwise `not_run` says that they are unknown.
    Documents in one arm alone are counted and left out. Without `suites`, they are made up from the rows (first metric
    by name, role general, default margin, gated). Judge suites are left out: judgments belong to one pair.
    UsageError if there is no such file, IncompleteError if a row is broken or the arms share no suite.
    """
    from workbench.compare.flips import flips, pick_rows, wanted_rows  # numpy: 0.1 s
    from workbench.compare.gain import Settings
    from workbench.compare.pairs import compare_pair, other_filters
    from workbench.compare.suite import Policy

    compare, gate = compare or CompareConfig(), gate or GateConfig()
    files = {"before": _samples_file(before), "after": _samples_file(after)}
    scored = tuple(suite for suite in suites or suites_in(files["before"]) if suite.kind != "judge")
    arms = _read_arms(files, scored)
    shared = tuple(suite for suite in scored if all(_has(arm, suite.name) for arm in arms.values()))
    if not shared:
        raise IncompleteError("the arms share no suite", where=f"{before} and {after}")
    (before_name, before_arm), (after_name, _) = arms.items()
    policy = Policy(
        settings=Settings(compare.confidence, compare.bootstrap_resamples, compare.seed),
        alpha=gate.alpha,
        max_failed_fraction=gate.max_failed_fraction,
        max_unpaired_fraction=1.0,
    )
    pair = PairConfig(before=before_name, after=after_name, purpose="candidate")
    compared = compare_pair(pair, arms, shared, (), policy, judge_counts=False)
    wanted = wanted_rows([compared])
    texts = {
        name: pick_rows(read_rows(path, ScoreRow), wanted[name])
        for name, path in zip(arms, files.values(), strict=True)
    }
    gaps = [f"Suite {suite.name}: not scored in both arms." for suite in suites if suite not in shared]
    if any(arm.info is None for arm in arms.values()):
        gaps.append("Conditions: an arm.json is missing, so template, precision and batch rule may differ.")
    comparison = Comparison(
        confidence=compare.confidence,
        pairs=(compared.result,),
        not_run=(*gaps, *other_filters(shared, before_arm)),
    )
    return comparison, list(flips([compared], texts))


def suites_in(samples: Path) -> tuple[Suite, ...]:
    """Suites as far as rows tell them: name, metric, kind. UsageError for a name that no suite can have."""
    metrics: dict[str, set[str]] = {}
    for row in read_rows(samples, ScoreRow):
        metrics.setdefault(row.suite, set()).add(row.metric)
    return tuple(_suite(name, min(found), samples) for name, found in sorted(metrics.items()))


def _suite(name: str, metric: str, samples: Path) -> Suite:
    kind = _KINDS_BY_METRIC.get(metric, "lm_eval")
    assert kind in get_args(SuiteKind)
    documents = Documents(file=samples.name)
    try:
        return Suite(name=name, kind=kind, role="general", documents=documents, primary_metric=metric)
    except ValidationError:
        raise UsageError(f"{name!r} cannot be the name of a suite", where=str(samples)) from None


def _samples_file(path: Path) -> Path:
    file = path / "samples.jsonl" if path.is_dir() else path
    if not file.is_file():
        raise UsageError("there are no scores here", where=str(file), next_step="give a samples.jsonl or its directory")
    return file


def _read_arms(files: dict[str, Path], suites: Sequence[Suite]) -> dict[str, Arm]:
    """Both arms under names that differ, in the order before, after."""
    from workbench.compare.pairs import Arm  # numpy: 0.1 s
    from workbench.compare.rows import read_columns

    infos = [_info(path.with_name("arm.json")) for path in files.values()]
    plain = [info.arm if info else path.stem for info, path in zip(infos, files.values(), strict=True)]
    repeated = Counter(plain)
    arms = {}
    for role, path, info, name in zip(files, files.values(), infos, plain, strict=True):
        label = f"{name} ({role})" if repeated[name] > 1 else name
        columns = read_columns(read_rows(path, ScoreRow), suites)
        arms[label] = Arm(label, columns, None if info is None else info.model_copy(update={"arm": label}))
    return arms


def _info(path: Path) -> ArmInfo | None:
    return read_model(path, ArmInfo) if path.is_file() else None


def _has(arm: Arm, suite: str) -> bool:
    return any(owner == suite for owner, _ in arm.columns)
