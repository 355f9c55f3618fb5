"""Judge calls as paired documents: the win rate of the arm after, against one half.

before_first 0.9, after_first 0.8  ->  0.85        both orders prefer `after`
before_first 0.9, after_first 0.2  ->  0.5         the verdict followed the order: a tie
before_first 1.0, after_first None ->  failed      counted; the interval covers a loss and a win
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from workbench.compare.pairing import Paired
from workbench.compare.rows import DocumentKey
from workbench.core.records import Judgment

TIE = 0.5


def judged_pairs(judgments: Iterable[Judgment], suite: str, before: str, after: str) -> Paired:
    """The documents of a suite judged for this pair of arms, with their categories and clusters; empty if there are
    none."""
    calls: dict[DocumentKey, dict[str, list[float | None]]] = {}
    labels: dict[DocumentKey, tuple[str | None, str]] = {}
    for judgment in judgments:
        if (judgment.suite, judgment.before, judgment.after) == (suite, before, after):
            key = (suite, judgment.doc_hash, judgment.occurrence)
            calls.setdefault(key, {}).setdefault(judgment.order, []).append(judgment.preference)
            labels[key] = (judgment.group, judgment.cluster or judgment.doc_hash)
    keys = sorted(calls)
    n = len(keys)
    clusters: dict[str, int] = {}
    groups = np.full(n, None, dtype=np.object_)
    groups[:] = [labels[key][0] for key in keys]
    return Paired(
        keys=keys,
        before=np.full(n, TIE),
        after=np.array([win(calls[key]) for key in keys], dtype=np.float64),
        weights=np.ones(n),
        parsed_before=np.ones(n, dtype=np.bool_),
        parsed_after=np.ones(n, dtype=np.bool_),
        clusters=np.array([clusters.setdefault(labels[key][1], len(clusters)) for key in keys], dtype=np.int64),
        groups=groups,
        same_weights=True,
        same_outputs=False,
        chances=np.full(n, np.nan),
        unpaired=0,
    )


def win(orders: dict[str, list[float | None]]) -> float:
    """How far `after` won on one document, 0 to 1: mean of both orders, a tie if they contradict each other.

    NaN if an order has no readable verdict, for then the judge's preference for a position is not balanced out.
    """
    means = [_mean(orders.get(order, ())) for order in ("before_first", "after_first")]
    if any(math.isnan(mean) for mean in means):
        return math.nan
    return TIE if (means[0] - TIE) * (means[1] - TIE) < 0 else sum(means) / 2


def _mean(preferences: Sequence[float | None]) -> float:
    """Mean over repeated calls; NaN if none can be read."""
    readable = [preference for preference in preferences if preference is not None]
    return sum(readable) / len(readable) if readable else math.nan
