"""The statistics against scipy, statsmodels, brute force, closed forms and published numbers."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from workbench.compare.statistics.bootstrap import bootstrap_mean
from workbench.compare.statistics.effect import detectable_effect, documents_needed
from workbench.compare.statistics.graded import sign_flip_p_values
from workbench.compare.statistics.mcnemar import mcnemar_exact, mcnemar_midp
from workbench.compare.statistics.mean import t_p_values, weighted_mean
from workbench.compare.statistics.multiplicity import benjamini_hochberg, holm
from workbench.compare.statistics.rates import clopper_pearson, wilson
from workbench.compare.statistics.tango import tango
from workbench.compare.statistics.transitions import Transitions, transitions

Z95 = stats.norm.ppf(0.975)


def one_each(n: int) -> np.ndarray:
    return np.arange(n, dtype=np.int64)


@pytest.mark.parametrize(("successes", "n"), [(0, 1), (1, 1), (0, 40), (40, 40), (8, 10), (812, 1000)])
def test_rate_intervals_agree_with_statsmodels(successes: int, n: int) -> None:
    for found, method in ((wilson(successes, n, 0.95), "wilson"), (clopper_pearson(successes, n, 0.95), "beta")):
        low, high = proportion_confint(successes, n, alpha=0.05, method=method)
        assert (found.low, found.high) == pytest.approx((low, high), abs=1e-9)
        assert found.value == successes / n


@pytest.mark.parametrize(
    ("learned", "forgotten", "n", "confidence", "low", "high"),
    [
        # Bentur et al. 2009 as analysed by Fagerland, Lydersen and Laake 2014, Stat Med 33:2850
        (1, 7, 21, 0.95, -0.517, -0.026),
        # Cavo et al. 2012 in Fagerland, Lydersen and Laake, Statistical Analysis of Contingency Tables, chapter 8
        (6, 16, 161, 0.95, -0.1240, -0.0054),
    ],
)
def test_tango_interval_gives_published_limits(
    learned: int, forgotten: int, n: int, confidence: float, low: float, high: float
) -> None:
    found = tango(learned, forgotten, n, confidence)
    decimals = 3 if n == 21 else 4
    assert (round(found.low, decimals), round(found.high, decimals)) == (low, high)


def constrained_score(learned: int, forgotten: int, n: int, difference: float) -> float:
    """Tango's statistic with the nuisance rate found by maximising the multinomial likelihood numerically."""

    def negative_likelihood(rate: float) -> float:
        cells = ((forgotten, rate), (learned, rate + difference), (n - learned - forgotten, 1 - 2 * rate - difference))
        return -sum(count * math.log(max(chance, 1e-300)) for count, chance in cells if count)

    lowest, highest = max(0.0, -difference), (1 - difference) / 2
    found = optimize.minimize_scalar(
        negative_likelihood, bounds=(lowest, highest), method="bounded", options={"xatol": 1e-13}
    )
    variance = n * (2 * found.x + difference * (1 - difference))
    return (learned - forgotten - n * difference) / math.sqrt(variance)


@pytest.mark.parametrize(("learned", "forgotten", "n"), [(3, 9, 40), (12, 2, 60), (1, 1, 30), (9, 9, 25)])
def test_tango_limits_solve_the_score_equation_with_a_numerically_maximised_likelihood(
    learned: int, forgotten: int, n: int
) -> None:
    found = tango(learned, forgotten, n, 0.95)
    assert constrained_score(learned, forgotten, n, found.low) == pytest.approx(Z95, abs=1e-4)
    assert constrained_score(learned, forgotten, n, found.high) == pytest.approx(-Z95, abs=1e-4)


@pytest.mark.parametrize("n", [1, 7, 50, 1000])
def test_tango_without_flips_has_the_closed_form_width(n: int) -> None:
    found = tango(0, 0, n, 0.95)
    assert found.high == pytest.approx(Z95**2 / (n + Z95**2), abs=1e-9)
    assert found.low == -found.high


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 60))
@settings(max_examples=60, deadline=None)
def test_tango_is_mirrored_by_swapping_and_contains_its_value(learned: int, forgotten: int, unchanged: int) -> None:
    n = learned + forgotten + unchanged
    if n == 0:
        return
    found, mirrored = tango(learned, forgotten, n, 0.95), tango(forgotten, learned, n, 0.95)
    assert (mirrored.low, mirrored.high) == pytest.approx((-found.high, -found.low), abs=1e-9)
    assert -1 <= found.low <= found.value <= found.high <= 1


def test_independent_mean_is_the_paired_t_interval_of_scipy() -> None:
    rng = np.random.default_rng(3)
    before, after = rng.normal(size=57), rng.normal(0.2, 1, size=57)
    found = weighted_mean(after - before, np.ones(57), one_each(57), 0.95)
    oracle = stats.ttest_rel(after, before)
    limits = oracle.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((limits.low, limits.high))
    assert t_p_values(found, 57)[0] == pytest.approx(oracle.pvalue)
    assert t_p_values(found, 57)[1] == pytest.approx(stats.ttest_rel(after, before, alternative="greater").pvalue)


def test_clustered_error_agrees_with_statsmodels_cluster_covariance() -> None:
    import statsmodels.api as sm

    rng = np.random.default_rng(5)
    codes = np.sort(rng.integers(0, 12, size=90))
    codes = np.unique(codes, return_inverse=True)[1]
    values = rng.normal(size=90) + rng.normal(size=12)[codes]
    found = weighted_mean(values, np.ones(90), codes, 0.95)
    fit = sm.OLS(values, np.ones(90)).fit(cov_type="cluster", cov_kwds={"groups": codes, "df_correction": True})
    # statsmodels corrects by C/(C-1) * (n-1)/(n-k); with the constant alone the second factor is 1.
    assert found.se == pytest.approx(float(fit.bse[0]))
    assert found.value == pytest.approx(values.mean())


def test_token_weighted_difference_is_the_difference_of_log_perplexities_and_its_error_matches_the_bootstrap() -> None:
    rng = np.random.default_rng(11)
    tokens = rng.integers(5, 300, size=400).astype(float)
    before, after = rng.normal(3.5, 0.5, 400), rng.normal(3.2, 0.5, 400)
    found = weighted_mean(after - before, tokens, one_each(400), 0.95)
    log_perplexities = [(tokens * nll).sum() / tokens.sum() for nll in (before, after)]
    assert found.value == pytest.approx(log_perplexities[1] - log_perplexities[0])
    draws = rng.integers(0, 400, size=(4000, 400))
    resampled = ((tokens * (after - before))[draws].sum(1)) / tokens[draws].sum(1)
    assert found.se == pytest.approx(resampled.std(ddof=1), rel=0.05)


def test_bootstrap_of_equal_weights_is_scipys_bca_of_the_mean_and_is_repeatable() -> None:
    values = np.random.default_rng(2).exponential(size=24)
    found = bootstrap_mean(values, np.ones(24), one_each(24), 0.95, 9999, seed=7)
    oracle = stats.bootstrap((values,), np.mean, method="BCa", n_resamples=9999, rng=np.random.default_rng(1))
    limits = oracle.confidence_interval
    assert (found.low, found.high) == pytest.approx((limits.low, limits.high), abs=0.03)
    assert found == bootstrap_mean(values, np.ones(24), one_each(24), 0.95, 9999, seed=7)


def test_bootstrap_resamples_whole_clusters() -> None:
    # Ten copies of each of eight values: as many documents as you like, but only eight observations.
    values = np.random.default_rng(4).normal(size=8)
    copied = np.repeat(values, 10)
    codes = np.repeat(np.arange(8), 10)
    whole = bootstrap_mean(copied, np.ones(80), codes, 0.95, 4999, seed=0)
    few = bootstrap_mean(values, np.ones(8), one_each(8), 0.95, 4999, seed=0)
    # Not equal to the last digit: rounding decides whether a resample that repeats the sample counts as a tie.
    assert (whole.low, whole.high) == pytest.approx((few.low, few.high), rel=0.02)


@pytest.mark.parametrize(("learned", "forgotten"), [(0, 0), (1, 7), (7, 1), (6, 16), (5, 5), (0, 9), (40, 60)])
def test_exact_mcnemar_agrees_with_statsmodels_and_scipy(learned: int, forgotten: int) -> None:
    two_sided, improved = mcnemar_exact(learned, forgotten)
    if learned + forgotten == 0:
        assert (two_sided, improved) == (1.0, 1.0)
        return
    table = [[10, forgotten], [learned, 10]]
    assert two_sided == pytest.approx(mcnemar(table, exact=True).pvalue)
    oracle = stats.binomtest(learned, learned + forgotten, 0.5, alternative="greater").pvalue
    assert improved == pytest.approx(oracle)


@pytest.mark.parametrize(
    ("learned", "forgotten", "exact", "midp"), [(1, 7, 0.0703, 0.0391), (6, 16, 0.052479, 0.034690)]
)
def test_mcnemar_gives_published_p_values(learned: int, forgotten: int, exact: float, midp: float) -> None:
    # Fagerland, Lydersen and Laake 2013 (airway hyper-responsiveness); the same authors' book (complete response)
    decimals = 4 if learned == 1 else 6
    assert round(mcnemar_exact(learned, forgotten)[0], decimals) == exact
    assert round(mcnemar_midp(learned, forgotten)[0], decimals) == midp


def test_sign_flip_test_enumerates_all_signs_of_few_documents() -> None:
    totals = np.array([0.3, 1.2, -0.4, 0.9, 0.7, 2.1])
    sums = [sum(s * t for s, t in zip(signs, totals, strict=True)) for signs in itertools.product((1, -1), repeat=6)]
    observed = totals.sum()
    one_sided = sum(value >= observed - 1e-12 for value in sums) / 64
    two_sided, improved = sign_flip_p_values(totals, 9999, seed=0)
    assert improved == pytest.approx(one_sided)
    assert two_sided == pytest.approx(2 * one_sided)


def test_sign_flip_test_of_many_documents_nears_the_t_test() -> None:
    totals = np.random.default_rng(8).normal(0.25, 1, 80)
    assert sign_flip_p_values(totals, 9999, seed=0)[0] == pytest.approx(stats.ttest_1samp(totals, 0).pvalue, abs=0.01)
    assert sign_flip_p_values(np.zeros(5), 9999, seed=0) == (1.0, 1.0)


@pytest.mark.parametrize(
    "p_values", [[0.04], [0.01, 0.04, 0.03], [0.5, 0.5, 0.001, 0.02, 1.0, 0.0], [0.9, 0.8, 0.7], [1e-9] * 4]
)
def test_holm_and_benjamini_hochberg_agree_with_statsmodels(p_values: list[float]) -> None:
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])
    assert benjamini_hochberg(p_values) == pytest.approx(multipletests(p_values, method="fdr_bh")[1])


def test_no_p_values_need_no_correction() -> None:
    assert holm([]) == [] and benjamini_hochberg([]) == []


@pytest.mark.parametrize(
    ("n", "points"),
    [(100, (6.9, 8.9, 12.5)), (300, (4.0, 5.1, 7.2)), (1000, (2.2, 2.8, 4.0)), (1319, (1.9, 2.4, 3.4))],
)
def test_detectable_effect_gives_the_known_table(n: int, points: tuple[float, ...]) -> None:
    found = [100 * detectable_effect(math.sqrt(flips / n), 0.05) for flips in (0.06, 0.10, 0.20)]
    assert [round(value, 1) for value in found] == list(points)


def test_documents_needed_is_the_least_number_that_detects_the_margin() -> None:
    effect = detectable_effect(math.sqrt(0.1 / 300), 0.05)
    needed = documents_needed(effect, 300, 0.02)
    assert needed is not None
    enough, too_few = (detectable_effect(math.sqrt(0.1 / n), 0.05) for n in (needed, needed - 1))
    assert enough <= 0.02 < too_few
    assert documents_needed(effect, 300, 0.06) is None and documents_needed(effect, 300, 0.0) is None


def test_detectable_effect_is_found_in_four_of_five_simulated_comparisons() -> None:
    rng = np.random.default_rng(0)
    n, flips = 400, 0.12
    effect = detectable_effect(math.sqrt(flips / n), 0.05)
    chances = [(flips + effect) / 2, (flips - effect) / 2, 1 - flips]
    learned, forgotten, _ = rng.multinomial(n, chances, size=4000).T
    mean = (learned - forgotten) / n
    se = np.sqrt(((learned + forgotten) / n - mean**2) / n)
    assert np.mean(np.abs(mean / se) > Z95) == pytest.approx(0.8, abs=0.03)


def test_transitions_count_the_four_cells() -> None:
    before, after = np.array([1.0, 1, 0, 0, 1, 0]), np.array([0.0, 1, 1, 0, 1, 1])
    found = transitions(before, after)
    assert found == Transitions(forgotten=1, learned=2, kept=2, never=1)
    assert found.flip_rate == 0.5
    assert Transitions(0, 0, 0, 0).flip_rate == 0.0
