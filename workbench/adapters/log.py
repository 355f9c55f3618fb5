"""The registry's log on disk: appended under a lock, flushed, never rewritten.

    with locked(project):
        lines = read_log(project)
        append(project, AdapterPromoted(...))

A line torn by a killed writer was never said: readers leave it out, the next writer cuts it off.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from workbench.core.adapters import ADAPTER_LINE, AdapterLine
from workbench.core.errors import IncompleteError
from workbench.core.paths import Project
from workbench.core.records import SCHEMA_VERSION


def log_path(project: Project) -> Path:
    """The file with the lines."""
    return project.adapters / "log.jsonl"


@contextmanager
def locked(project: Project) -> Iterator[None]:
    """Held while the registry changes, for the time of a copy at most; a second process waits."""
    project.adapters.mkdir(parents=True, exist_ok=True)
    with (project.adapters / "lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def read_log(project: Project) -> list[AdapterLine]:
    """All lines in order. IncompleteError names a complete line that cannot be read: history is not skipped."""
    path = log_path(project)
    if not path.is_file():
        return []
    complete, _, _ = path.read_bytes().rpartition(b"\n")
    return [_parsed(line, f"{path}:{number}") for number, line in enumerate(complete.splitlines(), start=1)]


def append(project: Project, line: AdapterLine) -> None:
    """Adds one line and forces it to disk; the caller holds the lock."""
    with log_path(project).open("ab+") as stream:
        stream.seek(0)
        stream.truncate(stream.read().rfind(b"\n") + 1)
        stream.write(line.model_dump_json().encode("utf-8") + b"\n")
        stream.flush()
        os.fsync(stream.fileno())


def _parsed(line: bytes, where: str) -> AdapterLine:
    try:
        parsed = ADAPTER_LINE.validate_json(line)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(str(piece) for piece in problem["loc"])
        raise IncompleteError(
            f"is no line of the adapters' log: {key} {problem['msg']}".strip(),
            where=where,
            next_step="repair the line, or move it out of the file",
        ) from None
    if parsed.schema_version > SCHEMA_VERSION:
        raise IncompleteError("was written by a newer version of workbench", where=where, next_step="upgrade workbench")
    return parsed
