"""Mean of differences that were measured on the same documents with several seeds: neither is a fixed set.

differences [4 documents, 3 seeds], every seed trains another pair of adapters
crossed_mean(d, ones, codes of the documents, 0.95)   ->  the mean, with an interval for other documents *and* seeds
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from workbench.compare.statistics.estimates import Codes, Estimate, Floats
from workbench.compare.statistics.mean import t_quantile

Table: TypeAlias = NDArray[np.float64]
"""[n_docs, n_seeds] or [n_clusters, n_seeds]."""


@dataclass(frozen=True, slots=True)
class Crossed:
    """The estimate with its degrees of freedom and what its variance is made of."""

    estimate: Estimate
    degrees: float
    seed_sd: float
    """Standard deviation of the difference between seeds, beyond what the documents' own noise explains."""
    seed_share: float
    """Share of the mean's variance that more seeds would shrink; the rest is up to the documents."""

    def p_values(self) -> tuple[float, float]:
        """One-sided p of no gain and of no loss, from the t statistic."""
        from scipy.special import stdtr  # 0.2 s to import

        if self.estimate.se <= 1e-12 * abs(self.estimate.value) or self.estimate.se == 0:
            return (0.0 if self.estimate.value > 0 else 1.0), (0.0 if self.estimate.value < 0 else 1.0)
        statistic = self.estimate.value / self.estimate.se
        return float(stdtr(self.degrees, -statistic)), float(stdtr(self.degrees, statistic))


def crossed_mean(values: Table, weights: Floats, codes: Codes, confidence: float) -> Crossed:
    """Mean of `values` [n_docs, n_seeds], documents weighted by `weights` [n_docs]; at least 2 seeds and 2 clusters.

    Model: d_ij = mean + document_i + seed_j + rest_ij, all random. With the mean squares of the two-way layout,
    Var(mean) = (MS_seed + max(MS_doc - MS_rest, 0)) / (C S), and t has
    (S - 1) ((MS_seed + max(MS_doc - MS_rest, 0)) / MS_seed)^2 degrees of freedom. This is the test of studies with
    several readers and cases, with seeds as readers (Obuchowski and Rockette 1995, Commun Stat Simul Comput 24:285;
    degrees of freedom: Hillis 2007, Statistics in Medicine 26:596). With few seeds of much variance it is a t test over
    seeds, with seeds of none a t test over documents.

    Clusters and weights enter through linearised values, C w_i (d_ij - mean) / sum(w) summed per cluster (Cochran
    1977, section 6.4), so that the variance of the documents is that of `weighted_mean`.
    """
    table = linearised(values, weights, codes)
    clusters, seeds = table.shape
    assert clusters >= 2 and seeds >= 2, f"needs 2 clusters and 2 seeds, got {clusters} and {seeds}"
    ms_doc, ms_seed, ms_rest = mean_squares(table)
    mean = float(table.mean())
    beyond_seeds = max(ms_doc - ms_rest, 0.0)
    total = ms_seed + beyond_seeds
    se = math.sqrt(total / (clusters * seeds))
    degrees = (seeds - 1) * (total / ms_seed) ** 2 if ms_seed > 1e-12 * total else math.inf
    half_width = t_quantile(0.5 + confidence / 2, degrees) * se
    method = f"t, documents and {seeds} seeds both random ({_counted(degrees)} degrees of freedom)"
    estimate = Estimate(mean, mean - half_width, mean + half_width, se, method)
    seed_variance = max(ms_seed - ms_rest, 0.0) / clusters
    return Crossed(estimate, degrees, math.sqrt(seed_variance), ms_seed / total if total > 0 else 0.0)


def linearised(values: Table, weights: Floats, codes: Codes) -> Table:
    """One row per cluster, [n_clusters, n_seeds]; the mean of each column is that seed's weighted mean."""
    clusters, total = int(codes.max()) + 1, float(weights.sum())
    mean = float(weights @ values.mean(axis=1)) / total
    parts = weights[:, None] * (values - mean)
    sums = np.zeros((clusters, values.shape[1]))
    np.add.at(sums, codes, parts)
    return mean + clusters * sums / total


def mean_squares(table: Table) -> tuple[float, float, float]:
    """Mean squares of rows, of columns and of the rest in the two-way layout without repetition."""
    rows, columns = table.shape
    row_means, column_means, mean = table.mean(axis=1), table.mean(axis=0), table.mean()
    rest = table - row_means[:, None] - column_means[None, :] + mean
    return (
        float(columns * np.sum((row_means - mean) ** 2)) / (rows - 1),
        float(rows * np.sum((column_means - mean) ** 2)) / (columns - 1),
        float(np.sum(rest**2)) / ((rows - 1) * (columns - 1)),
    )


def _counted(degrees: float) -> str:
    return "many" if degrees > 999 else f"{degrees:.3g}"
