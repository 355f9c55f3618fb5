"""What a metric is: a name, settings, the document fields it reads, and one number between 0 and 1 per answer.

    METRICS["token_f1"].measure([Answered("the red fox", ("a red fox",), {...})], {})
    ->  Measured(readings=[Reading(1.0)], corpus={})

Every number is per document, because arms are compared document by document; what only a whole corpus has (corpus BLEU,
macro F1) is reported beside it under `corpus`. Higher is better for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from workbench.core.errors import UsageError

MAX_CHARACTERS = 20_000
"""Longer answers are cut before they are measured, longer references refused: some metrics take quadratic time."""

Settings = Mapping[str, Any]
"""What stands beside `metric` in an entry of `metric_list`."""


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer, as far as it could be read, and what it is measured against."""

    text: str
    references: tuple[str, ...]
    """Right answers as text; any of them counts."""
    fields: Mapping[str, Any]
    """The document."""
    read: bool = True
    """False if nothing could be read from the answer: every metric is then 0."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one metric says about one answer."""

    value: float | None
    """Between 0 and 1; None if the document, not the answer, is at fault."""
    parsed: bool = True
    """False if no answer could be read where the metric needs one (no number, no JSON); the value is then 0."""
    error: str | None = None
    """Why there is no value."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One reading per answer, and what only the whole has, by name."""

    readings: list[Reading]
    corpus: dict[str, float] = field(default_factory=dict)


Measure = Callable[[Sequence[Answered], Settings], Measured]


@dataclass(frozen=True, slots=True)
class Metric:
    """One line of the registry."""

    name: str
    measure: Measure
    settings: Mapping[str, type | tuple[type, ...]] = field(default_factory=dict)
    """Settings and their types; each can be left out unless `check` asks for it."""
    check: Callable[[Settings], None] = lambda settings: None
    """Raises ValueError for settings that cannot work."""
    problem: Callable[[Mapping[str, Any], Settings], str | None] = lambda fields, settings: None
    """Why a document cannot be measured, or None."""
    needs_answer: bool = True
    """Whether the document must have a right answer as text (`answer` of the kind `generation`)."""
    runs_code: bool = False
    """Whether answers are executed, which `score.allow_code` must allow. They keep the space around them."""


def check_settings(metric: Metric, settings: Settings, where: str) -> None:
    """UsageError for a setting that the metric does not know, of a wrong type, or that cannot work."""
    for name, value in settings.items():
        if name not in metric.settings:
            known = ", ".join(metric.settings) or "none"
            raise UsageError(f"metric {metric.name}: unknown setting {name!r}; known: {known}", where=where)
        if not _is_of(value, metric.settings[name]):
            raise UsageError(f"metric {metric.name}: {name} cannot be {value!r}", where=where)
    try:
        metric.check(settings)
    except ValueError as error:
        raise UsageError(f"metric {metric.name}: {error}", where=where) from None


def _is_of(value: Any, expected: type | tuple[type, ...]) -> bool:
    kinds = expected if isinstance(expected, tuple) else (expected,)
    return isinstance(value, kinds) and (not isinstance(value, bool) or bool in kinds)


def each(measure_one: Callable[[Answered, Settings], Reading]) -> Measure:
    """A measure that looks at one answer at a time and has nothing to say of the whole."""

    def measure(answers: Sequence[Answered], settings: Settings) -> Measured:
        return Measured([measure_one(answer, settings) for answer in answers])

    return measure
