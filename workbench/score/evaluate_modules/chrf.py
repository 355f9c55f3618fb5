"""chrF over sacrebleu: F-score of character n-grams, of each answer and of the whole corpus, between 0 and 1.

    evaluate.load("workbench/score/evaluate_modules/chrf.py").compute(
        predictions=["the cat sat"], references=[["the cats sat"]], word_order=2)
    -> {"chrf": 0.599, "scores": [0.599]}

`word_order` 0 is chrF, 2 is chrF++. Popovic 2015, ACL W15-3049; 2017, ACL W17-4770.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import datasets
import evaluate
from sacrebleu.metrics import CHRF


class Chrf(evaluate.Metric):
    """F-score of character n-grams up to 6, recall counting twice."""

    def _info(self) -> Any:
        return evaluate.MetricInfo(
            description="F-score of character n-grams with the best reference.",
            citation="Popovic 2015, chrF: character n-gram F-score for automatic MT evaluation",
            inputs_description="predictions: texts; references: one list of texts for each",
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.Sequence(datasets.Value("string"))}
            ),
        )

    def _compute(
        self,
        predictions: Sequence[str],
        references: Sequence[Sequence[str]],
        word_order: int = 0,
        lowercase: bool = False,
    ) -> dict[str, Any]:
        chrf = CHRF(word_order=word_order, lowercase=lowercase)
        accepted = [list(texts) for texts in references]
        scores = [
            chrf.sentence_score(prediction, texts).score / 100
            for prediction, texts in zip(predictions, accepted, strict=True)
        ]
        most = max(map(len, accepted))
        streams = [[texts[number] if number < len(texts) else None for texts in accepted] for number in range(most)]
        return {"chrf": chrf.corpus_score(list(predictions), streams).score / 100, "scores": scores}
