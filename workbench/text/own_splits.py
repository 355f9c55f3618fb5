"""The data's own test and validation splits: evaluation data that lies beside the training data.

    tickets/train.jsonl, tickets/test.jsonl   ->  OwnSplit("tickets", "test", its rows)
    tickets-test.jsonl alone                  ->  nothing: whoever names it alone wants to train on it

Only where a row comes from decides, so most of a dataset is skipped over without being read as records.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from workbench.core.errors import IncompleteError
from workbench.core.records import Record
from workbench.text.contamination import EvaluationDocument, record_document

EVALUATION_SPLITS = ("test", "validation")
_SOURCE = b'"source":{'
"""Stands once in a line of records.jsonl: inside of texts its quotes are escaped."""


@dataclass(frozen=True, slots=True)
class OwnSplit:
    """Rows of a dataset that are kept for evaluation."""

    dataset: str
    split: str
    documents: tuple[EvaluationDocument, ...]
    """Numbered by their rows in the dataset's file."""


def splits_of(paths: Mapping[str, Path]) -> list[OwnSplit]:
    """Test and validation splits of the datasets that have rows to train on besides; `paths` are their records.jsonl.

    Rows to train on are rows of the split `train`, and rows without a split in another file than the evaluation rows.
    IncompleteError names a line that is no record.
    """
    found = []
    for dataset, path in paths.items():
        for split in _evaluation_splits(path):
            documents = tuple(_documents(path, split))
            found.append(OwnSplit(dataset, split, documents))
    return found


def _evaluation_splits(path: Path) -> list[str]:
    evaluated: set[str] = set()
    evaluated_files: set[str | None] = set()
    other_files: set[str | None] = set()
    trained = False
    for _, source in _sources(path):
        split, file = source.get("split"), source.get("file")
        if split in EVALUATION_SPLITS:
            evaluated.add(split)
            evaluated_files.add(file)
        elif split is None:
            other_files.add(file)
        else:
            trained = True
    return sorted(evaluated) if trained or other_files - evaluated_files else []


def _documents(path: Path, split: str) -> Iterator[EvaluationDocument]:
    with path.open("rb") as stream:
        for position, line in enumerate(stream):
            if _source(line, path, position).get("split") != split:
                continue
            record = _record(line, path, position)
            yield record_document(position if record.source.row is None else record.source.row, record)


def _sources(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open("rb") as stream:
        for position, line in enumerate(stream):
            yield position, _source(line, path, position)


def _source(line: bytes, path: Path, position: int) -> dict[str, Any]:
    """Where a row comes from."""
    start = line.rfind(_SOURCE)
    if start < 0:
        return _record(line, path, position).source.model_dump()
    source, _ = _DECODER.raw_decode(line[start + len(_SOURCE) - 1 :].decode("utf-8"))
    return dict(source)


_DECODER = json.JSONDecoder()


def _record(line: bytes, path: Path, position: int) -> Record:
    try:
        return Record.model_validate_json(line)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        raise IncompleteError(f"is no valid Record: {problem['msg']}", where=f"{path}:{position + 1}") from None
