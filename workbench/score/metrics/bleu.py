"""BLEU of each answer, with that of the corpus beside it: sacrebleu's numbers over 100."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.score.metrics.evaluated import readings, scores
from workbench.score.metrics.metric import Answered, Measured, Metric, Settings

TOKENIZERS = ("13a", "char", "intl", "none", "zh")
"""Of sacrebleu, those that need no other package."""


def _measure(answers: Sequence[Answered], settings: Settings) -> Measured:
    found = scores("bleu", answers, **settings)
    return Measured(readings(found["scores"]), {"corpus_bleu": found["bleu"]})


def _check(settings: Settings) -> None:
    if settings.get("tokenize", "13a") not in TOKENIZERS:
        raise ValueError(f"tokenize {settings['tokenize']!r} is none of {', '.join(TOKENIZERS)}")


BLEU = Metric("bleu", _measure, settings={"tokenize": str, "lowercase": bool}, check=_check)
