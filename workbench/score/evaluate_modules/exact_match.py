"""Exact match: 1 where an answer equals one of its references, after what is told to be ignored is taken away.

    evaluate.load("workbench/score/evaluate_modules/exact_match.py").compute(
        predictions=["Lima.", "Cusco"], references=[["lima"], ["Lima"]], ignore_case=True, ignore_punctuation=True)
    -> {"exact_match": 0.5, "scores": [1.0, 0.0]}
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import Any

import datasets
import evaluate


class ExactMatch(evaluate.Metric):
    """Equality of texts."""

    def _info(self) -> Any:
        return evaluate.MetricInfo(
            description="Share of answers that equal one of their references.",
            citation="",
            inputs_description="predictions: texts; references: one list of texts for each",
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.Sequence(datasets.Value("string"))}
            ),
        )

    def _compute(
        self,
        predictions: Sequence[str],
        references: Sequence[Sequence[str]],
        ignore_case: bool = False,
        ignore_punctuation: bool = False,
        ignore_numbers: bool = False,
        ignore_space: bool = False,
    ) -> dict[str, Any]:
        dropped = (string.punctuation if ignore_punctuation else "") + (string.digits if ignore_numbers else "")
        table = str.maketrans("", "", dropped)

        def reduced(text: str) -> str:
            text = (text.lower() if ignore_case else text).translate(table)
            return " ".join(text.split()) if ignore_space else text

        scores = [
            float(any(reduced(prediction) == reduced(reference) for reference in accepted))
            for prediction, accepted in zip(predictions, references, strict=True)
        ]
        return {"exact_match": sum(scores) / len(scores), "scores": scores}
