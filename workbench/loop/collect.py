"""Disk: what nothing refers to any more, and how much it weighs."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from workbench.adapters.registry import read_registry
from workbench.adapters.versions import collectable_versions, kept_artifacts
from workbench.core.paths import Project
from workbench.loop.runs import is_locked

_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Garbage:
    """Directories that neither a run nor an adapter in use refers to, and scores nobody has asked for in a while."""

    paths: tuple[Path, ...]
    size_bytes: int


def find_garbage(project: Project, unused_scores_days: float | None = None) -> Garbage:
    """Artifacts and scratch that neither a run's plan nor an adapter in use names, and the files of archived adapters;
    where told so, also cached scores of arms that were not scored for so many days.

    Nothing of a project with a running job is garbage. IncompleteError if the adapters' log cannot be read."""
    if any(is_locked(path) for path in project.runs.glob("*") if path.is_dir()):
        return Garbage((), 0)
    registry = read_registry(project)
    kept = _referenced(project) | kept_artifacts(registry)
    found = [path for path in sorted(project.artifacts.glob("*/*")) if path.name not in kept]
    found += [path for path in sorted(project.work.glob("*/*")) if path.name.removesuffix(".lock") not in kept]
    found += collectable_versions(registry)
    if unused_scores_days is not None:
        limit = time.time() - unused_scores_days * _DAY_S
        found += [path for path in sorted(project.scores.glob("*.jsonl")) if path.stat().st_mtime <= limit]
    return Garbage(tuple(found), sum(_size(path) for path in found))


def remove(garbage: Garbage) -> None:
    """Deletes it."""
    for path in garbage.paths:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _referenced(project: Project) -> set[str]:
    names: set[str] = set()
    for plan in project.runs.glob("*/plan.json"):
        nodes = json.loads(plan.read_text(encoding="utf-8"))["nodes"]
        names |= {node["fingerprint"] for node in nodes}
    return names


def _size(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
