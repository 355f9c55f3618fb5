"""Human decisions: appended, flushed to disk, never rewritten."""

from __future__ import annotations

import fcntl
import os

from workbench.core.paths import Project
from workbench.core.records import Decision
from workbench.loop.indexing import index_decisions


def append_decision(project: Project, decision: Decision) -> None:
    """Adds one line to .workbench/decisions/KIND.jsonl and tells the index."""
    project.decisions.mkdir(parents=True, exist_ok=True)
    with (project.decisions / f"{decision.kind}.jsonl").open("a", encoding="utf-8") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        stream.write(decision.model_dump_json() + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    index_decisions(project)
