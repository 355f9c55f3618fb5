"""The rows of a curation, a batch of JSON lines at a time: nothing else of them is held in memory.

    parts = training_parts(config, inputs)    # one per dataset: path of its records.jsonl, rows
    for batch in batches(parts): ...          # Batch(dataset="tickets", first_row=2000, lines=[b'{"id": ...', ...])
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from workbench.core.nodes import CurateNode
from workbench.core.stage import Artifact, Inputs

BATCH_ROWS = 1000
_BATCH_BYTES = 4_000_000
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class DataPart:
    """The records of one dataset."""

    dataset: str
    path: Path
    rows: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Neighbouring rows of one dataset."""

    dataset: str
    path: Path
    first_line: int
    """One-based line in `path`."""
    first_row: int
    """Zero-based row of the whole curation."""
    lines: list[bytes]
    """One record each, without the newline."""


def training_parts(config: CurateNode, inputs: Inputs) -> list[DataPart]:
    """The records to clean, dataset after dataset: the order that row numbers count."""
    artifacts = {name: inputs[f"ingest:{name}"] for name in config.datasets}
    return [DataPart(name, artifact.part("records.jsonl"), _rows(artifact)) for name, artifact in artifacts.items()]


def batches(parts: Sequence[DataPart]) -> Iterator[Batch]:
    """All rows in order, at most 1,000 and some 4 MB at a time."""
    first_row = 0
    for part in parts:
        first_line, size, lines = 1, 0, list[bytes]()
        with part.path.open("rb") as stream:
            for line in stream:
                lines.append(line.rstrip(b"\n"))
                size += len(line)
                if len(lines) == BATCH_ROWS or size >= _BATCH_BYTES:
                    yield Batch(part.dataset, part.path, first_line, first_row, lines)
                    first_line, first_row = first_line + len(lines), first_row + len(lines)
                    size, lines = 0, []
        if lines:
            yield Batch(part.dataset, part.path, first_line, first_row, lines)
            first_row += len(lines)


def _rows(artifact: Artifact) -> int:
    known = next((part.rows for part in artifact.manifest.parts if part.path == "records.jsonl"), None)
    if known is not None:
        return known
    with artifact.part("records.jsonl").open("rb") as stream:
        return sum(block.count(b"\n") for block in iter(lambda: stream.read(_BLOCK_BYTES), b""))
