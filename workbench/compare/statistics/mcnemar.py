"""McNemar's test: did more documents flip one way than the other?

mcnemar_exact(learned=1, forgotten=7)   ->  two-sided 0.0703, improved 0.996
mcnemar_midp(learned=1, forgotten=7)    ->  two-sided 0.0391, improved 0.980
"""

from __future__ import annotations


def mcnemar_exact(learned: int, forgotten: int) -> tuple[float, float]:
    """Two-sided p of no difference and one-sided p of no gain: given the flips, their direction is Binomial(1/2).

    Without flips both are 1. Source: Fagerland, Lydersen and Laake 2013, BMC Med Res Methodol 13:91, section "exact
    conditional test".
    """
    from scipy.special import bdtr  # 0.2 s to import

    flips = learned + forgotten
    if flips == 0:
        return 1.0, 1.0
    two_sided = min(1.0, 2 * float(bdtr(min(learned, forgotten), flips, 0.5)))
    return two_sided, float(bdtr(forgotten, flips, 0.5))


def mcnemar_midp(learned: int, forgotten: int) -> tuple[float, float]:
    """As `mcnemar_exact` with half the probability of the observed outcome: less conservative, for exploratory tables.

    Source: as above, section "mid-p test". With equal counts the two-sided p is 1 less half that probability.
    """
    from scipy.stats import binom  # 0.7 s to import

    flips = learned + forgotten
    if flips == 0:
        return 1.0, 1.0
    two_sided, improved = mcnemar_exact(learned, forgotten)
    observed = float(binom.pmf(forgotten, flips, 0.5))
    if learned == forgotten:
        return 1 - observed / 2, improved - observed / 2
    return two_sided - observed, improved - observed / 2
