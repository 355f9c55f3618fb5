"""Finding what a run made: an artifact by node, an arm by `RUN:ARM`."""

from __future__ import annotations

import json

from workbench.core.config import LoopConfig
from workbench.core.errors import IncompleteError, UsageError
from workbench.core.paths import Project
from workbench.core.stage import Artifact
from workbench.core.suites import Suite
from workbench.core.yamlfile import load_model
from workbench.loop.artifacts import ArtifactStore
from workbench.loop.runs import run_directory


def run_artifact(project: Project, run: str, node: str) -> Artifact | None:
    """The artifact of a run's node, or None if it was not made yet; UsageError for an unknown run."""
    plan = json.loads((run_directory(project, run) / "plan.json").read_text(encoding="utf-8"))
    found = next((entry for entry in plan["nodes"] if entry["name"] == node), None)
    return None if found is None else ArtifactStore(project).find(found["stage"], found["fingerprint"])


def scored_arm(project: Project, reference: str) -> Artifact:
    """The scores behind `RUN:ARM`, or the deciding arm of `RUN`."""
    run, _, arm = reference.partition(":")
    if not arm:
        arm = _deciding_arm(project, run)
    artifact = run_artifact(project, run, f"score:{arm}")
    if artifact is None:
        arms = _arms(project, run)
        if arm not in arms:
            raise UsageError(f"run {run!r} has no arm {arm!r}; arms: {', '.join(arms)}", where=reference)
        raise IncompleteError("the arm was not scored yet", where=reference, next_step=f"workbench runs show {run}")
    return artifact


def suites_of(project: Project, reference: str) -> tuple[Suite, ...]:
    """The suites with the margins the run's comparison used."""
    run = reference.partition(":")[0]
    artifact = run_artifact(project, run, "compare")
    if artifact is None:
        raise IncompleteError("the run was not compared yet", where=run, next_step=f"workbench runs show {run}")
    return tuple(Suite.model_validate(suite) for suite in artifact.manifest.config["suites"])


def config_of(project: Project, reference: str) -> LoopConfig:
    """The configuration of the run behind `RUN:ARM` or `RUN`."""
    run = reference.partition(":")[0]
    return load_model(run_directory(project, run) / "config.yaml", LoopConfig)


def _deciding_arm(project: Project, run: str) -> str:
    return next(pair.after for pair in config_of(project, run).compare.pairs if pair.purpose == "candidate")


def _arms(project: Project, run: str) -> list[str]:
    return [arm.name for arm in config_of(project, run).score.arms]
