"""Several pairs of adapters on one suite: the mean gain, for other documents and other seeds.

before, after [300 documents, 3 seeds], right and wrong
->  gain +2.1 points, 95% CI -0.9 to 5.1, the widest of: both random, documents alone, seeds alone

Every seed is a pair: the same seed trains both adapters. One seed says nothing about others, so its interval is that of
the documents alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workbench.compare.gain import FEW_FLIPS, Gain, Settings, differences, measure
from workbench.compare.statistics.crossed import Table, crossed_mean, linearised
from workbench.compare.statistics.effect import POWER
from workbench.compare.statistics.estimates import Codes, Estimate, Flags, Floats
from workbench.compare.statistics.mean import t_p_values, t_quantile, weighted_mean
from workbench.compare.statistics.tango import tango
from workbench.compare.suite import Scale


@dataclass(frozen=True, slots=True)
class SeededScores:
    """Two arms on one suite; documents in the order of their keys, at least one."""

    before: Table
    """[n_docs, n_seeds]; NaN where the document failed."""
    after: Table
    weights: Floats
    """[n_docs]."""
    clusters: Codes
    """[n_docs]."""


@dataclass(frozen=True, slots=True)
class SeededGain:
    """What can be said of after minus before, positive is better."""

    estimate: Estimate
    by_seed: tuple[float, ...]
    p_better: float
    p_worse: float
    seed_sd: float
    seed_share: float
    mde: float


def seeded_gain(scores: SeededScores, scale: Scale, settings: Settings, alpha: float) -> SeededGain | None:
    """Interval, one-sided p-values and detectable effect; None with one independent document and no bounds.

    A document that failed in any seed has no difference. Where the metric is bounded, the interval covers both what
    such documents could have gained and what they could have lost, as in a comparison of two arms.
    """
    gains = scale.sign * (scores.after - scores.before)
    complete: Flags = np.all(~np.isnan(gains), axis=1)
    if not complete.any():
        return None
    found = _measured(gains[complete], scores.weights[complete], scores.clusters[complete], scale, settings, alpha)
    if found is None or complete.all() or scale.bound is None:
        return found
    low, high = (0.0, 1.0) if scale.sign > 0 else (1.0, 0.0)
    extremes = []
    for missing_before, missing_after in ((high, low), (low, high)):
        before = np.where(np.isnan(scores.before), missing_before, scores.before)
        after = np.where(np.isnan(scores.after), missing_after, scores.after)
        filled = scale.sign * (after - before)
        extreme = _measured(filled, scores.weights, scores.clusters, scale, settings, alpha)
        assert extreme is not None, "bounded differences always have an interval"
        extremes.append(extreme)
    worst, best = extremes
    failed = len(complete) - int(complete.sum())
    method = f"{found.estimate.method}; covers all-lost and all-won for {failed} failed"
    return SeededGain(
        estimate=found.estimate.widened(worst.estimate, best.estimate, method=method),
        by_seed=found.by_seed,
        p_better=max(found.p_better, worst.p_better),
        p_worse=max(found.p_worse, best.p_worse),
        seed_sd=found.seed_sd,
        seed_share=found.seed_share,
        mde=max(found.mde, worst.mde, best.mde),
    )


def _measured(
    gains: Table, weights: Floats, clusters: Codes, scale: Scale, settings: Settings, alpha: float
) -> SeededGain | None:
    """The widest of three intervals: documents and seeds both random, documents alone, seeds alone.

    With two or three seeds the first alone is too short where seeds differ much, because the variance between seeds is
    estimated from so few (docs/ablation.md has the simulation).
    """
    documents = _documents_alone(gains.mean(axis=1), weights, clusters, scale, settings)
    if documents is None:
        return None
    codes = np.unique(clusters, return_inverse=True)[1].astype(np.int64)
    cluster_count = int(codes.max()) + 1
    seeds = gains.shape[1]
    by_seed = linearised(gains, weights, codes).mean(axis=0)
    found = [(documents.gain.estimate, documents.p_better, documents.p_worse, float(max(cluster_count - 1, 1)))]
    seed_sd = seed_share = 0.0
    if seeds > 1:
        alone = weighted_mean(by_seed, np.ones(seeds), np.arange(seeds), settings.confidence)
        found.append((alone, *_one_sided(alone, seeds), float(seeds - 1)))
    if seeds > 1 and cluster_count > 1:
        crossed = crossed_mean(gains, weights, codes, settings.confidence)
        found.append((crossed.estimate, *crossed.p_values(), crossed.degrees))
        seed_sd, seed_share = crossed.seed_sd, crossed.seed_share
    method = documents.gain.estimate.method
    if seeds > 1:
        method = f"widest of: documents and {seeds} seeds both random; documents alone ({method}); seeds alone (t)"
    estimates = [estimate for estimate, *_ in found]
    mean = float(np.average(gains.mean(axis=1), weights=weights))
    widest = max(estimates, key=lambda one: one.high - one.low)
    return SeededGain(
        estimate=Estimate(
            mean,
            min(estimate.low for estimate in estimates),
            max(estimate.high for estimate in estimates),
            widest.se,
            method,
        ),
        by_seed=tuple(float(value) for value in by_seed),
        p_better=max(p_better for _, p_better, _, _ in found),
        p_worse=max(p_worse for _, _, p_worse, _ in found),
        seed_sd=seed_sd,
        seed_share=seed_share,
        mde=max(_detectable(estimate.se, degrees, alpha) for estimate, _, _, degrees in found),
    )


@dataclass(frozen=True, slots=True)
class _Documents:
    """The gain averaged over seeds, with the documents as the only chance."""

    gain: Gain
    p_better: float
    p_worse: float


def _documents_alone(
    gains: Floats, weights: Floats, clusters: Codes, scale: Scale, settings: Settings
) -> _Documents | None:
    """As between two arms. Few documents with a gain or loss widen the interval to Tango's, each counted in full."""
    better, worse = (
        measure(differences(turned, weights, clusters, binary=False, bound=scale.bound), settings)
        for turned in (gains, -gains)
    )
    if better is None or worse is None:
        return None
    p_better, p_worse = better.p_improved, worse.p_improved
    up, down, n = int(np.count_nonzero(gains > 0)), int(np.count_nonzero(gains < 0)), len(gains)
    if scale.binary and up + down < FEW_FLIPS and n > 1:
        score = tango(up, down, n, settings.confidence)
        method = f"wider of {better.estimate.method} and Tango score"
        better = Gain(better.estimate.widened(score, method=method), better.p_value, p_better, better.test)
    return _Documents(better, p_better, p_worse)


def _one_sided(estimate: Estimate, units: int) -> tuple[float, float]:
    """p of no gain and of no loss."""
    turned = Estimate(-estimate.value, -estimate.high, -estimate.low, estimate.se, estimate.method)
    return t_p_values(estimate, units)[1], t_p_values(turned, units)[1]


def _detectable(se: float, degrees: float, alpha: float) -> float:
    """Smallest true difference found with 80% power: (t_{1-alpha/2} + t_.8) SE, as Miller 2024 with t for z."""
    return (t_quantile(1 - alpha / 2, degrees) + t_quantile(POWER, degrees)) * se

