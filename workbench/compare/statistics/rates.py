"""Intervals of one rate: k of n.

wilson(8, 10, 0.95)            ->  0.8, 0.490 to 0.943
clopper_pearson(8, 10, 0.95)   ->  0.8, 0.444 to 0.975
"""

from __future__ import annotations

import math

from workbench.compare.statistics.estimates import Estimate


def wilson(successes: int, n: int, confidence: float) -> Estimate:
    """Score interval of a rate (Wilson 1927, JASA 22:209); n >= 1."""
    return _rate(successes, n, confidence, "wilson", "Wilson score")


def clopper_pearson(successes: int, n: int, confidence: float) -> Estimate:
    """Exact interval of a rate (Clopper and Pearson 1934, Biometrika 26:404), never too short; n >= 1."""
    return _rate(successes, n, confidence, "exact", "Clopper-Pearson")


def _rate(successes: int, n: int, confidence: float, scipy_name: str, method: str) -> Estimate:
    from scipy.stats import binomtest  # 0.7 s to import

    limits = binomtest(successes, n).proportion_ci(confidence, method=scipy_name)
    rate = successes / n
    # At 0 and n the limit is the rate itself; rounding must not leave it outside.
    low, high = min(float(limits.low), rate), max(float(limits.high), rate)
    return Estimate(rate, low, high, math.sqrt(rate * (1 - rate) / n), method)
