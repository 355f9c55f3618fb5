"""How sure a share of counted things is.

    wilson(8, 10)   ->   0.8, 0.490 to 0.943
    wilson(0, 0)    ->   0.0, 0.0 to 1.0
"""

from __future__ import annotations

from workbench.core.results import Interval


def wilson(successes: int, n: int) -> Interval:
    """A share with its 95% score interval (Wilson 1927, JASA 22:209); 0 in [0, 1] if there is nothing to count."""
    if n == 0:
        return Interval(value=0.0, low=0.0, high=1.0)
    from scipy.stats import binomtest  # 0.7 s: only where a share is measured

    interval = binomtest(successes, n).proportion_ci(0.95, method="wilson")
    return Interval(value=successes / n, low=float(interval.low), high=float(interval.high))
