"""lm-eval's patterns under a time limit: the pattern comes from a suite file, the text from a model.

    bound(task)     the same numbers as before; where a pattern takes longer than a second, nothing is found by a filter
                    and nothing taken out by the `regexes_to_ignore` of `exact_match`

lm-eval searches with `re`, which never gives up on a pattern such as `(a+)+$`; the `regex` package does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from workbench.score.metrics.regex_match import TIMEOUT_S, compiled


class _Bounded:
    """A pattern with the one method that lm-eval's filters call."""

    def __init__(self, pattern: str) -> None:
        self._pattern = compiled(pattern)

    def findall(self, text: str) -> list[Any]:
        """All matches, or none if looking for them takes too long."""
        try:
            found: list[Any] = self._pattern.findall(text, timeout=TIMEOUT_S)
        except TimeoutError:
            return []
        return found


def bound(task: Any) -> None:
    """Makes every filter of an lm-eval task that searches with a pattern search with a bounded one, and `exact_match`
    take out what is to be ignored with bounded ones."""
    for ensemble in task._filters:
        ensemble.filters = [_bounded(make) for make in ensemble.filters]
    settings = task._metric_fn_kwargs.get("exact_match") or {}
    if patterns := settings.pop("regexes_to_ignore", None):
        task._metric_fn_list["exact_match"] = _without(patterns, task._metric_fn_list["exact_match"])


def _without(patterns: list[str], exact_match: Callable[..., Any]) -> Callable[..., Any]:
    """The metric on texts from which the patterns are taken out first, as lm-eval's own does."""
    ignored = [compiled(pattern) for pattern in patterns]

    def kept(text: str) -> str:
        for pattern in ignored:
            try:
                text = pattern.sub("", text, timeout=TIMEOUT_S)
            except TimeoutError:
                continue
        return text

    def measured(references: list[str], predictions: list[str], **settings: Any) -> Any:
        return exact_match(references=list(map(kept, references)), predictions=list(map(kept, predictions)), **settings)

    return measured


def _bounded(make: Callable[[], Any]) -> Callable[[], Any]:
    def made() -> Any:
        step = make()
        if hasattr(step, "regex"):
            step.regex = _Bounded(step.regex.pattern)
        return step

    return made
