"""What people read, copied from its artifact to where they look: reports/RUN/."""

from __future__ import annotations

from pathlib import Path

from workbench.core.parts import write_bytes
from workbench.core.paths import Project
from workbench.core.stage import Artifact


def publish(project: Project, run: str, artifact: Artifact, page: str) -> Path:
    """Copies the artifact's parts; returns the one that is to be opened, `page`."""
    for part in artifact.manifest.parts:
        write_bytes(project.reports / run / part.path, artifact.part(part.path).read_bytes())
    return project.reports / run / page
