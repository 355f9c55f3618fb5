"""BLEU over sacrebleu: of each answer, and of the whole corpus, between 0 and 1.

    evaluate.load("workbench/score/evaluate_modules/bleu.py").compute(
        predictions=["the cat sat on the mat"], references=[["the cat sat on a mat"]])
    -> {"bleu": 0.537, "scores": [0.537], "signature": "nrefs:1|case:mixed|..."}

An answer's BLEU uses the effective order (an answer of three words has no 4-grams) and exponential smoothing, as
sacrebleu's `sentence_bleu`; `bleu` is that of the corpus, which is not the mean of the others. Papineni et al. 2002,
ACL P02-1040; Post 2018, arXiv 1804.08771.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import datasets
import evaluate
from sacrebleu.metrics import BLEU


class Bleu(evaluate.Metric):
    """Precision of word n-grams with a penalty for brevity."""

    def _info(self) -> Any:
        return evaluate.MetricInfo(
            description="Precision of word n-grams up to 4, times a penalty for answers that are too short.",
            citation="Papineni et al. 2002, BLEU; Post 2018, A Call for Clarity in Reporting BLEU Scores",
            inputs_description="predictions: texts; references: one list of texts for each",
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.Sequence(datasets.Value("string"))}
            ),
        )

    def _compute(
        self,
        predictions: Sequence[str],
        references: Sequence[Sequence[str]],
        tokenize: str | None = None,
        lowercase: bool = False,
    ) -> dict[str, Any]:
        accepted = [list(texts) for texts in references]
        of_one = BLEU(tokenize=tokenize, lowercase=lowercase, effective_order=True)
        whole = BLEU(tokenize=tokenize, lowercase=lowercase)
        scores = [
            of_one.sentence_score(prediction, texts).score / 100
            for prediction, texts in zip(predictions, accepted, strict=True)
        ]
        corpus = whole.corpus_score(list(predictions), _streams(accepted)).score / 100
        return {"bleu": corpus, "scores": scores, "signature": str(whole.get_signature())}


def _streams(references: list[list[str]]) -> list[list[str | None]]:
    """References as sacrebleu takes them: the first of each answer, the second of each, ...; None for a missing one."""
    most = max(map(len, references))
    return [[texts[number] if number < len(texts) else None for texts in references] for number in range(most)]
