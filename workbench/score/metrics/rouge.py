"""ROUGE: "the cat sat" against "the cat lay" is 0.667 in ROUGE-1 and ROUGE-L, 0.5 in ROUGE-2."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.score.metrics.evaluated import readings, scores
from workbench.score.metrics.metric import Answered, Measured, Metric, Settings


def _rouge(name: str) -> Metric:
    def measure(answers: Sequence[Answered], settings: Settings) -> Measured:
        return Measured(readings(scores("rouge", answers, rouge_types=[name], **settings)["scores"][name]))

    return Metric(name, measure, settings={"use_stemmer": bool})


ROUGE1 = _rouge("rouge1")
ROUGE2 = _rouge("rouge2")
ROUGE_L = _rouge("rougeL")
ROUGE_LSUM = _rouge("rougeLsum")
