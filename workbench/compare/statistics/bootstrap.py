"""Bootstrap interval of a weighted mean, whole clusters at a time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from workbench.compare.statistics.estimates import Codes, Estimate, Floats
from workbench.compare.statistics.mean import cluster_totals, weighted_mean


def bootstrap_mean(
    values: Floats, weights: Floats, codes: Codes, confidence: float, resamples: int, seed: int
) -> Estimate:
    """BCa interval (Efron 1987, JASA 82:171) of sum(w d) / sum(w), resampling clusters; arrays of [n_docs].

    `scipy.stats.bootstrap` with a fixed seed does the work. Falls back to the percentile interval where the
    acceleration is undefined. At least 2 clusters.
    """
    from scipy.stats import bootstrap  # 0.7 s to import

    plain = weighted_mean(values, weights, codes, confidence)
    if plain.se <= 1e-14 * max(1.0, abs(plain.value)):
        return Estimate(plain.value, plain.value, plain.value, 0.0, "no spread")
    totals = cluster_totals(values, weights, codes)
    settings: dict[str, Any] = {"paired": True, "vectorized": True, "confidence_level": confidence}
    limits = None
    with np.errstate(all="ignore"):
        for method in ("BCa", "percentile"):
            rng = np.random.default_rng(seed)
            found = bootstrap(totals, _ratio, n_resamples=resamples, method=method, rng=rng, batch=999, **settings)
            limits = found.confidence_interval
            if math.isfinite(limits.low) and math.isfinite(limits.high):
                break
    assert limits is not None
    return Estimate(plain.value, float(limits.low), float(limits.high), plain.se, f"{method} bootstrap")


def _ratio(sums: Floats, sizes: Floats, axis: int = -1) -> Any:
    return sums.sum(axis=axis) / sizes.sum(axis=axis)
