"""One win rate from few human labels and many of the judge's: prediction-powered inference, PPI++.

    30 labels, 400 verdicts of a judge right in 85%   ->  joined .61 [.49, .73], from the labels alone .60 [.42, .78]

The labels correct the judge's bias, the judge's many verdicts take the noise out. A judge that says nothing about the
labels gets the weight 0, and the joined estimate is the classical one. Labelled documents must be a random draw.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from workbench.core.results import Interval, PoweredRate

Floats = NDArray[np.float64]

_CONFIDENCE = 0.95
_LEAST = 10
"""Labels below which no interval is honest."""


def prediction_powered(
    labels: Sequence[float], judged: Sequence[float], judged_alone: Sequence[float]
) -> PoweredRate | None:
    """Mean of the labels' population, from labels `[n]`, the judge's verdicts on the same `[n]` and on others `[N]`.

    theta = w mean(others) + mean(label - w judged), with variance w^2 var(others) / N + var(label - w judged) / n and
    w = cov(label, judged) / ((1 + n / N) var(judged)), held in [0, 1] (Angelopoulos, Duchi and Zrnic 2023, arXiv
    2311.01453, section 6). t quantiles with n - 1 degrees of freedom; residuals without any spread count as if one
    label in n had been off by one, since n labels cannot show less. None with fewer than ten labels.
    """
    y, f = np.asarray(labels, dtype=np.float64), np.asarray(judged, dtype=np.float64)
    others = np.asarray(judged_alone, dtype=np.float64)
    n, alone = len(y), len(others)
    if n < _LEAST:
        return None
    weight = 0.0
    if alone > 1:
        spread = float(np.var(np.concatenate([f, others]), ddof=1))
        if spread > 0:
            weight = min(1.0, max(0.0, float(np.cov(y, f)[0, 1]) / ((1 + n / alone) * spread)))
    residuals = y - weight * f
    variance = _variance(residuals) / n
    value = float(residuals.mean())
    if weight > 0:
        value += weight * float(others.mean())
        variance += weight**2 * float(np.var(others, ddof=1)) / alone
    return PoweredRate(
        joined=_interval(value, variance, n),
        classical=_interval(float(y.mean()), _variance(y) / n, n),
        labelled=n,
        unlabelled=alone,
        weight=weight,
    )


def _variance(values: Floats) -> float:
    return float(np.var(values, ddof=1)) or 1 / len(values)


def _interval(value: float, variance: float, n: int) -> Interval:
    from scipy.stats import t  # 0.7 s: only where people have rated

    half = float(t.ppf((1 + _CONFIDENCE) / 2, n - 1)) * math.sqrt(variance)
    value = min(1.0, max(0.0, value))
    return Interval(value=value, low=max(0.0, value - half), high=min(1.0, value + half))
