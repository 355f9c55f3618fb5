"""Token F1 as in SQuAD: "the quick fox" against "a quick brown fox" is 0.8."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.score.metrics.evaluated import measured
from workbench.score.metrics.metric import Answered, Measured, Metric, Settings


def _measure(answers: Sequence[Answered], settings: Settings) -> Measured:
    return measured("token_f1", answers)


TOKEN_F1 = Metric("token_f1", _measure)
