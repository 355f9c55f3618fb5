"""How small a difference a comparison can find, and how many documents another would need.

detectable_effect(se=(0.10 / 300) ** 0.5, alpha=0.05)   ->  0.0511: 5.1 points with 300 documents and 10% flips
documents_needed(0.051, 300, margin=0.02)               ->  1951
"""

from __future__ import annotations

import math
from statistics import NormalDist

POWER = 0.8


def detectable_effect(se: float, alpha: float) -> float:
    """Smallest true difference found with 80% power at two-sided level `alpha`: (z_{1-alpha/2} + z_.8) SE.

    For binary metrics SE = sqrt(flips - difference^2) / sqrt(n), where `flips` is the share of documents that flip
    (Miller 2024, arXiv 2411.00640, section 5).
    """
    normal = NormalDist()
    return (normal.inv_cdf(1 - alpha / 2) + normal.inv_cdf(POWER)) * se


def documents_needed(effect: float, n: int, margin: float) -> int | None:
    """Documents with which `margin` becomes the detectable effect, where `n` documents detect `effect`.

    None if `n` are enough already, and for a margin of 0, which no number of documents can reach.
    """
    if margin <= 0 or effect <= margin:
        return None
    return math.ceil(n * (effect / margin) ** 2 - 1e-9)
