"""ROUGE-1, ROUGE-2, ROUGE-L and ROUGE-Lsum: F-measures of shared words, word pairs and longest common subsequences.

    evaluate.load("workbench/score/evaluate_modules/rouge.py").compute(
        predictions=["the cat sat"], references=[["the cat lay"]], rouge_types=["rouge1", "rougeL"])
    -> {"rouge1": 0.667, "rougeL": 0.667, "scores": {"rouge1": [0.667], "rougeL": [0.667]}}

The numbers of google's `rouge_score`; of several references the best counts, as in its `score_multi`. Its tables of
subsequences take half a minute and a gigabyte for 10,000 words against as many, so the rows of a table are kept here as
the bits of one integer each. Lin 2004, ACL W04-1013; Hyyro 2004, Bit-parallel LCS-length computation revisited.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import datasets
import evaluate
from rouge_score import rouge_scorer, scoring, tokenizers


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
        tokenizer = tokenizers.DefaultTokenizer(use_stemmer)
        scores = {
            name: [
                max(_f_measure(name, reference, prediction, tokenizer) for reference in accepted)
                for prediction, accepted in zip(predictions, references, strict=True)
            ]
            for name in rouge_types
        }
        return {**{name: sum(values) / len(values) for name, values in scores.items()}, "scores": scores}


def _f_measure(name: str, reference: str, prediction: str, tokenizer: Any) -> float:
    if name == "rougeL":
        right, own = tokenizer.tokenize(reference), tokenizer.tokenize(prediction)
        return _f(_lcs_length(right, own), len(right), len(own))
    if name == "rougeLsum":
        lines, own_lines = (
            [tokenizer.tokenize(line) for line in text.split("\n") if line] for text in (reference, prediction)
        )
        return _f(_summary_hits(lines, own_lines), sum(map(len, lines)), sum(map(len, own_lines)))
    found = rouge_scorer.RougeScorer([name], tokenizer=tokenizer).score(reference, prediction)
    return float(found[name].fmeasure)


def _f(hits: int, right: int, own: int) -> float:
    return float(scoring.fmeasure(hits / own, hits / right)) if right and own else 0.0


def _rows(right: Sequence[str], own: Sequence[str]) -> Iterator[int]:
    """Rows of the table of common subsequences, one per word of `right`.

    Bit j of row i is set where the longest one of `right[: i + 1]` and `own[: j + 1]` is longer than without `own[j]`.
    """
    whole = (1 << len(own)) - 1
    places: defaultdict[str, int] = defaultdict(int)
    for place, word in enumerate(own):
        places[word] |= 1 << place
    same = whole
    for word in right:
        met = same & places.get(word, 0)
        same = ((same + met) | (same - met)) & whole
        yield same ^ whole


def _lcs_length(right: Sequence[str], own: Sequence[str]) -> int:
    last = 0
    for row in _rows(right, own):
        last = row
    return last.bit_count()


def _lcs_places(right: Sequence[str], own: Sequence[str]) -> set[int]:
    """Places in `right` of one of the longest common subsequences: the one that `rouge_score` reads out."""
    rows = [0, *_rows(right, own)]

    def length(i: int, j: int) -> int:
        return (rows[i] & ((1 << j) - 1)).bit_count()

    found: set[int] = set()
    i, j = len(right), len(own)
    while i and j:
        if right[i - 1] == own[j - 1]:
            i, j = i - 1, j - 1
            found.add(i)
        elif length(i, j - 1) > length(i - 1, j):
            j -= 1
        else:
            i -= 1
    return found


def _summary_hits(lines: Sequence[list[str]], own_lines: Sequence[list[str]]) -> int:
    """Words of all lines that stand in the union of each line's subsequences with the answer's lines."""
    holding: defaultdict[str, set[tuple[str, ...]]] = defaultdict(set)
    for own in set(map(tuple, own_lines)):
        for word in own:
            holding[word].add(own)
    left, own_left = (Counter(word for line in some for word in line) for some in (lines, own_lines))
    union: dict[tuple[str, ...], set[int]] = {}
    hits = 0
    for line in map(tuple, lines):
        if line not in union:
            alike: set[tuple[str, ...]] = set().union(*(holding.get(word, ()) for word in line))
            union[line] = set().union(*(_lcs_places(line, own) for own in alike))
        for place in union[line]:
            word = line[place]
            if left[word] > 0 and own_left[word] > 0:
                hits += 1
                left[word] -= 1
                own_left[word] -= 1
    return hits
