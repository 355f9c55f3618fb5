"""How far two raters, or several, agree beyond chance, with intervals.

    weighted_kappa([0, 0.5, 1], [0, 1, 1])          ->  0.667    a tie called a win is half a disagreement
    krippendorff_alpha([[0, 0], [1, 1], [0.5, None]])    ->  1.0      one rating of a unit says nothing

Values are 0 (the first answer is better), 0.5 (a tie) and 1; None is no verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from workbench.core.rates import wilson
from workbench.core.results import Interval

Floats = NDArray[np.float64]

_RESAMPLES = 4999
_CONFIDENCE = 0.95
_BLOCK = 256
"""Resamples at once."""
_LEVELS = (0.0, 0.5, 1.0, None)
QUADRATIC = np.array(
    [[0, 0.25, 1, 1], [0.25, 0, 0.25, 1], [1, 0.25, 0, 1], [1, 1, 1, 0]],
    dtype=np.float64,
)
"""Disagreement of two levels: the squared distance; no verdict is as wrong as can be."""
NOMINAL = 1 - np.eye(4)
"""Every difference is the same."""


def level(value: float | None) -> float | None:
    """A preference as a verdict: 0, 0.5 or 1."""
    if value is None or value == 0.5:
        return value
    return 1.0 if value > 0.5 else 0.0


def majority(verdicts: Sequence[float]) -> float:
    """The side with more votes; a tie (0.5) where both have as many, or most say tie."""
    losses, ties, wins = (sum(verdict == value for verdict in verdicts) for value in (0.0, 0.5, 1.0))
    if ties > max(losses, wins) or wins == losses:
        return 0.5
    return 1.0 if wins > losses else 0.0


def weighted_kappa(left: Sequence[float | None], right: Sequence[float | None], weights: Floats = QUADRATIC) -> float:
    """Cohen's kappa with disagreement weights (Cohen 1968, Psychol Bull 70:213): 1 - observed / expected disagreement.

    1 if both say one and the same throughout, where the formula is undefined.
    """
    return float(_kappas(_table(left, right)[None], weights)[0])


def kappa_interval(
    left: Sequence[float | None], right: Sequence[float | None], seed: int, weights: Floats = QUADRATIC
) -> Interval:
    """Kappa with its 95% percentile bootstrap interval over pairs (4,999 resamples).

    Without a single disagreement every resample gives 1; then the lower limit is Wilson's, carried over to balanced
    positions (2 p - 1). Without pairs nothing is known: 0 in [-1, 1].
    """
    n = len(left)
    if n == 0:
        return Interval(value=0.0, low=-1.0, high=1.0)
    value = weighted_kappa(left, right, weights)
    if value == 1.0:
        return Interval(value=1.0, low=2 * wilson(n, n).low - 1, high=1.0)
    table = _table(left, right)
    draws = np.random.default_rng(seed).multinomial(n, table.ravel() / n, size=_RESAMPLES)
    return _percentiles(value, _kappas(draws.reshape(-1, *table.shape), weights))


def krippendorff_alpha(units: Sequence[Sequence[float | None]]) -> float | None:
    """Krippendorff's alpha with interval distances (Krippendorff 2004, ch. 11): 1 - observed / expected disagreement.

    `units` holds the ratings of one thing each, in any order, None where a rater gave none. 1 if all ratings are equal;
    None if no unit was rated twice.
    """
    counts, distances = _coincidences(units)
    return float(_alphas(counts.sum(axis=0)[None], distances)[0]) if len(counts) else None


def alpha_interval(units: Sequence[Sequence[float | None]], seed: int) -> Interval | None:
    """Alpha with its 95% percentile bootstrap interval over units (4,999 resamples); None if no unit was rated twice.

    Without a single disagreement the lower limit is that of `kappa_interval`.
    """
    value = krippendorff_alpha(units)
    if value is None:
        return None
    counts, distances = _coincidences(units)
    n = len(counts)
    if value == 1.0:
        return Interval(value=1.0, low=2 * wilson(n, n).low - 1, high=1.0)
    # many units look alike: drawing how often each kind occurs is the same, and does not grow with the units
    kinds, held = np.unique(counts.reshape(n, -1), axis=0, return_counts=True)

    def resampled(rng: np.random.Generator, size: int) -> Floats:
        drawn = rng.multinomial(n, held / n, size=size).astype(np.float64)
        return _alphas((drawn @ kinds).reshape(-1, *counts.shape[1:]), distances)

    return _percentiles(value, _in_blocks(resampled, seed))


def _in_blocks(resampled: Callable[[np.random.Generator, int], Floats], seed: int) -> Floats:
    """`_RESAMPLES` resampled values, drawn in blocks."""
    rng = np.random.default_rng(seed)
    sizes = [_BLOCK] * (_RESAMPLES // _BLOCK) + [_RESAMPLES % _BLOCK]
    return np.concatenate([resampled(rng, size) for size in sizes])


def _percentiles(value: float, resampled: Floats) -> Interval:
    tail = (1 - _CONFIDENCE) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return Interval(value=value, low=float(low), high=float(high))


def _table(left: Sequence[float | None], right: Sequence[float | None]) -> NDArray[np.int64]:
    """Counts by both raters' levels, `[4, 4] int64`."""
    table = np.zeros((len(_LEVELS), len(_LEVELS)), dtype=np.int64)
    for one, other in zip(left, right, strict=True):
        table[_LEVELS.index(one), _LEVELS.index(other)] += 1
    return table


def _kappas(tables: NDArray[np.int64], weights: Floats) -> Floats:
    """Kappa of each table, `[n, 4, 4] -> [n]`."""
    total = tables.sum(axis=(1, 2))
    observed = (tables * weights).sum(axis=(1, 2)) / total
    expected = np.einsum("ni,nj,ij->n", tables.sum(axis=2), tables.sum(axis=1), weights) / total**2
    return np.where(expected > 0, 1 - observed / np.where(expected > 0, expected, 1), 1.0)


def _coincidences(units: Sequence[Sequence[float | None]]) -> tuple[Floats, Floats]:
    """Coincidence matrix of each unit rated at least twice, `[n, v, v]`, and squared distances of values, `[v, v]`."""
    rated = [[value for value in unit if value is not None] for unit in units]
    rated = [values for values in rated if len(values) > 1]
    values = np.array(sorted({value for unit in rated for value in unit}), dtype=np.float64)
    places = {float(value): place for place, value in enumerate(values)}
    counts = np.zeros((len(rated), len(values), len(values)))
    for number, unit in enumerate(rated):
        held = np.bincount([places[float(value)] for value in unit], minlength=len(values)).astype(np.float64)
        counts[number] = (np.outer(held, held) - np.diag(held)) / (len(unit) - 1)
    return counts, (values[:, None] - values[None, :]) ** 2


def _alphas(coincidences: Floats, distances: Floats) -> Floats:
    """Alpha of each coincidence matrix, `[n, v, v] -> [n]`."""
    held = coincidences.sum(axis=2)
    total = held.sum(axis=1)
    observed = (coincidences * distances).sum(axis=(1, 2)) / total
    expected = np.einsum("ni,nj,ij->n", held, held, distances) / (total * (total - 1))
    return np.where(expected > 0, 1 - observed / np.where(expected > 0, expected, 1), 1.0)
