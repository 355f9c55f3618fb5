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

from dataclasses import dataclass
from pathlib import Path

from workbench.core.nodes import CurateNode
from workbench.core.records import Record
from workbench.core.stage import Inputs
from workbench.curate.filters.contract import Verdict
from workbench.text.evaluation_sets import NamedSet, load_evaluation_sets, without_text
from workbench.text.leaks import EvaluationData

NAME = "decontamination"
REASONS = ("contaminated", "evaluation_split")


@dataclass(frozen=True, slots=True)
class Contaminants:
    """Everything that must not be trained on; picklable."""

    data: EvaluationData
    warnings: tuple[str, ...] = ()
    """What people should know: sets without text to look for, splits that are left out of training."""

    def verdicts(self, record: Record) -> list[Verdict]:
        """The worst that can be said about `record` for each suite, dataset and split: at most one verdict each."""
        own = self.data.split_of(record)
        verdicts = [] if own is None else [Verdict("evaluation_split", "drop", _left_out(own))]
        return verdicts + [Verdict("contaminated", leak.action, leak.detail) for leak in self.data.leaks(record)]


def nothing_known(config: CurateNode) -> Contaminants:
    """Contaminants before any are loaded."""
    return Contaminants(EvaluationData.of([], config.curate.decontamination))


def load_suites(config: CurateNode, inputs: Inputs, project: Path) -> Contaminants:
    """All evaluation documents, indexed; none if decontamination is off. Raises as `load_evaluation_sets`."""
    settings = config.curate.decontamination
    sets = load_evaluation_sets(settings, config, inputs, project)
    warnings = without_text(sets)
    warnings += [f"{one.named.name}: {_set_aside(len(one.documents))}" for one in sets if one.named.split]
    return Contaminants(EvaluationData.of(sets, settings), tuple(warnings))


def _left_out(own: NamedSet) -> str:
    return f"{own.name}, which has rows to train on besides: kept for evaluation"


def _set_aside(rows: int) -> str:
    return f"{rows} rows are kept for evaluation: left out of training, and looked for in the rest"
