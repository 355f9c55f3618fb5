"""chrF and chrF++ of each answer, with those of the corpus beside them: sacrebleu's numbers over 100."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.score.metrics.evaluated import readings, scores
from workbench.score.metrics.metric import Answered, Measured, Metric, Settings


def _chrf(name: str, word_order: int) -> Metric:
    def measure(answers: Sequence[Answered], settings: Settings) -> Measured:
        found = scores("chrf", answers, word_order=word_order, **settings)
        return Measured(readings(found["scores"]), {f"corpus_{name}": found["chrf"]})

    return Metric(name, measure, settings={"lowercase": bool})


CHRF = _chrf("chrf", 0)
CHRF_PLUS_PLUS = _chrf("chrf++", 2)
