"""Mean of per-document differences with a standard error that respects clusters and weights.

weighted_mean(d, ones, codes of the documents, 0.95)     ->  the paired t interval
weighted_mean(d, ones, codes of the passages, 0.95)      ->  the same, clustered
weighted_mean(nats per token, tokens, codes, 0.95)       ->  difference of the log-perplexity of the whole text
"""

from __future__ import annotations

import math

import numpy as np

from workbench.compare.statistics.estimates import Codes, Estimate, Floats


def cluster_totals(values: Floats, weights: Floats, codes: Codes) -> tuple[Floats, Floats]:
    """Per cluster, the sum of weight times value and the sum of the weights: two arrays of [clusters]."""
    sums: Floats = np.bincount(codes, weights * values).astype(np.float64)
    sizes: Floats = np.bincount(codes, weights).astype(np.float64)
    return sums, sizes


def weighted_mean(values: Floats, weights: Floats, codes: Codes, confidence: float) -> Estimate:
    """sum(w d) / sum(w) with the delta-method standard error and a t interval; arrays of [n_docs], at least 2 clusters.

    With residuals r_i = w_i (d_i - mean) summed per cluster c, SE = sqrt(C / (C - 1) * sum_c r_c^2) / sum(w), and C - 1
    degrees of freedom. Weights of 1 give the clustered standard error of Miller 2024 (arXiv 2411.00640, section 2.2) in
    the finite-sample form of inspect_ai; one document per cluster gives sd(d) / sqrt(n). With tokens as weights it is
    the linearised ratio estimator (Cochran 1977, Sampling Techniques, section 6.4).
    """
    sums, sizes = cluster_totals(values, weights, codes)
    clusters = len(sums)
    assert clusters >= 2, f"a standard error needs 2 clusters, got {clusters}"
    total = float(sizes.sum())
    mean = float(sums.sum()) / total
    residuals = cluster_totals(values - mean, weights, codes)[0]
    se = math.sqrt(clusters / (clusters - 1) * float(residuals @ residuals)) / total
    half_width = t_quantile(0.5 + confidence / 2, clusters - 1) * se
    method = "t" if clusters == len(values) else f"clustered t ({clusters} clusters)"
    return Estimate(mean, mean - half_width, mean + half_width, se, method)


def t_quantile(probability: float, degrees: float) -> float:
    """Quantile of Student's t; infinitely many degrees give the normal one."""
    from scipy.special import stdtrit  # 0.2 s to import

    return float(stdtrit(degrees, probability))


def t_p_values(estimate: Estimate, clusters: int) -> tuple[float, float]:
    """Two-sided p of no difference and one-sided p of no gain, from the t statistic with clusters - 1 degrees.

    Without any spread the signs alone are left: 2^(1 - clusters) and half of it (all signs equal by chance).
    """
    from scipy.special import stdtr  # 0.2 s to import

    if estimate.value == 0:
        return 1.0, 0.5 if estimate.se else 1.0
    if estimate.se <= 1e-12 * abs(estimate.value):
        all_equal = 0.5**clusters
        return min(1.0, 2 * all_equal), all_equal if estimate.value > 0 else 1.0
    statistic = estimate.value / estimate.se
    degrees = clusters - 1
    return 2 * float(stdtr(degrees, -abs(statistic))), float(stdtr(degrees, -statistic))
