"""Score interval for the difference of two paired rates, right also where few or no documents flip.

tango(learned=1, forgotten=7, n=21, confidence=0.95)   ->  -0.286, -0.517 to -0.026
"""

from __future__ import annotations

import math
from statistics import NormalDist

from workbench.compare.statistics.estimates import Estimate


def tango(learned: int, forgotten: int, n: int, confidence: float) -> Estimate:
    """Interval of (learned - forgotten) / n, all differences that the score test does not reject.

    Source: Tango 1998, Statistics in Medicine 17:891, equations 24 to 26. With p01 the rate of forgotten documents,
    estimated under the hypothesis "the difference is D" as the root of
    2n p01^2 + (2nD - learned (1 + D) - forgotten (1 - D)) p01 - forgotten D (1 - D) = 0, the limits solve
    |learned - forgotten - nD| = z sqrt(n (2 p01 + D (1 - D))). n >= 1.
    """
    from scipy.optimize import brentq  # 0.2 s to import

    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    value = (learned - forgotten) / n

    def excess_low(difference: float) -> float:
        return _score(learned, forgotten, n, difference) - z

    def excess_high(difference: float) -> float:
        return _score(learned, forgotten, n, difference) + z

    low = -1.0 if value == -1 else float(brentq(excess_low, -1, value, xtol=1e-12))
    high = 1.0 if value == 1 else float(brentq(excess_high, value, 1, xtol=1e-12))
    se = math.sqrt(max(learned + forgotten - (learned - forgotten) ** 2 / n, 0.0) / max(n * (n - 1), 1))
    return Estimate(value, low, high, se, "Tango score")


def _score(learned: int, forgotten: int, n: int, difference: float) -> float:
    """Tango's statistic, falling in `difference`; infinite where the hypothesis allows no variance and is not met."""
    excess = learned - forgotten - n * difference
    linear = 2 * n * difference - learned * (1 + difference) - forgotten * (1 - difference)
    constant = forgotten * difference * (1 - difference)
    forgotten_rate = (math.sqrt(max(linear**2 + 8 * n * constant, 0.0)) - linear) / (4 * n)
    forgotten_rate = min(max(forgotten_rate, 0.0, -difference), 1.0)
    variance = n * (2 * forgotten_rate + difference * (1 - difference))
    if variance <= 1e-12:
        return 0.0 if abs(excess) < 1e-9 else math.copysign(math.inf, excess)
    return excess / math.sqrt(variance)
