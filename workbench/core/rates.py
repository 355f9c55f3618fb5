"""How sure a share of counted things is.

    wilson(8, 10)   ->   0.8, 0.490 to 0.943
    wilson(0, 0)    ->   0.0, 0.0 to 1.0
"""

from __future__ import annotations

from workbench.core.results import Interval

_Z = 1.959963984540054
"""Normal quantile of 97.5%."""


def wilson(successes: float, n: int) -> Interval:
    """A share with its 95% score interval (Wilson 1927, JASA 22:209); 0 in [0, 1] if there is nothing to count.

    Half a success, for a tie, is allowed: the interval then covers more than it says, as ties vary less than wins and
    losses."""
    if n == 0:
        return Interval(value=0.0, low=0.0, high=1.0)
    share = successes / n
    scale = 1 + _Z**2 / n
    centre = (share + _Z**2 / (2 * n)) / scale
    half = _Z / scale * (share * (1 - share) / n + _Z**2 / (4 * n**2)) ** 0.5
    return Interval(
        value=share,
        low=0.0 if successes == 0 else max(0.0, centre - half),
        high=1.0 if successes == n else min(1.0, centre + half),
    )
