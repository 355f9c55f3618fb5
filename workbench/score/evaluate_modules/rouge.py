"""ROUGE-1, ROUGE-2, ROUGE-L and ROUGE-Lsum: F-measures of shared words, word pairs and longest common subsequences.

    evaluate.load("workbench/score/evaluate_modules/rouge.py").compute(
        predictions=["the cat sat"], references=[["the cat lay"]], rouge_types=["rouge1", "rougeL"])
    -> {"rouge1": 0.667, "rougeL": 0.667, "scores": {"rouge1": [0.667], "rougeL": [0.667]}}

Over google's `rouge_score`; of several references the best counts, as in its `score_multi`. Lin 2004, ACL W04-1013.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import datasets
import evaluate
from rouge_score import rouge_scorer


class Rouge(evaluate.Metric):
    """F-measures of `rouge_score`."""

    def _info(self) -> Any:
        return evaluate.MetricInfo(
            description="Overlap of words and word sequences with the best reference.",
            citation="Lin 2004, ROUGE: A Package for Automatic Evaluation of Summaries",
            inputs_description="predictions: texts; references: one list of texts for each",
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.Sequence(datasets.Value("string"))}
            ),
        )

    def _compute(
        self,
        predictions: Sequence[str],
        references: Sequence[Sequence[str]],
        rouge_types: Sequence[str] = ("rouge1", "rouge2", "rougeL", "rougeLsum"),
        use_stemmer: bool = False,
    ) -> dict[str, Any]:
        scorer = rouge_scorer.RougeScorer(list(rouge_types), use_stemmer=use_stemmer)
        found = [
            scorer.score_multi(list(accepted), prediction)
            for prediction, accepted in zip(predictions, references, strict=True)
        ]
        scores = {name: [float(one[name].fmeasure) for one in found] for name in rouge_types}
        return {**{name: sum(values) / len(values) for name, values in scores.items()}, "scores": scores}
