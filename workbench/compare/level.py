"""How well one arm does on a suite, with an interval of its own.

812 of 1000 right  ->  0.812, 0.787 to 0.835 (Wilson)
"""

from __future__ import annotations

import numpy as np

from workbench.compare.gain import Settings
from workbench.compare.pairing import Paired
from workbench.compare.statistics.estimates import Estimate, Floats
from workbench.compare.statistics.mean import weighted_mean
from workbench.compare.statistics.rates import clopper_pearson, wilson
from workbench.core.results import Interval


def interval(estimate: Estimate) -> Interval:
    """The estimate as results store it."""
    return Interval(value=estimate.value, low=estimate.low, high=estimate.high)


def arm_level(values: Floats, paired: Paired, unit: str, settings: Settings, *, exact: bool) -> Interval:
    """Mean of one arm over the documents complete in both; `values` [n_docs] is that arm, NaN where it failed.

    Rates get Wilson's interval (`exact`: Clopper-Pearson), the wider of it and the clustered one where documents depend
    on each other, and cover failed documents counted as wrong and as right.
    """
    complete = paired.complete
    codes = np.unique(paired.clusters[complete], return_inverse=True)[1].astype(np.int64)
    clusters = int(codes.max()) + 1
    mean = float(np.average(values[complete], weights=paired.weights[complete]))
    found = Estimate(mean, mean, mean, 0.0, "one independent unit")
    if clusters >= 2:
        found = weighted_mean(values[complete], paired.weights[complete], codes, settings.confidence)
    if unit != "accuracy":
        return interval(found)
    rate = clopper_pearson if exact else wilson
    right, n = int(np.nansum(values[complete])), len(values)
    rates = [rate(right, int(complete.sum()), settings.confidence)]
    if not complete.all():
        right_where_scored, failed = int(np.nansum(values)), int(np.isnan(values).sum())
        rates += [rate(count, n, settings.confidence) for count in (right_where_scored, right_where_scored + failed)]
    if clusters < int(complete.sum()) and clusters >= 2:
        rates.append(Estimate(mean, max(found.low, 0.0), min(found.high, 1.0), found.se, found.method))
    low, high = min(estimate.low for estimate in rates), max(estimate.high for estimate in rates)
    return Interval(value=mean, low=min(low, mean), high=max(high, mean))
