"""lm-eval's regex filters under a time limit: the pattern comes from a suite file, the text from a model.

    bound(task)     the same answers as before; where a pattern takes longer than a second, none is found

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
    """Makes every filter of an lm-eval task that searches with a pattern search with a bounded one."""
    for ensemble in task._filters:
        ensemble.filters = [_bounded(make) for make in ensemble.filters]


def _bounded(make: Callable[[], Any]) -> Callable[[], Any]:
    def made() -> Any:
        step = make()
        if hasattr(step, "regex"):
            step.regex = _Bounded(step.regex.pattern)
        return step

    return made
