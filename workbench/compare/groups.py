"""Categories of a suite: where the gain comes from, and where it goes the other way.

Exploratory: t, Tango or delta-method intervals without resampling, Benjamini-Hochberg over the suite's categories.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from workbench.compare.gain import Differences, Settings, differences, measure
from workbench.compare.statistics.estimates import Floats
from workbench.compare.statistics.multiplicity import benjamini_hochberg
from workbench.core.results import GroupComparison, Interval


@dataclass(frozen=True, slots=True)
class GroupTable:
    """What a suite's categories add to it."""

    groups: tuple[GroupComparison, ...] = ()
    macro_before: float | None = None
    """Mean over categories of their means; None without categories."""
    macro_after: float | None = None
    sign_reversals: tuple[str, ...] = ()


def compare_groups(
    names: NDArray[np.object_], before: Floats, after: Floats, data: Differences, overall: float, settings: Settings
) -> GroupTable:
    """Compares each category; documents without one are left out, and without any there is no table.

    `before`, `after` and `data` hold the same documents [n_docs], `overall` is the suite's gain. A category of one
    document whose metric has no bound has no interval: it counts in the macro means and has no line.
    """
    known: list[str] = sorted(set(names.tolist()) - {None})
    if not known:
        return GroupTable()
    codes = {name: code for code, name in enumerate(known)}
    membership = np.array([codes.get(name, -1) for name in names.tolist()], dtype=np.int64)
    order = np.argsort(membership, kind="stable")
    starts = np.searchsorted(membership[order], np.arange(len(known) + 1))
    exploratory = replace(settings, exploratory=True)
    rows: list[GroupComparison] = []
    means: list[tuple[float, float]] = []
    for code, name in enumerate(known):
        chosen = order[starts[code] : starts[code + 1]]
        weights = data.weights[chosen]
        mean_before = float(np.average(before[chosen], weights=weights))
        mean_after = float(np.average(after[chosen], weights=weights))
        means.append((mean_before, mean_after))
        part = differences(
            data.values[chosen], weights, data.clusters[chosen], binary=data.step is not None, bound=data.bound
        )
        gain = measure(part, exploratory)
        if gain is None:
            continue
        interval = Interval(value=gain.estimate.value, low=gain.estimate.low, high=gain.estimate.high)
        rows.append(
            GroupComparison(
                group=name,
                n=len(chosen),
                before=mean_before,
                after=mean_after,
                gain=interval,
                p_value=gain.p_value,
                q_value=1.0,
            )
        )
    q_values = benjamini_hochberg([row.p_value for row in rows])
    rows = [row.model_copy(update={"q_value": q}) for row, q in zip(rows, q_values, strict=True)]
    return GroupTable(
        groups=tuple(rows),
        macro_before=float(np.mean([mean for mean, _ in means])),
        macro_after=float(np.mean([mean for _, mean in means])),
        sign_reversals=tuple(row.group for row in rows if _reversed(row.gain, overall)),
    )


def _reversed(gain: Interval, overall: float) -> bool:
    return (overall > 0 and gain.high < 0) or (overall < 0 and gain.low > 0)
