"""Intervals and tests chosen by the decision table: coverage by simulation, mirror images, degenerate data."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from workbench.compare.gain import Gain, Settings, differences, identical, measure
from workbench.compare.statistics.tango import tango

QUICK = Settings(confidence=0.95, resamples=999, seed=0)
PLAIN = Settings(confidence=0.95, resamples=999, seed=0, exploratory=True)
"""No resampling: the same interval where there are many documents, in a tenth of the time."""


def compared(
    values: np.ndarray, *, clusters: np.ndarray | None = None, binary: bool = False, how: Settings = QUICK
) -> Gain:
    codes = np.arange(len(values)) if clusters is None else clusters
    data = differences(values, np.ones(len(values)), codes, binary=binary, bound=1.0 if binary else None)
    found = measure(data, how)
    assert found is not None
    return found


def covers(found: Gain, truth: float) -> bool:
    return found.estimate.low <= truth <= found.estimate.high


@pytest.mark.parametrize(("n", "learned", "forgotten"), [(60, 0.06, 0.04), (300, 0.06, 0.02), (300, 0.2, 0.15)])
def test_binary_intervals_cover_the_truth_as_often_as_claimed(n: int, learned: float, forgotten: float) -> None:
    rng = np.random.default_rng(n)
    chances = [forgotten, 1 - learned - forgotten, learned]

    draws = (rng.choice([-1.0, 0.0, 1.0], size=n, p=chances) for _ in range(600))
    hits = [covers(compared(values, binary=True), learned - forgotten) for values in draws]
    assert 0.93 <= np.mean(hits) <= 0.985


@pytest.mark.parametrize("n", [12, 25, 120])
def test_graded_intervals_of_skewed_differences_cover_the_truth(n: int) -> None:
    rng = np.random.default_rng(n)

    how = PLAIN if n > 30 else QUICK
    hits = [covers(compared(rng.exponential(1, n) - 0.8, how=how), 0.2) for _ in range(150)]
    # The t interval alone falls to 0.88 at n = 10 and BCa alone to 0.86 (docs/statistics.md).
    assert np.mean(hits) >= (0.87 if n == 12 else 0.91)


@pytest.mark.parametrize("clusters", [8, 60])
def test_clustered_intervals_cover_where_treating_documents_as_independent_does_not(clusters: int) -> None:
    rng = np.random.default_rng(clusters)
    codes = np.repeat(np.arange(clusters), 10)
    how = PLAIN if clusters > 40 else QUICK
    hits, naive_hits = [], []
    for _ in range(150):
        values = rng.normal(size=clusters)[codes] + rng.normal(size=len(codes))
        hits.append(covers(compared(values, clusters=codes, how=how), 0))
        naive_hits.append(covers(compared(values, how=PLAIN), 0))
    assert np.mean(hits) >= 0.91
    assert np.mean(naive_hits) < 0.75


def test_few_flips_get_the_score_interval_and_many_the_t_interval() -> None:
    few = np.array([1.0] * 3 + [-1.0] * 9 + [0.0] * 288)
    assert compared(few, binary=True).estimate.method == "Tango score"
    many = np.array([1.0] * 30 + [-1.0] * 20 + [0.0] * 250)
    limits = stats.ttest_1samp(many, 0).confidence_interval(0.95)
    found = compared(many, binary=True)
    assert (found.estimate.low, found.estimate.high) == pytest.approx((limits.low, limits.high))
    assert found.test == "McNemar exact"
    assert found.p_value == pytest.approx(stats.binomtest(30, 50).pvalue)


def test_all_documents_flipping_one_way_still_leaves_doubt() -> None:
    found = compared(np.ones(25), binary=True).estimate
    assert found.low == tango(25, 0, 25, 0.95).low < 1.0


def test_no_flips_leave_doubt_unless_every_output_is_equal() -> None:
    found = compared(np.zeros(50), binary=True)
    assert found.estimate.high == pytest.approx(tango(0, 0, 50, 0.95).high)
    assert (found.p_value, found.p_improved) == (1.0, 1.0)
    same = identical(50)
    assert (same.estimate.low, same.estimate.high, same.p_value) == (0.0, 0.0, 1.0)


def test_no_flips_in_clusters_are_no_flips_in_so_many_clusters() -> None:
    found = compared(np.zeros(50), clusters=np.repeat(np.arange(5), 10), binary=True)
    assert found.estimate.high == pytest.approx(tango(0, 0, 5, 0.95).high)


@pytest.mark.parametrize("n", [2, 3, 10, 60])
def test_constant_and_zero_differences_are_handled_without_warnings(n: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        constant = compared(np.full(n, 0.25))
        assert constant.estimate.value == pytest.approx(0.25)
        assert constant.p_improved >= 0.5**n * (1 - 1e-9)
        assert compared(np.zeros(n)).p_value == 1.0


def test_one_document_gives_the_whole_scale_or_nothing() -> None:
    bounded = differences(np.array([0.3]), np.ones(1), np.zeros(1, dtype=np.int64), binary=False, bound=1.0)
    found = measure(bounded, QUICK)
    assert found is not None and (found.estimate.low, found.estimate.high, found.p_value) == (-1.0, 1.0, 1.0)
    unbounded = differences(np.array([0.3]), np.ones(1), np.zeros(1, dtype=np.int64), binary=False, bound=None)
    assert measure(unbounded, QUICK) is None


@given(
    st.lists(st.tuples(st.sampled_from([-1.0, 0.0, 0.5, 1.0]), st.integers(0, 6)), min_size=2, max_size=40),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_swapping_the_arms_mirrors_the_interval_and_keeps_the_p_value(
    drawn: list[tuple[float, int]], clustered: bool
) -> None:
    values = np.array([value for value, _ in drawn])
    codes = np.array([code for _, code in drawn]) if clustered else np.arange(len(drawn))
    there = measure(differences(values, np.ones(len(values)), codes, binary=False, bound=1.0), QUICK)
    back = measure(differences(-values, np.ones(len(values)), codes, binary=False, bound=1.0), QUICK)
    assert there is not None and back is not None
    assert back.estimate.value == pytest.approx(-there.estimate.value)
    assert (back.estimate.low, back.estimate.high) == pytest.approx(
        (-there.estimate.high, -there.estimate.low), abs=1e-9
    )
    assert back.p_value == pytest.approx(there.p_value)


@pytest.mark.parametrize("clusters", [None, np.repeat(np.arange(10), 4)])
def test_forty_equal_preferences_leave_open_what_one_in_them_could_change(clusters: np.ndarray | None) -> None:
    """A judge that gives every document .8 says +.3 for each; that is no certainty of +.3."""
    codes = np.arange(40) if clusters is None else clusters
    data = differences(np.full(40, 0.3), np.ones(40), codes, binary=False, bound=0.5)
    found = measure(data, QUICK)
    assert found is not None
    units = 40 if clusters is None else 10
    half = stats.t.ppf(0.975, units - 1) / units  # the scale from -.5 to .5 is 1 long
    assert found.estimate.low == pytest.approx(0.3 - half)
    assert found.estimate.high == pytest.approx(min(0.5, 0.3 + half))
    assert found.estimate.se == pytest.approx(1 / units)
    assert found.p_value < 0.01


def test_flips_that_cancel_out_in_every_cluster_are_no_certainty() -> None:
    """60 flips, one each way in each of 30 clusters: the clusters' sums show no spread at all."""
    found = compared(np.tile([1.0, -1.0], 30), clusters=np.repeat(np.arange(30), 2), binary=True)
    half = stats.t.ppf(0.975, 29) * 2 / 30
    assert (found.estimate.low, found.estimate.value, found.estimate.high) == pytest.approx((-half, 0, half))
    assert (found.p_value, found.p_improved) == (1.0, 0.5)


@pytest.mark.parametrize("win", [0.49998, 0.4995])
def test_preferences_that_differ_by_rounding_alone_are_no_certainty(win: float) -> None:
    """A judge with log-probabilities, sure of 40 wins; read from its words the same wins leave doubt."""
    values = win + np.random.default_rng(1).normal(0, 1e-6, 40)
    found = measure(differences(values, np.ones(40), np.arange(40), binary=False, bound=0.5), QUICK)
    assert found is not None
    assert found.estimate.low == pytest.approx(values.mean() - stats.t.ppf(0.975, 39) / 40)
    assert found.estimate.high == 0.5
