"""The `task` of a suite of kind `generation`: what is measured, where an answer ends, and which part of it counts.

    task:
      metric_list: [{metric: numeric}, {metric: exact_match, ignore_case: true}]   # omitted: the primary metric
      until: ["\\n\\n"]                                   # the answer ends before the first of these
      answer_pattern: "answer is (.*)"                  # the last match counts, its first group if there is one
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.core.errors import UsageError
from workbench.core.suites import Suite
from workbench.score.metrics.chosen import Chosen, choose, problem, unknown_metric
from workbench.score.metrics.regex_match import TIMEOUT_S, compiled
from workbench.score.suggestions import did_you_mean

_KEYS = ("metric_list", "until", "answer_pattern")


@dataclass(frozen=True, slots=True)
class GenerationTask:
    """A `task` that was checked."""

    metrics: tuple[Chosen, ...]
    until: tuple[str, ...]
    answer_pattern: str | None


def generation_task(suite: Suite) -> GenerationTask:
    """The suite's task; UsageError for an unknown key or metric, or a setting that cannot work."""
    where = f"suite {suite.name}"
    for key in suite.task:
        if key not in _KEYS:
            raise UsageError(
                f"task.{key}: unknown key{did_you_mean(key, _KEYS)}; known: {', '.join(_KEYS)}", where=where
            )
    entries = suite.task.get("metric_list", [{"metric": suite.primary_metric}])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) and "metric" in entry for entry in entries):
        raise UsageError("task.metric_list must be a list of mappings with `metric`", where=where)
    metrics = choose(suite, entries)
    if suite.primary_metric not in (names := [chosen.metric.name for chosen in metrics]):
        raise unknown_metric(suite, suite.primary_metric, names)
    until = suite.task.get("until", [])
    if not isinstance(until, list) or not all(isinstance(text, str) and text for text in until):
        raise UsageError("task.until must be a list of texts", where=where)
    pattern = suite.task.get("answer_pattern")
    if pattern is not None:
        _check_pattern(pattern, where)
    return GenerationTask(tuple(metrics), tuple(until), pattern)


def _check_pattern(pattern: Any, where: str) -> None:
    if not isinstance(pattern, str):
        raise UsageError("task.answer_pattern must be a text", where=where)
    try:
        compiled(pattern)
    except ValueError as error:
        raise UsageError(f"task.answer_pattern: {error}", where=where) from None


def read_answer(task: GenerationTask, text: str) -> str | None:
    """The part of a generated text that counts; None if there is none.

    TimeoutError if `answer_pattern` takes longer than a second on it."""
    ends = [position for mark in task.until if (position := text.find(mark)) >= 0]
    text = text[: min(ends, default=len(text))]
    if task.answer_pattern is not None:
        found = list(compiled(task.answer_pattern).finditer(text, timeout=TIMEOUT_S))
        if not found:
            return None
        last = found[-1]
        text = (last.group(1) if last.re.groups else last.group()) or ""
    return text if text.strip() else None


def document_problem(task: GenerationTask, fields: Mapping[str, Any]) -> str | None:
    """Why a document cannot be measured by all metrics of the task, whatever is answered; None if it can."""
    found = (problem(chosen, fields, references(fields)) for chosen in task.metrics)
    return next((one for one in found if one is not None), None)


def references(fields: Mapping[str, Any]) -> tuple[str, ...]:
    """The document's right answers as text: `answer`, one or a list."""
    given = fields.get("answer")
    listed: Sequence[Any] = given if isinstance(given, list) else [given]
    if not all(isinstance(one, str | int | float) and not isinstance(one, bool) for one in listed):
        return ()
    return tuple(str(one) for one in listed)
