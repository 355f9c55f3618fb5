"""Which of a few labels does the answer name? With the variants of accuracy for classes of different size beside it.

    labels [positive, negative]:  "I'd say it is positive."  ->  positive;  "Hard to tell."  ->  none, `parsed` False

A label counts where it stands as a word of its own, whatever its case; labels of one letter must keep theirs ("a" is an
article), and one inside another ("toxic" in "not toxic") is not named. An answer that names several has none, unless
`take` says that the first or the last counts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from workbench.score.metrics.evaluated import scores
from workbench.score.metrics.metric import Answered, Measured, Metric, Reading, Settings

_TAKE = ("only", "first", "last")
_CORPUS = ("balanced_accuracy", "macro_f1", "matthews")


def read_label(text: str, labels: Sequence[str], take: str = "only") -> str | None:
    """The label that the text names, or None."""
    found: list[tuple[int, int, str]] = []
    for label in labels:
        flags = re.NOFLAG if len(label) == 1 else re.IGNORECASE
        pattern = rf"(?<!\w){re.escape(label)}(?!\w)"
        found += [(*match.span(), label) for match in re.finditer(pattern, text, flags)]
    named = _outermost(found)
    if not named or (take == "only" and len({label for _, label in named}) > 1):
        return None
    return max(named)[1] if take == "last" else min(named)[1]


def _outermost(found: Sequence[tuple[int, int, str]]) -> list[tuple[int, str]]:
    """Starts and labels of the matches that no longer one holds, as "not toxic" does "toxic"."""
    kept: list[tuple[int, str]] = []
    holder = (0, 0)
    for start, end, label in sorted(found, key=lambda match: (match[0], -match[1])):
        if end > holder[1]:
            holder = (start, end)
        if (start, end) == holder:
            kept.append((start, label))
    return kept


def _measure(answers: Sequence[Answered], settings: Settings) -> Measured:
    labels, take = settings["labels"], settings.get("take", "only")
    named = [read_label(answer.text, labels, take) for answer in answers]
    read = [
        Answered(label or "", answer.references, answer.fields) for label, answer in zip(named, answers, strict=True)
    ]
    found = scores("label_accuracy", read)
    return Measured(
        [
            Reading(float(value), parsed=label is not None)
            for value, label in zip(found["scores"], named, strict=True)
        ],
        {name: found[name] for name in _CORPUS},
    )


def _check(settings: Settings) -> None:
    labels = settings.get("labels")
    if not labels or len(labels) < 2 or not all(isinstance(label, str) and label.strip() for label in labels):
        raise ValueError("`labels` must list at least two texts")
    if settings.get("take", "only") not in _TAKE:
        raise ValueError(f"take {settings['take']!r} is none of {', '.join(_TAKE)}")


def _problem(fields: Mapping[str, Any], settings: Settings) -> str | None:
    answer = fields.get("answer")
    right = answer if isinstance(answer, list) else [answer]
    unknown = [text for text in right if isinstance(text, str) and text not in settings["labels"]]
    return f"right answer {unknown[0]!r} is none of the labels" if unknown else None


LABEL = Metric("label", _measure, settings={"labels": list, "take": str}, check=_check, problem=_problem)
