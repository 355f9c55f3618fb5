"""Which of several arms may be the best, and what the highest of several estimates is worth.

distances {("a", "b"): +0.3 (+0.1 to +0.5), ("a", "c"): 0.0 (-0.2 to +0.2), ...}   (second minus first)
shortfalls(...)   ->   a: 0.1 to 0.5 worse than the best; b: 0 to 0.1; c: 0 to 0.4

split_half(sums, sizes, 200, seed)   ->   arm 1 highest at +0.30; chosen on one half and measured on the other: +0.22
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workbench.compare.statistics.estimates import Estimate, Floats


def one_sided_confidence(alpha: float, arms: int) -> float:
    """Confidence of the two-sided interval whose ends are one-sided bounds at alpha / (arms - 1)."""
    return 1 - 2 * alpha / max(arms - 1, 1)


def shortfalls(arms: Sequence[str], distances: Mapping[tuple[str, str], Estimate]) -> dict[str, tuple[float, ...]]:
    """How far every arm is from the best of `arms`: its estimate and both bounds, each at least 0.

    `distances[a, b]` is the gain of b over a, for one order of every pair, with an interval of `one_sided_confidence`.
    With probability 1 - alpha all bounds hold together: they need no more than that each of the other arms is not
    overrated against the truly best one, which are arms - 1 statements (Hsu 1984, Ann Stat 12:1136, multiple
    comparisons with the best; Bonferroni instead of his quantile, because pairs differ in variance and degrees of
    freedom). An arm whose lower bound is above 0 is not the best; the others are a confidence set for it (Gupta 1965,
    Technometrics 7:225).

    `arms` must not have been picked by these data, or hold the best of all from which they were picked: the statements
    are about one fixed best arm.
    """
    found = {}
    for arm in arms:
        ahead = [_gain_of(other, arm, distances) for other in arms if other != arm]
        found[arm] = tuple(max([0.0, *ends]) for ends in zip(*ahead, strict=True)) if ahead else (0.0, 0.0, 0.0)
    return found


def _gain_of(other: str, arm: str, distances: Mapping[tuple[str, str], Estimate]) -> tuple[float, float, float]:
    """Value and bounds of `other` minus `arm`."""
    if (straight := distances.get((arm, other))) is not None:
        return straight.value, straight.low, straight.high
    turned = distances[other, arm]
    return -turned.value, -turned.high, -turned.low


@dataclass(frozen=True, slots=True)
class Halves:
    """The highest of several estimates, and the gain elsewhere of whichever is highest on one half."""

    arm: int
    gain: float
    gain_elsewhere: float
    same_arm: float


def split_half(sums: NDArray[np.float64], sizes: Floats, splits: int, seed: int) -> Halves | None:
    """Chooses the arm with the highest mean on a random half and measures it on the other, `splits` times both ways.

    sums: [clusters, arms, seeds], weighted gains summed per cluster; sizes: [clusters], their weights. Documents are
    halved by cluster; with two seeds or more the seeds are halved as well, so that neither the documents nor the
    trainings that chose an arm have a part in measuring it. The mean over the splits is free of the optimism of a
    maximum; it is what a choice from half as much would be worth, so it errs on the low side. None with one cluster.
    """
    clusters, _, seeds = sums.shape
    if clusters < 2:
        return None
    whole = sums.sum(axis=(0, 2)) / (sizes.sum() * seeds)
    best = int(np.argmax(whole))
    rng = np.random.default_rng(seed)
    measured: list[float] = []
    same = 0
    for _ in range(splits):
        documents, trainings = _half(rng, clusters), _half(rng, seeds)
        others = ~trainings if seeds > 1 else trainings
        one, two = (documents, trainings), (~documents, others)
        for choosing, measuring in ((one, two), (two, one)):
            chosen = int(np.argmax(_means(sums, sizes, *choosing)))
            measured.append(float(_means(sums, sizes, *measuring)[chosen]))
            same += chosen == best
    return Halves(best, float(whole[best]), float(np.mean(measured)), same / (2 * splits))


def _half(rng: np.random.Generator, count: int) -> NDArray[np.bool_]:
    """A random half of `count` things; the one thing there is belongs to both halves."""
    chosen = np.zeros(count, dtype=np.bool_)
    chosen[rng.permutation(count)[: max(count // 2, 1)]] = True
    return chosen


def _means(
    sums: NDArray[np.float64], sizes: Floats, documents: NDArray[np.bool_], trainings: NDArray[np.bool_]
) -> Floats:
    """Weighted mean gain of every arm over some clusters and seeds, [arms]."""
    part: Floats = sums[documents][:, :, trainings].sum(axis=(0, 2)) / (sizes[documents].sum() * trainings.sum())
    return part
