"""Decontamination: training data that gives evaluation documents away.

    suite document   {"question": "Which planet of the solar system has the shortest day, and how long is it?"}
    record           "Quiz night: which planet of the solar system has the shortest day, and how long is it?"
      ->  drop  contaminated: suite planets, document 0: 100% of its 8-grams: "which planet of the solar ..."

Evaluation documents are the documents of every suite, whatever its kind or role, the rows of the datasets named under
`decontamination.datasets`, and the data's own test and validation splits. The stage loads them once, sends them to
whoever examines rows (they are picklable) and asks for each row:

    known = load_suites(node, inputs, project)     # Contaminants
    known.warnings                                 # for people, once: sets without text, splits that are left out
    known.verdicts(record)                         # drop and flag, at most one per suite, dataset and split
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from workbench.core.curation import Decontamination
from workbench.core.errors import UsageError
from workbench.core.nodes import CurateNode
from workbench.core.parts import read_rows
from workbench.core.records import Record
from workbench.core.stage import Inputs
from workbench.core.suites import read_documents, suite_path
from workbench.curate.filters.contract import Verdict
from workbench.curate.splits import splits_of
from workbench.text.contamination import (
    Contamination,
    EvaluationDocument,
    EvaluationIndex,
    question_document,
    record_document,
    suite_document,
)

NAME = "decontamination"
REASONS = ("contaminated", "evaluation_split")
_SPAN_CHARS = 160
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
class Contaminants:
    """Everything that must not be trained on; picklable."""

    index: EvaluationIndex
    names: tuple[NamedSet, ...]
    """Of the sets in the index."""
    settings: Decontamination
    warnings: tuple[str, ...] = ()
    """What people should know: sets without text to look for, splits that are left out of training."""

    def verdicts(self, record: Record) -> list[Verdict]:
        """The worst that can be said about `record` for each suite, dataset and split: at most one verdict each."""
        own = self._split_of(record)
        worst: dict[int, tuple[tuple[bool, bool, float], Verdict]] = {}
        for found in self.index.find(record, self.settings.flag_at):
            action = _action(found, self.settings)
            named = self.names[found.set]
            if action is None or (own is not None and named.dataset == own.dataset):
                continue
            rank = (action == "drop", found.kind == "equal", found.share)
            if found.set not in worst or rank > worst[found.set][0]:
                worst[found.set] = (rank, Verdict("contaminated", action, _evidence(found, named, self.settings)))
        verdicts = [] if own is None else [Verdict("evaluation_split", "drop", _left_out(own))]
        return verdicts + [worst[position][1] for position in sorted(worst)]

    def _split_of(self, record: Record) -> NamedSet | None:
        """The split of the data that `record` belongs to, if that is kept for evaluation."""
        source = record.source
        if source.split is None:
            return None
        return next((one for one in self.names if (one.dataset, one.split) == (source.dataset, source.split)), None)


def load_suites(config: CurateNode, inputs: Inputs, project: Path) -> Contaminants:
    """All evaluation documents, indexed; none if decontamination is off.

    Raises as `suite_path`, `read_documents` and `splits_of`; UsageError for a dataset that is trained on and named as
    an evaluation set.
    """
    settings = config.curate.decontamination
    if not settings.enabled:
        return Contaminants(EvaluationIndex((), settings.ngram), (), settings)
    both = [name for name in settings.datasets if name in config.datasets]
    if both:
        raise UsageError(
            f"{', '.join(both)} is data to train on and an evaluation set at once: every row would be dropped",
            where="curate.decontamination.datasets",
            next_step="take it out of one of them; test and validation splits of the data are left out by themselves",
        )
    loaded = [*_suites(config, inputs, project), *_datasets(settings, inputs)]
    if settings.splits:
        loaded += _splits(config, inputs)
    warnings = [
        f"{named.name}: no text to look for in its {named.unit}s, so the data is not searched for it"
        for named, documents in loaded
        if not any(one.prompt.strip() or one.answer.strip() for one in documents)
    ]
    warnings += [f"{named.name}: {_set_aside(len(documents))}" for named, documents in loaded if named.split]
    index = EvaluationIndex([documents for _, documents in loaded], settings.ngram)
    return Contaminants(index, tuple(named for named, _ in loaded), settings, tuple(warnings))


_Loaded = tuple[NamedSet, tuple[EvaluationDocument, ...]]


def _suites(config: CurateNode, inputs: Inputs, project: Path) -> Iterator[_Loaded]:
    datasets = {name.removeprefix(_INGEST): artifact for name, artifact in inputs.items()}
    for suite in config.suites:
        documents = read_documents(suite_path(project / config.suites_dir, suite, datasets), suite)
        yield (
            NamedSet(f"suite {suite.name}", "document"),
            tuple(suite_document(one.doc_id, one.fields, suite.text_fields) for one in documents),
        )


def _datasets(settings: Decontamination, inputs: Inputs) -> Iterator[_Loaded]:
    """The rows of each named dataset, those included that its card holds out."""
    for name in settings.datasets:
        artifact = inputs[f"{_INGEST}{name}"]
        rows = read_rows(artifact.part("records.jsonl"), Record)
        yield (
            NamedSet(f"dataset {name}", "row"),
            tuple(
                record_document(position if row.source.row is None else row.source.row, row)
                for position, row in enumerate(rows)
            ),
        )
        heldout = artifact.part("heldout.jsonl")
        if heldout.is_file():
            yield NamedSet(f"held-out rows of dataset {name}", "row"), tuple(_heldout(heldout))


def _heldout(path: Path) -> Iterator[EvaluationDocument]:
    with path.open(encoding="utf-8") as stream:
        for position, line in enumerate(stream):
            row = json.loads(line)
            yield question_document(position, row.get("prompt", ""), row["text"])


def _splits(config: CurateNode, inputs: Inputs) -> Iterator[_Loaded]:
    paths = {name: inputs[f"{_INGEST}{name}"].part("records.jsonl") for name in config.datasets}
    for own in splits_of(paths):
        yield NamedSet(f"{own.split} split of {own.dataset}", "row", own.dataset, own.split), own.documents


def _action(found: Contamination, settings: Decontamination) -> Literal["drop", "flag"] | None:
    """What happens to the record; None if the share is too small to be evidence."""
    if found.kind in ("equal", "contained"):
        return "drop" if found.share >= settings.drop_at else "flag"
    if found.kind == "excerpt":
        return "drop" if found.share >= settings.drop_at else None
    if found.kind == "renumbered":
        return "flag" if found.share >= settings.drop_at else None
    return "flag"


def _evidence(found: Contamination, named: NamedSet, settings: Decontamination) -> str:
    grams = f"{settings.ngram}-grams"
    whose = "its" if found.part == "whole" else "its question's"
    measured = {
        "equal": "the same text" if found.part == "whole" else "the same question",
        "contained": f"{found.share:.0%} of {whose} {grams}",
        "excerpt": f"{found.share:.0%} of this record's {grams} are from it",
        "answer": f"its answer without its question, {found.share:.0%} of its {grams}",
        "renumbered": f"{found.share:.0%} of {whose} {grams} with other numbers",
        "short": "stands in it whole, but is short",
    }[found.kind]
    span = " ".join(found.span.split())
    shown = span if len(span) <= _SPAN_CHARS else span[:_SPAN_CHARS] + "..."
    return f'{named.name}, {named.unit} {found.document}: {measured}: "{shown}"'


def _left_out(own: NamedSet) -> str:
    return f"{own.name}, which has rows to train on besides: kept for evaluation"


def _set_aside(rows: int) -> str:
    return f"{rows} rows are kept for evaluation: left out of training, and looked for in the rest"
