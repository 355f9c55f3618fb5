"""What a trusted judge said of two arms as a whole: win rate, ties, position, length, and people's labels joined in.

    120 contests  ->  JudgeFindings(win_rate=.58 [.50, .66], length_adjusted=.55 [.46, .63], ties=21, ...)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from workbench.core.rates import wilson
from workbench.core.results import Interval, JudgeFindings, PoweredRate, ScaleResult
from workbench.score.golden import PairCalls
from workbench.score.judging.length import length_adjusted, length_correlation
from workbench.score.judging.powered import prediction_powered

_CONFIDENCE = 0.95
_NO_SPREAD = 5e-4
"""Standard deviation between clusters, as a share of the scale, below which it is no more than rounding."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One contest: the judge's calls, the lengths of the answers, and people's label where there is one."""

    calls: PairCalls
    """The answer before stands first in the pair."""
    characters: tuple[int, int]
    """Of the answers before and after."""
    label: float | None = None
    asked: bool = True
    """False for equal answers, which are a tie without a call."""
    cluster: str | None = None
    """Contests that depend on each other share one; None stands alone."""


def findings(
    contests: Sequence[Judged], *, before: str, after: str, scales: tuple[ScaleResult, ...] = ()
) -> JudgeFindings | None:
    """All numbers over the contests with a verdict in both orders; None without one."""
    told = [(contest, win) for contest in contests if (win := contest.calls.win()) is not None]
    if not told:
        return None
    wins = [win for _, win in told]
    gaps = [contest.characters[1] - contest.characters[0] for contest, _ in told]
    asked = [contest.calls for contest, _ in told if contest.asked]
    both = [calls.winners() for calls in asked]
    firsts = [call for calls in asked for call in (calls.in_order, calls.swapped) if call is not None and call != 0.5]
    adjusted = length_adjusted(wins, gaps)
    rate = mean_interval(wins, 0, 1, [contest.cluster for contest, _ in told])
    return JudgeFindings(
        before=before,
        after=after,
        judged=len(told),
        failed=len(contests) - len(told),
        ties=wins.count(0.5),
        win_rate=rate,
        standard_error=standard_error(wins),
        soft_win_rate=sum(contest.calls.soft() or 0.0 for contest, _ in told) / len(told),
        position_inconsistent=wilson(sum(first != second for first, second in both), len(both)),
        first_preferred=wilson(sum(call < 0.5 for call in firsts), len(firsts)),
        length_before=sum(contest.characters[0] for contest, _ in told) / len(told),
        length_after=sum(contest.characters[1] for contest, _ in told) / len(told),
        length_correlation=length_correlation(wins, gaps),
        length_adjusted=None if isinstance(adjusted, str) else adjusted,
        length_note=adjusted if isinstance(adjusted, str) else "",
        powered=_powered(told),
        scales=scales,
    )


def standard_error(values: Sequence[float]) -> float:
    """Sample standard deviation over the root of n; 0 for a single value."""
    return float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else 0.0


def mean_interval(
    values: Sequence[float], lowest: float, highest: float, clusters: Sequence[str | None] = ()
) -> Interval:
    """Mean of values on a scale with its 95% t interval, kept on the scale; a single value leaves everything open.

    Values of one cluster depend on each other: the error is then the clustered one (Miller 2024, arXiv 2411.00640,
    section 2.2), with one degree of freedom less than clusters. Values without any spread but rounding count as if one
    cluster had been off by the whole scale: they cannot show less.
    """
    value = float(np.mean(values))
    codes: dict[object, int] = {}
    # None is a cluster of its own
    places = [
        codes.setdefault(place if name is None else name, len(codes))
        for place, name in enumerate(clusters or [None] * len(values))
    ]
    n = len(codes)
    if n < 2:
        return Interval(value=value, low=lowest, high=highest)
    from scipy.stats import t  # 0.7 s: only where a judge has judged

    residuals = np.bincount(places, np.asarray(values, dtype=np.float64) - value)
    error = math.sqrt(n / (n - 1) * float(residuals @ residuals)) / len(values)
    if error * math.sqrt(n) <= _NO_SPREAD * (highest - lowest):
        error = (highest - lowest) / n
    half = float(t.ppf((1 + _CONFIDENCE) / 2, n - 1)) * error
    return Interval(value=value, low=max(lowest, value - half), high=min(highest, value + half))


def _powered(told: Sequence[tuple[Judged, float]]) -> PoweredRate | None:
    """People are asked about different answers alone: their labels are a draw of those, and equal ones are ties."""
    different = [(contest, win) for contest, win in told if contest.asked]
    labelled = [(contest.label, win) for contest, win in different if contest.label is not None]
    others = [win for contest, win in different if contest.label is None]
    found = prediction_powered([label for label, _ in labelled], [win for _, win in labelled], others)
    return found and found.model_copy(
        update={
            "joined": _with_ties(found.joined, len(different), len(told)),
            "classical": _with_ties(found.classical, len(different), len(told)),
        }
    )


def _with_ties(rate: Interval, different: int, n: int) -> Interval:
    """A rate among `different` of `n` contests as the rate of all, the others being ties: 0.5 + s (rate - 0.5).

    The share s is a draw as well; its variance s (1 - s) / n joins in by the delta method."""
    share, gap = different / n, rate.value - 0.5
    drawn = NormalDist().inv_cdf((1 + _CONFIDENCE) / 2) * abs(gap) * math.sqrt(share * (1 - share) / n)
    value = 0.5 + share * gap
    return Interval(
        value=value,
        low=max(0.0, value - math.hypot(share * (rate.value - rate.low), drawn)),
        high=min(1.0, value + math.hypot(share * (rate.high - rate.value), drawn)),
    )
