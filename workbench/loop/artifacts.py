"""Artifacts on disk: found by fingerprint, written aside, committed by one rename.

    .workbench/artifacts/STAGE/FINGERPRINT/{parts..., manifest.json}

A directory with that name is complete by construction: parts and manifest are written under another name first.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from workbench.core.errors import UsageError
from workbench.core.parts import describe_parts, read_model, write_model
from workbench.core.paths import Project
from workbench.core.records import SCHEMA_VERSION, Manifest
from workbench.core.stage import Artifact


@dataclass(frozen=True, slots=True)
class ArtifactStore:
    """The artifacts of one project."""

    project: Project

    def find(self, stage: str, fingerprint: str) -> Artifact | None:
        """The committed artifact, or None."""
        directory = self.project.artifacts / stage / fingerprint
        if not (directory / "manifest.json").is_file():
            return None
        manifest = read_model(directory / "manifest.json", Manifest)
        if manifest.schema_version > SCHEMA_VERSION:
            raise UsageError(
                f"artifact was written by a newer version (schema {manifest.schema_version})",
                where=str(directory),
                next_step="upgrade workbench, or remove the directory to make it again",
            )
        return Artifact(directory, manifest)

    def all(self) -> Iterator[Artifact]:
        """Every committed artifact, in path order."""
        for manifest in sorted(self.project.artifacts.glob("*/*/manifest.json")):
            if artifact := self.find(manifest.parent.parent.name, manifest.parent.name):
                yield artifact

    def scratch(self, stage: str, fingerprint: str) -> Path:
        """The node's resumable work directory."""
        directory = self.project.work / stage / fingerprint
        directory.mkdir(parents=True, exist_ok=True)
        return directory

    def fresh_output(self, stage: str, fingerprint: str) -> Path:
        """An empty directory to write parts into; what a killed writer left there is removed."""
        directory = self.project.artifacts / stage / f".{fingerprint}.writing"
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        return directory

    def commit(self, output: Path, manifest: Manifest) -> Artifact:
        """Writes the manifest, renames the directory into place and drops the scratch."""
        complete = manifest.model_copy(update={"parts": describe_parts(output)})
        write_model(output / "manifest.json", complete)
        final = self.project.artifacts / manifest.stage / manifest.fingerprint
        output.rename(final)
        _sync_directory(final.parent)
        shutil.rmtree(self.project.work / manifest.stage / manifest.fingerprint, ignore_errors=True)
        return Artifact(final, complete)

    @contextmanager
    def exclusive(self, stage: str, fingerprint: str, cancelled: Callable[[], bool]) -> Iterator[bool]:
        """Holds the node's lock, so that two runs never make one artifact; gives False if cancelled while waiting."""
        path = self.project.work / stage / f"{fingerprint}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if cancelled():
                        yield False
                        return
                    time.sleep(0.2)
            yield True


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
