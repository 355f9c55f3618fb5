"""Sign-flip permutation test for graded scores: is the mean difference more than chance signs would give?"""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.compare.statistics.estimates import Floats


def sign_flip_p_values(totals: Floats, resamples: int, seed: int) -> tuple[float, float]:
    """Two-sided p of no difference and one-sided p of no gain; `totals` [clusters] are summed differences.

    Under no effect each cluster's difference is as likely as its opposite, so all signs are drawn at random
    (`scipy.stats.permutation_test`, "samples"; exact where 2^clusters <= resamples). It tests the mean that is
    reported, which Wilcoxon's signed ranks do not. Clusters without a difference say nothing and are left out; without
    any, both are 1.
    """
    from scipy.stats import permutation_test  # 0.7 s to import

    moved = totals[totals != 0]
    if len(moved) == 0:
        return 1.0, 1.0
    if len(moved) == 1:
        return 1.0, 0.5 if moved[0] > 0 else 1.0
    settings: dict[str, Any] = {"permutation_type": "samples", "vectorized": True, "n_resamples": resamples}
    p_values = []
    for alternative in ("two-sided", "greater"):
        rng = np.random.default_rng(seed)
        test = permutation_test((moved,), _mean, alternative=alternative, rng=rng, batch=999, **settings)
        p_values.append(float(test.pvalue))
    return p_values[0], p_values[1]


def _mean(values: Floats, axis: int = -1) -> Any:
    return values.mean(axis=axis)
