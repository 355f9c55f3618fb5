"""Token F1 as in SQuAD: the overlap of the words of answer and reference, the best reference counts.

    evaluate.load("workbench/score/evaluate_modules/token_f1.py").compute(
        predictions=["the quick fox"], references=[["a quick brown fox", "dog"]])
    -> {"token_f1": 0.8, "scores": [0.8]}

Case, punctuation and the articles a, an, the are ignored; two texts without a word are equal, as in SQuAD 2.0.
Rajpurkar et al. 2016, arXiv 1606.05250, section 6.1; 2018, arXiv 1806.03822.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from typing import Any

import datasets
import evaluate

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


class TokenF1(evaluate.Metric):
    """Harmonic mean of precision and recall over words."""

    def _info(self) -> Any:
        return evaluate.MetricInfo(
            description="Overlap of words between an answer and its nearest reference.",
            citation="Rajpurkar et al. 2016, SQuAD: 100,000+ Questions for Machine Comprehension of Text",
            inputs_description="predictions: texts; references: one list of texts for each",
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.Sequence(datasets.Value("string"))}
            ),
        )

    def _compute(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, Any]:
        scores = [
            max(_f1(_words(prediction), _words(reference)) for reference in accepted)
            for prediction, accepted in zip(predictions, references, strict=True)
        ]
        return {"token_f1": sum(scores) / len(scores), "scores": scores}


def _words(text: str) -> list[str]:
    return _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split()


def _f1(answer: list[str], reference: list[str]) -> float:
    if not answer or not reference:
        return float(answer == reference)
    shared = (Counter(answer) & Counter(reference)).total()
    if shared == 0:
        return 0.0
    precision, recall = shared / len(answer), shared / len(reference)
    return 2 * precision * recall / (precision + recall)
