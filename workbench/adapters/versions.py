"""Registering: an adapter's files are copied, get the next version of their name, and a line in the log.

    register(project, Source(directory=artifact/"adapter", ...), "support", who="ada")   ->  support@1
    the same content once more                                                           ->  support@1, nothing written

Files of a run's artifact are hard links where the file system has them, so a version costs no disk while the run is
there, and nothing is lost when the run goes. A directory of the user's is copied: it may be written to again.
"""

from __future__ import annotations

import os
import shutil
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.adapters.log import append, locked
from workbench.adapters.registry import Registered, Registry, check_unchanged, read_registry, registry_of
from workbench.core.adapters import AdapterJudged, AdapterRegistered
from workbench.core.config import Precision
from workbench.core.errors import UsageError
from workbench.core.fingerprints import tree_sha256
from workbench.core.paths import Project
from workbench.models.refs import PICKLED


@dataclass(frozen=True, slots=True)
class Training:
    """What a registration says besides name, version and content."""

    directory: Path
    """With the adapter's files."""
    base: str
    base_fingerprint: str
    method: str
    precision: Precision | None = None
    seed: int | None = None
    train: dict[str, Any] = field(default_factory=dict)
    run: str | None = None
    config_hash: str | None = None
    data_sha256: str | None = None
    artifacts: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)


def register(
    project: Project, trained: Training, name: str, *, who: str, at: str, dry_run: bool = False
) -> tuple[Registered, bool]:
    """The version of `name` with this content, and whether it is new.

    UsageError for a directory with symbolic links or pickles."""
    files = _files(trained.directory)
    with nullcontext() if dry_run else locked(project):
        registry = read_registry(project)
        content = tree_sha256(trained.directory)
        if known := [one for one in registry.with_content(content) if one.name == name]:
            return known[-1], False
        version = max((one.version or 0 for one in registry.versions(name)), default=0) + 1
        line = AdapterRegistered(
            at=at,
            who=who,
            name=name,
            version=version,
            sha256=content,
            base=trained.base,
            base_fingerprint=trained.base_fingerprint,
            precision=trained.precision,
            method=trained.method,
            seed=trained.seed,
            train=trained.train,
            run=trained.run,
            config_hash=trained.config_hash,
            data_sha256=trained.data_sha256,
            artifacts=trained.artifacts,
            metrics=trained.metrics,
            source="" if trained.run else str(trained.directory),
        )
        registered = registry_of(project, (*registry.lines, line)).adapters[name, version]
        if not dry_run:
            _copy(trained.directory, files, registered.directory, link=trained.run is not None)
            check_unchanged(registered)
            append(project, line)
        return registered, True


def judge(project: Project, judgement: AdapterJudged) -> bool:
    """Adds a gate's verdict to the adapter it is about; False if the registry has this verdict already."""
    with locked(project):
        adapter = read_registry(project).get(f"{judgement.name}@{judgement.version}")
        if any(earlier.gate == judgement.gate for earlier in adapter.judged):
            return False
        append(project, judgement)
        return True


def kept_artifacts(registry: Registry) -> set[str]:
    """Fingerprints of the artifacts that adapters in use refer to: their data, curves, scores, verdicts and reports."""
    kept: set[str] = set()
    for adapter in registry.adapters.values():
        if not adapter.archived and adapter.registration is not None:
            kept |= set(adapter.registration.artifacts.values())
            for judgement in adapter.judged:
                kept |= set(judgement.artifacts.values())
    return kept


def collectable_versions(registry: Registry) -> list[Path]:
    """Directories of archived versions, which nothing loads any more."""
    archived = [adapter.directory for adapter in registry.adapters.values() if adapter.archived]
    return sorted(directory for directory in archived if directory.is_dir())


def _files(directory: Path) -> list[Path]:
    """All files of an adapter, relative to it."""
    found = sorted(path for path in directory.rglob("*") if path.is_symlink() or not path.is_dir())
    for path in found:
        if path.is_symlink() or not path.is_file():
            raise UsageError(
                f"{path.relative_to(directory)} is no regular file", where=str(directory), next_step="copy the file in"
            )
        if path.suffix in PICKLED:
            raise UsageError(
                f"{path.relative_to(directory)} is a pickle, which can run code and is not registered",
                where=str(directory),
                next_step="save the adapter as safetensors, or remove the file",
            )
    if not found:
        raise UsageError("the directory is empty", where=str(directory), next_step="give an adapter's directory")
    return [path.relative_to(directory) for path in found]


def _copy(source: Path, files: list[Path], target: Path, *, link: bool) -> None:
    """Copies aside and renames; what a killed writer left under either name is replaced: no line speaks of it."""
    aside = target.with_name(f".{target.name}.writing")
    for leftover in (aside, target):
        shutil.rmtree(leftover, ignore_errors=True)
    for file in files:
        (aside / file).parent.mkdir(parents=True, exist_ok=True)
        if not (link and _linked(source / file, aside / file)):
            shutil.copyfile(source / file, aside / file)
            _sync(aside / file)
    aside.rename(target)
    _sync(target.parent)


def _linked(source: Path, target: Path) -> bool:
    """Whether a hard link could be made: not across file systems, and not on all of them."""
    try:
        target.hardlink_to(source)
    except OSError:
        return False
    return True


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
