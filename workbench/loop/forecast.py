"""What a plan will cost: trainings and scorings that are not in the cache, and how long such took before.

12 trainings of 60 steps, one like them took 200 s   ->   Forecast(trainings=12, scorings=13, seconds=2985.0)
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from typing import Any

from workbench.core.paths import Project
from workbench.core.records import Manifest
from workbench.loop.artifacts import ArtifactStore
from workbench.loop.plan import Node, Plan

COSTLY = ("train", "score")
"""Stages that take most of the time."""
_VARIES = frozenset({"seed", "arm"})
"""Settings that hardly change how long a node takes."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is left to be done."""

    trainings: int
    scorings: int
    seconds: float | None
    """Of the two together; None if no node like them was ever run in this project."""


def forecast(plan: Plan, selected: Set[str], project: Project) -> Forecast:
    """Counts the selected nodes that are not cached; each is expected to take the mean time of earlier ones like it."""
    store = ArtifactStore(project)
    left = [
        node
        for node in plan.nodes
        if node.stage in COSTLY and node.name in selected and store.find(node.stage, node.fingerprint) is None
    ]
    earlier = [artifact.manifest for artifact in store.all() if artifact.manifest.stage in COSTLY] if left else []
    expected = [expected_s(node, earlier) for node in left]
    known = [seconds for seconds in expected if seconds is not None]
    return Forecast(
        trainings=sum(node.stage == "train" for node in left),
        scorings=sum(node.stage == "score" for node in left),
        seconds=sum(known) if len(known) == len(left) else None,
    )


def expected_s(node: Node, earlier: list[Manifest]) -> float | None:
    """Mean time of earlier nodes with the same settings but for seed and arm; None if there is none."""
    alike = _kind(node.config.model_dump(mode="json"))
    took = [one.seconds for one in earlier if one.stage == node.stage and _kind(one.config) == alike]
    return sum(took) / len(took) if took else None


def _kind(config: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in _VARIES}
