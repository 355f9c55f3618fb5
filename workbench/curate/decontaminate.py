"""Decontamination: training data that gives the suites' documents away.

    suite document   {"question": "Which planet of the solar system has the shortest day, and how long is it?"}
    record           "Quiz night: which planet of the solar system has the shortest day, and how long is it?"
      ->  drop  contaminated: suite planets, document 0: 100% of its 8-grams: "which planet of the solar ..."

Every suite counts, whatever its kind or role: what is scored must not have been trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from workbench.core.config import Decontamination
from workbench.core.nodes import CurateNode
from workbench.core.records import Record
from workbench.core.stage import Inputs
from workbench.core.suites import read_documents, suite_path
from workbench.curate.filters.contract import Verdict
from workbench.text.contamination import Contamination, SuiteIndex

NAME = "decontamination"
_SPAN_CHARS = 160


def load_suites(config: CurateNode, inputs: Inputs, project: Path) -> list[SuiteIndex]:
    """An index of each suite's documents. Raises as `suite_path` and `read_documents`."""
    datasets = {name.removeprefix("ingest:"): artifact for name, artifact in inputs.items()}
    suites_dir = project / config.suites_dir
    ngram = config.curate.decontamination.ngram
    return [
        SuiteIndex(suite, read_documents(suite_path(suites_dir, suite, datasets), suite), ngram)
        for suite in config.suites
    ]


def contamination(record: Record, suites: Sequence[SuiteIndex], settings: Decontamination) -> list[Verdict]:
    """The worst that can be said about `record` for each suite: at most one verdict per suite."""
    found = (_worst(suite.find(record), settings) for suite in suites)
    return [verdict for verdict in found if verdict is not None]


def _worst(found: Sequence[Contamination], settings: Decontamination) -> Verdict | None:
    long = [one for one in found if one.kind != "short"]
    worst = max(long, key=lambda one: one.share, default=None)
    if worst is not None and worst.share >= settings.drop_at:
        return Verdict("contaminated", "drop", _evidence(worst, settings))
    if worst is not None and worst.share >= settings.flag_at:
        return Verdict("contaminated", "flag", _evidence(worst, settings))
    short = next((one for one in found if one.kind == "short"), None)
    return None if short is None else Verdict("contaminated", "flag", _evidence(short, settings))


def _evidence(found: Contamination, settings: Decontamination) -> str:
    measured = {
        "equal": "the same text",
        "contained": f"{found.share:.0%} of its {settings.ngram}-grams",
        "short": "stands in it whole, but is short",
    }[found.kind]
    span = " ".join(found.span.split())
    shown = span if len(span) <= _SPAN_CHARS else span[:_SPAN_CHARS] + "..."
    return f'suite {found.suite}, document {found.document}: {measured}: "{shown}"'
