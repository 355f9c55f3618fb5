"""The metrics that a suite asks for, and their readings of its answers.

    chosen = choose(suite, [{"metric": "token_f1"}, {"metric": "label", "labels": ["yes", "no"]}])
    measure(chosen[0], [Answered("the red fox", ("a red fox",), {...}), None])
    ->  Measured(readings=[Reading(1.0), Reading(0.0, parsed=False)], corpus={})
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from workbench.core.errors import PrerequisiteError, UsageError
from workbench.core.suites import Suite
from workbench.score.metrics.metric import (
    MAX_CHARACTERS,
    Answered,
    Measured,
    Metric,
    Reading,
    Settings,
    check_settings,
)
from workbench.score.metrics.registry import METRICS
from workbench.score.sandbox import obstacle
from workbench.score.suggestions import did_you_mean


@dataclass(frozen=True, slots=True)
class Chosen:
    """A metric with the suite's settings for it."""

    metric: Metric
    settings: Settings


def choose(suite: Suite, entries: Iterable[Mapping[str, Any]]) -> list[Chosen]:
    """The metrics of `metric_list`; UsageError for an unknown one, a repeated one or a setting that cannot work."""
    where = f"suite {suite.name}"
    chosen: list[Chosen] = []
    for entry in entries:
        name = entry["metric"]
        if not isinstance(name, str) or name not in METRICS:
            raise unknown_metric(suite, name, METRICS)
        if name in [earlier.metric.name for earlier in chosen]:
            raise UsageError(f"metric {name} is listed twice", where=where)
        settings = {key: value for key, value in entry.items() if key != "metric"}
        check_settings(METRICS[name], settings, where)
        chosen.append(Chosen(METRICS[name], settings))
    return chosen


def unknown_metric(suite: Suite, name: Any, known: Iterable[str]) -> UsageError:
    """The error for a metric that a suite of its kind cannot have."""
    names = list(known)
    return UsageError(
        f"unknown metric {name!r} for kind {suite.kind!r}{did_you_mean(str(name), names)}; known: {', '.join(names)}",
        where=f"suite {suite.name}",
        next_step="metrics must give one number per document, or documents cannot be paired",
    )


def problem(chosen: Chosen, fields: Mapping[str, Any], references: Sequence[str]) -> str | None:
    """Why the document cannot be measured, whatever is answered to it; None if it can."""
    if chosen.metric.needs_answer and not references:
        return "document has no right answer"
    if any(len(text) > MAX_CHARACTERS for text in references):
        return f"the right answer is longer than {MAX_CHARACTERS} characters"
    return chosen.metric.problem(fields, chosen.settings)


def measure(chosen: Chosen, answers: Sequence[Answered]) -> Measured:
    """One reading per answer, in their order. Documents at fault have no value; what was not read is 0."""
    problems = [problem(chosen, answer.fields, answer.references) for answer in answers]
    fit = [
        replace(answer, text=_text(chosen.metric, answer))
        for answer, fault in zip(answers, problems, strict=True)
        if fault is None
    ]
    measured = chosen.metric.measure(fit, chosen.settings) if fit else Measured([])
    found = iter(measured.readings)
    readings: list[Reading] = []
    for answer, fault in zip(answers, problems, strict=True):
        reading = Reading(None, error=fault) if fault is not None else next(found)
        unread = fault is None and reading.error is None and not answer.read
        readings.append(Reading(0.0, parsed=False) if unread else reading)
    return Measured(readings, measured.corpus)


def _text(metric: Metric, answer: Answered) -> str:
    text = answer.text[:MAX_CHARACTERS] if answer.read else ""
    return text if metric.runs_code else text.strip()


def refuse_code(suites: Iterable[Suite], *, allowed: bool) -> None:
    """UsageError if a suite executes what models write and that is not `allowed`; PrerequisiteError if it is allowed,
    but this machine cannot contain it."""
    executing = [suite.name for suite in suites if runs_code(suite)]
    if not executing:
        return
    if not allowed:
        raise UsageError(
            f"suite {executing[0]} runs the programs that the model writes, which is off",
            where="score.allow_code",
            next_step="read docs/metrics.md on what contains them, then set `score: {allow_code: true}`",
        )
    if reason := obstacle():
        raise PrerequisiteError(
            f"the programs that suite {executing[0]} runs cannot be contained here: {reason}",
            where="score.allow_code",
            next_step="run on Linux where user namespaces are allowed (containers often forbid them), or leave it out",
        )


def runs_code(suite: Suite) -> bool:
    """Whether scoring the suite executes what the model writes."""
    if suite.kind not in ("generation", "lm_eval"):
        return False
    listed = suite.task.get("metric_list")
    entries = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    names = {suite.primary_metric, *(str(entry.get("metric")) for entry in entries)}
    return any(metric.runs_code for name, metric in METRICS.items() if name in names)
