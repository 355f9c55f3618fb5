"""Accuracy of labels, and its variants for classes of different size.

    evaluate.load("workbench/score/evaluate_modules/label_accuracy.py").compute(
        predictions=["yes", "no", ""], references=[["yes"], ["yes"], ["no"]])
    -> {"accuracy": 0.333, "balanced_accuracy": 0.25, "macro_f1": 0.333, "matthews": 0.0, "scores": [1.0, 0.0, 0.0]}

An empty prediction is no label: wrong for every class. Balanced accuracy is the mean recall over the classes that occur
among the references; macro F1 and Matthews' correlation are scikit-learn's, the former over the same classes. They
compare with the first reference of each.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import datasets
import evaluate
from sklearn import metrics


class LabelAccuracy(evaluate.Metric):
    """Right labels over all."""

    def _info(self) -> Any:
        return evaluate.MetricInfo(
            description="Share of right labels, mean recall over classes, macro F1 and Matthews' correlation.",
            citation="",
            inputs_description="predictions: labels; references: one list of labels for each",
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.Sequence(datasets.Value("string"))}
            ),
        )

    def _compute(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, Any]:
        scores = [
            float(prediction in accepted) for prediction, accepted in zip(predictions, references, strict=True)
        ]
        first = [accepted[0] for accepted in references]
        classes = sorted(set(first))
        with warnings.catch_warnings():
            # scikit-learn warns of predictions outside of the classes: here they are answers without a label.
            warnings.simplefilter("ignore")
            return {
                "accuracy": sum(scores) / len(scores),
                "balanced_accuracy": float(metrics.balanced_accuracy_score(first, predictions)),
                "macro_f1": float(
                    metrics.f1_score(first, predictions, labels=classes, average="macro", zero_division=0.0)
                ),
                "matthews": float(metrics.matthews_corrcoef(first, predictions)),
                "scores": scores,
            }
