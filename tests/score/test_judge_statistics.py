from __future__ import annotations

import math

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.metrics import cohen_kappa_score

from workbench.core.results import Interval
from workbench.score.golden import PairCalls
from workbench.score.judging.agreement import (
    NOMINAL,
    alpha_interval,
    kappa_interval,
    krippendorff_alpha,
    weighted_kappa,
)
from workbench.score.judging.findings import Judged, findings, mean_interval
from workbench.score.judging.length import length_adjusted, length_correlation
from workbench.score.judging.powered import prediction_powered

NAMES = {0.0: "0", 0.5: "1", 1.0: "2", None: "3"}


@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.0, 0.5, 1.0, None])), min_size=2, max_size=60
    )
)
def test_unweighted_kappa_equals_scikit_learns(pairs: list[tuple[float, float | None]]) -> None:
    left, right = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    ours = weighted_kappa(left, right, NOMINAL)
    if len({*left, *right}) == 1:
        assert ours == 1.0  # one constant on both sides: undefined there, complete agreement here
    else:
        theirs = cohen_kappa_score([NAMES[value] for value in left], [NAMES[value] for value in right])
        assert ours == pytest.approx(theirs, abs=1e-12)


@given(
    st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.0, 0.5, 1.0])), min_size=2, max_size=60)
)
def test_quadratic_kappa_equals_scikit_learns(pairs: list[tuple[float, float]]) -> None:
    left, right = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    if len({*left, *right}) == 1:
        assert weighted_kappa(left, right) == 1.0
        return
    names = [[int(2 * value) for value in side] for side in (left, right)]
    theirs = cohen_kappa_score(*names, weights="quadratic", labels=[0, 1, 2])
    assert weighted_kappa(left, right) == pytest.approx(theirs, abs=1e-12)


def test_a_missing_verdict_is_the_worst_disagreement() -> None:
    people = [0.0, 1.0] * 10
    assert weighted_kappa(people, [*people[:-2], None, None]) < weighted_kappa(people, [*people[:-2], 0.5, 0.5])
    assert weighted_kappa(people, [None] * 20) <= 0


def test_the_interval_of_kappa_is_that_of_resampling_pairs() -> None:
    rng = np.random.default_rng(5)
    left = rng.integers(0, 2, 60).astype(float)
    right = np.where(rng.random(60) < 0.8, left, rng.choice([0.0, 0.5, 1.0], 60))
    resampled = []
    for _ in range(800):
        chosen = rng.integers(0, 60, 60)
        resampled.append(
            cohen_kappa_score(
                (2 * left[chosen]).astype(int), (2 * right[chosen]).astype(int), weights="quadratic", labels=[0, 1, 2]
            )
        )
    interval = kappa_interval(list(left), list(right), seed=0)
    low, high = np.quantile(resampled, [0.025, 0.975])
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=0.04)


def test_alpha_equals_the_published_example() -> None:
    # Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), section D: interval alpha .849
    raters = [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
        [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
    ]
    units = [list(unit) for unit in zip(*raters, strict=True)]
    assert krippendorff_alpha(units) == pytest.approx(0.849, abs=5e-4)
    assert krippendorff_alpha([[1, None], [None, 2]]) is None
    assert krippendorff_alpha([[1, 1], [1, 1, 1]]) == 1.0


def test_alpha_of_two_raters_tends_to_quadratic_kappa_with_equal_margins() -> None:
    # with equal margins the two differ by the finite-sample factor 1 - 1/(2n) alone (Krippendorff 2004)
    left = [0.0, 0.5, 1.0, 0.0, 0.5, 1.0] * 5
    right = [0.0, 0.5, 1.0, 0.5, 1.0, 0.0] * 5
    kappa = weighted_kappa(left, right)
    alpha = krippendorff_alpha(list(zip(left, right, strict=True)))
    assert alpha is not None
    assert 1 - alpha == pytest.approx((1 - kappa) * (2 * len(left) - 1) / (2 * len(left)), abs=1e-12)


def test_the_interval_of_alpha_is_that_of_resampling_units() -> None:
    rng = np.random.default_rng(7)
    truth = rng.choice([0.0, 0.5, 1.0], 50)
    units = [[float(value) if rng.random() < 0.75 else 0.5 for _ in range(3)] for value in truth]
    resampled = [krippendorff_alpha([units[index] for index in rng.integers(0, 50, 50)]) for _ in range(400)]
    interval = alpha_interval(units, seed=0)
    assert interval is not None
    low, high = np.quantile([value for value in resampled if value is not None], [0.025, 0.975])
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=0.05)


def test_the_length_adjusted_rate_and_its_interval_equal_statsmodels() -> None:
    rng = np.random.default_rng(3)
    gaps = rng.normal(80, 300, 200)
    wins = rng.beta(2, 2, 200) * 0.5 + 0.5 / (1 + np.exp(-(0.3 + 1.2 * np.tanh(gaps / gaps.std(ddof=1)))))
    design = sm.add_constant(np.tanh(gaps / gaps.std(ddof=1)))
    fitted = sm.GLM(wins, design, family=sm.families.Binomial()).fit(cov_type="HC0")
    half = 1.959964 * fitted.bse[0] * math.sqrt(200 / 198)  # HC1: statsmodels leaves the factor out for a GLM
    low, high = (1 / (1 + math.exp(-(fitted.params[0] + side * half))) for side in (-1, 1))
    found = length_adjusted(list(wins), list(gaps))
    assert isinstance(found, Interval)
    assert found.value == pytest.approx(1 / (1 + math.exp(-fitted.params[0])), abs=1e-8)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-6)


def test_a_judge_that_only_likes_length_has_an_adjusted_rate_of_one_half() -> None:
    rng = np.random.default_rng(4)
    gaps = rng.normal(200, 200, 400)  # the arm after writes longer answers
    wins = (rng.random(400) < 1 / (1 + np.exp(-3 * np.tanh(gaps / gaps.std(ddof=1))))).astype(float)
    found = length_adjusted(list(wins), list(gaps))
    assert isinstance(found, Interval)
    assert wins.mean() > 0.75
    assert found.low < 0.5 < found.high
    correlation = length_correlation(list(wins), list(gaps))
    assert correlation is not None
    assert correlation.value == pytest.approx(spearmanr(wins, gaps).statistic)
    assert correlation.low > 0.4


@pytest.mark.parametrize(
    ("wins", "gaps", "reason"),
    [
        ([1.0] * 5, [1, 2, 3, 4, 5], "too few"),
        ([0.0, 1.0] * 10, [7] * 20, "same length"),
        ([1.0] * 20, list(range(20)), "always wins"),
        ([0.0] * 10 + [1.0] * 10, list(range(-10, 10)), "length alone"),
    ],
)
def test_where_no_adjusted_rate_exists_the_reason_is_said(wins: list[float], gaps: list[int], reason: str) -> None:
    found = length_adjusted(wins, gaps)
    assert isinstance(found, str)
    assert reason in found


def test_powered_estimate_is_the_formula_of_the_paper() -> None:
    rng = np.random.default_rng(8)
    truth = (rng.random(300) < 0.6).astype(float)
    judged = np.where(rng.random(300) < 0.85, truth, 1 - truth)
    y, f, others = truth[:40], judged[:40], judged[40:]
    found = prediction_powered(list(y), list(f), list(others))
    assert found is not None
    weight = np.cov(y, f)[0, 1] / ((1 + 40 / 260) * np.var(judged, ddof=1))
    assert found.weight == pytest.approx(weight)
    assert found.joined.value == pytest.approx(weight * others.mean() + (y - weight * f).mean())
    assert found.classical.value == pytest.approx(y.mean())
    assert found.joined.high - found.joined.low < found.classical.high - found.classical.low
    assert (found.labelled, found.unlabelled) == (40, 260)


def test_powered_intervals_hold_the_truth_and_a_useless_judge_does_no_harm() -> None:
    # 400 draws: a 95% interval is right in .925 to .975 of them, give or take two standard errors
    rng = np.random.default_rng(11)
    for accuracy, bias in ((0.85, 0.0), (0.85, 0.3), (0.5, 0.0)):
        hits, joined_width, classical_width = 0, 0.0, 0.0
        for _ in range(400):
            truth = (rng.random(340) < 0.6).astype(float)
            judged = np.where(rng.random(340) < accuracy, truth, 1 - truth)
            judged = np.where(rng.random(340) < bias, 1.0, judged)  # bias: it favours the arm after
            found = prediction_powered(list(truth[:40]), list(judged[:40]), list(judged[40:]))
            assert found is not None
            hits += found.joined.low <= 0.6 <= found.joined.high
            joined_width += found.joined.high - found.joined.low
            classical_width += found.classical.high - found.classical.low
        assert hits / 400 >= 0.92
        assert joined_width / classical_width < (0.85 if accuracy > 0.8 and not bias else 1.03)


def test_labels_without_any_spread_still_leave_doubt_and_few_labels_none() -> None:
    found = prediction_powered([1.0] * 20, [1.0] * 20, [1.0, 0.0] * 50)
    assert found is not None
    assert found.classical.low < 0.95 < found.classical.high == 1.0
    assert prediction_powered([1.0] * 9, [1.0] * 9, [1.0] * 50) is None


def test_findings_count_ties_errors_and_positions_and_ignore_equal_answers_for_positions() -> None:
    contests = [Judged(PairCalls(0.9, 0.1), (100, 150 + 10 * number)) for number in range(10)]
    contests += [Judged(PairCalls(0.2, 0.2), (100, 100))] * 4  # the first shown wins both times
    contests += [Judged(PairCalls(0.5, 0.5), (5, 5), asked=False)] * 2
    contests += [Judged(PairCalls(None, 0.4), (100, 100))]
    found = findings(contests, before="base", after="candidate")
    assert found is not None
    wins = [0.9] * 10 + [0.5] * 6
    assert (found.judged, found.failed, found.ties) == (16, 1, 6)
    assert found.win_rate.value == pytest.approx(np.mean(wins))
    assert found.standard_error == pytest.approx(np.std(wins, ddof=1) / 4)
    assert found.position_inconsistent.value == 4 / 14
    assert found.first_preferred.value == (10 + 8) / 28
    assert found.powered is None
    assert findings([Judged(PairCalls(None, None), (1, 1))], before="a", after="b") is None


def test_a_mean_on_a_scale_never_leaves_it_nor_is_certain() -> None:
    assert mean_interval([5.0], 1, 5).low == 1
    same = mean_interval([5.0] * 20, 1, 5)
    assert same.low < 4.7 < same.high == 5


def test_values_that_differ_by_rounding_alone_are_as_uncertain_as_equal_ones() -> None:
    wins = 0.9995 + np.random.default_rng(1).normal(0, 1e-6, 40)  # next to a boundary of rounding
    nearly, equal = mean_interval(list(wins), 0, 1), mean_interval([0.9995] * 40, 0, 1)
    assert (nearly.low, nearly.high) == pytest.approx((equal.low, equal.high), abs=1e-5)
    assert nearly.low < 0.96
    cancelled = mean_interval([0.0, 1.0] * 20, 0, 1, [f"c{number // 2}" for number in range(40)])
    assert (cancelled.low, cancelled.high) == pytest.approx((0.5 - 2.093024 / 20, 0.5 + 2.093024 / 20))
