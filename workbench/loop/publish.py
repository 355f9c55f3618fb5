"""The report artifact, copied to where people look: reports/RUN/."""

from __future__ import annotations

from pathlib import Path

from workbench.core.parts import write_bytes
from workbench.core.paths import Project
from workbench.core.stage import Artifact


def publish_report(project: Project, run: str, artifact: Artifact | None) -> Path | None:
    """Copies the report's parts; returns the HTML file, or None if the run has no report."""
    if artifact is None:
        return None
    for part in artifact.manifest.parts:
        write_bytes(project.reports / run / part.path, artifact.part(part.path).read_bytes())
    return project.reports / run / "report.html"
