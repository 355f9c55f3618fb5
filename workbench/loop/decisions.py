"""Human decisions: appended, flushed to disk, never rewritten; and what follows from them for the next run."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

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


def restored_records(project: Path) -> tuple[str, ...]:
    """Ids of the records that people took back after curation dropped them, sorted; of two decisions the later counts.

    `restore` takes a record back, `withdraw` takes the restoring back.
    """
    last = {decision.target: decision.verdict for decision in decisions(Project(project), "restore")}
    return tuple(sorted(target for target, verdict in last.items() if verdict == "restore"))


def decisions(project: Project, kind: str) -> Iterator[Decision]:
    """Decisions of one kind in the order in which they were made; a line torn by a crash is none."""
    path = project.decisions / f"{kind}.jsonl"
    if not path.is_file():
        return
    for line in path.read_bytes().splitlines():
        try:
            yield Decision.model_validate_json(line)
        except ValidationError:
            continue
