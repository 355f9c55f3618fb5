"""Evaluation sets: everything that must not be trained on, read from suites, named datasets and own splits.

    load_evaluation_sets(Decontamination(datasets=("exam",)), node, inputs, project)
    ->  [suite planets (2 documents), dataset exam (1,319 rows), test split of tickets (40 rows)]

Rows to train on are searched for these documents, whether they were read (curate) or made (synth).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from workbench.core.curation import Decontamination
from workbench.core.errors import UsageError
from workbench.core.fingerprints import file_sha256
from workbench.core.nodes import CurateNode, SynthNode
from workbench.core.parts import read_rows
from workbench.core.records import Record
from workbench.core.stage import Inputs
from workbench.core.suites import read_documents, suite_path
from workbench.text.contamination import EvaluationDocument, question_document, record_document, suite_document
from workbench.text.own_splits import splits_of

_INGEST = "ingest:"


@dataclass(frozen=True, slots=True)
class NamedSet:
    """How a set of evaluation documents is spoken of."""

    name: str
    """Such as `suite planets`, `dataset gsm8k-test` or `test split of tickets`."""
    unit: str
    dataset: str | None = None
    split: str | None = None
    """Both set where it is a split of the data itself."""


@dataclass(frozen=True, slots=True)
class EvaluationSet:
    """Documents that must not be trained on, with the name of their set."""

    named: NamedSet
    documents: tuple[EvaluationDocument, ...]


def load_evaluation_sets(
    settings: Decontamination, node: CurateNode | SynthNode, inputs: Inputs, project: Path
) -> list[EvaluationSet]:
    """All evaluation sets of a node's suites and datasets; none if decontamination is off.

    Raises as `suite_path`, `read_documents` and `splits_of`; UsageError for a dataset that is trained on and named as
    an evaluation set.
    """
    if not settings.enabled:
        return []
    both = [name for name in settings.datasets if name in node.datasets]
    if both:
        raise UsageError(
            f"{', '.join(both)} is data to train on and an evaluation set at once: every row would be dropped",
            where="curate.decontamination.datasets",
            next_step="take it out of one of them; test and validation splits of the data are left out by themselves",
        )
    loaded = [*_suites(node, inputs, project), *_datasets(settings, inputs)]
    return [*loaded, *_splits(node, inputs)] if settings.splits else loaded


def suite_files(settings: Decontamination, node: CurateNode | SynthNode, project: Path) -> dict[str, str]:
    """SHA-256 of each documents file under the project that `load_evaluation_sets` reads; other sets are inputs."""
    if not settings.enabled:
        return {}
    in_files = [suite for suite in node.suites if suite.documents.file is not None]
    return {f"suite:{suite.name}": file_sha256(suite_path(project / node.suites_dir, suite, {})) for suite in in_files}


def without_text(sets: list[EvaluationSet]) -> list[str]:
    """A sentence for people about each set that has no text to look for."""
    return [
        f"{one.named.name}: no text to look for in its {one.named.unit}s, so the data is not searched for it"
        for one in sets
        if not any(document.prompt.strip() or document.answer.strip() for document in one.documents)
    ]


def _suites(node: CurateNode | SynthNode, inputs: Inputs, project: Path) -> Iterator[EvaluationSet]:
    datasets = {name.removeprefix(_INGEST): artifact for name, artifact in inputs.items()}
    for suite in node.suites:
        documents = read_documents(suite_path(project / node.suites_dir, suite, datasets), suite)
        yield EvaluationSet(
            NamedSet(f"suite {suite.name}", "document"),
            tuple(suite_document(one.doc_id, one.fields, suite.text_fields) for one in documents),
        )


def _datasets(settings: Decontamination, inputs: Inputs) -> Iterator[EvaluationSet]:
    """The rows of each named dataset, those included that its card holds out."""
    for name in settings.datasets:
        artifact = inputs[f"{_INGEST}{name}"]
        rows = read_rows(artifact.part("records.jsonl"), Record)
        yield EvaluationSet(
            NamedSet(f"dataset {name}", "row"),
            tuple(
                record_document(position if row.source.row is None else row.source.row, row)
                for position, row in enumerate(rows)
            ),
        )
        heldout = artifact.part("heldout.jsonl")
        if heldout.is_file():
            yield EvaluationSet(NamedSet(f"held-out rows of dataset {name}", "row"), tuple(_heldout(heldout)))


def _heldout(path: Path) -> Iterator[EvaluationDocument]:
    with path.open(encoding="utf-8") as stream:
        for position, line in enumerate(stream):
            row = json.loads(line)
            yield question_document(position, row.get("prompt", ""), row["text"])


def _splits(node: CurateNode | SynthNode, inputs: Inputs) -> Iterator[EvaluationSet]:
    paths = {name: inputs[f"{_INGEST}{name}"].part("records.jsonl") for name in node.datasets}
    for own in splits_of(paths):
        named = NamedSet(f"{own.split} split of {own.dataset}", "row", own.dataset, own.split)
        yield EvaluationSet(named, own.documents)
