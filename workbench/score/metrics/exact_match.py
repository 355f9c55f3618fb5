"""Exact match: "Lima." and "lima" are equal with `ignore_case` and `ignore_punctuation`."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.score.metrics.evaluated import measured
from workbench.score.metrics.metric import Answered, Measured, Metric, Settings


def _measure(answers: Sequence[Answered], settings: Settings) -> Measured:
    return measured("exact_match", answers, **settings)


EXACT_MATCH = Metric(
    "exact_match",
    _measure,
    settings={"ignore_case": bool, "ignore_punctuation": bool, "ignore_numbers": bool, "ignore_space": bool},
)
