r"""Does the answer match a pattern? `pattern: "^\d{4}-\d\d-\d\d$"`: "2026-01-31" is 1.

The pattern stands beside the metric or in the document's field `pattern`. Its syntax is that of Python's `re`; it runs
in the `regex` package, which stops after a second: a pattern that explodes on an answer makes that document fail, and
nothing hangs.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from workbench.score.metrics.metric import Answered, Metric, Reading, Settings, each

MAX_PATTERN = 2_000
"""Characters of a pattern."""
TIMEOUT_S = 1.0
"""For one pattern on one answer."""


@lru_cache(maxsize=1024)
def compiled(pattern: str) -> Any:
    """The pattern ready to be searched with `timeout`; ValueError if it is none."""
    import regex

    if len(pattern) > MAX_PATTERN:
        raise ValueError(f"pattern of {len(pattern)} characters is longer than {MAX_PATTERN}")
    try:
        return regex.compile(pattern)
    except regex.error as error:
        raise ValueError(f"pattern {pattern!r}: {error}") from None


def _measure(answer: Answered, settings: Settings) -> Reading:
    pattern = compiled(_pattern(answer.fields, settings))
    search = pattern.fullmatch if settings.get("full", False) else pattern.search
    try:
        return Reading(float(search(answer.text, timeout=TIMEOUT_S) is not None))
    except TimeoutError:
        return Reading(None, error=f"the pattern took longer than {TIMEOUT_S:g} s on this answer")


def _pattern(fields: Mapping[str, Any], settings: Settings) -> str:
    return str(settings["pattern"] if "pattern" in settings else fields["pattern"])


def _check(settings: Settings) -> None:
    if "pattern" in settings:
        compiled(settings["pattern"])


def _problem(fields: Mapping[str, Any], settings: Settings) -> str | None:
    if "pattern" in settings:
        return None
    if not isinstance(fields.get("pattern"), str):
        return "document has no `pattern`, and neither has the metric"
    try:
        compiled(fields["pattern"])
    except ValueError as error:
        return str(error)
    return None


REGEX_MATCH = Metric(
    "regex_match",
    each(_measure),
    settings={"pattern": str, "full": bool},
    check=_check,
    problem=_problem,
    needs_answer=False,
)
