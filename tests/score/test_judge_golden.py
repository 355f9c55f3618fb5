from __future__ import annotations

from typing import Any

import pytest
from scipy.stats import binomtest
from statsmodels.stats.proportion import proportion_confint

from workbench.core.fingerprints import short_id
from workbench.core.rates import wilson
from workbench.core.suites import Documents, Suite, SuiteDocument
from workbench.score.golden import Calls, PairCalls, golden_pairs, measured_trust
from workbench.score.judging.agreement import kappa_interval

SUITE = Suite(
    name="answers",
    kind="judge",
    role="target",
    documents=Documents(file="x.jsonl"),
    primary_metric="win_rate",
    cluster="cluster",
)


def documents(count: int, **fields: Any) -> list[SuiteDocument]:
    rows = [
        {"prompt": f"Question {number}?", "reference": f"Answer {number}.", "cluster": f"c{number}"} | fields
        for number in range(count)
    ]
    return [
        SuiteDocument(doc_id=place, doc_hash=short_id([place, row]), occurrence=0, fields=row)
        for place, row in enumerate(rows)
    ]


@pytest.mark.parametrize(("successes", "n"), [(0, 10), (7, 10), (40, 40), (13, 200)])
def test_shares_have_wilsons_interval(successes: int, n: int) -> None:
    low, high = proportion_confint(successes, n, method="wilson")
    interval = wilson(successes, n)
    assert (interval.value, interval.low, interval.high) == pytest.approx((successes / n, low, high), abs=1e-9)


def test_shares_are_scipys_to_the_last_digits_and_half_a_success_lies_between() -> None:
    for n in (1, 2, 7, 40, 333):
        for successes in range(n + 1):
            oracle = binomtest(successes, n).proportion_ci(0.95, method="wilson")
            interval = wilson(successes, n)
            assert (interval.low, interval.high) == pytest.approx((oracle.low, oracle.high), abs=1e-12)
            assert 0 <= interval.low <= interval.value <= interval.high <= 1
    assert wilson(0, 5).low == 0 and wilson(5, 5).high == 1
    assert wilson(3, 9).low < wilson(3.5, 9).low < wilson(4, 9).low


def test_nothing_counted_is_nothing_known() -> None:
    assert wilson(0, 0).high == 1.0
    assert kappa_interval([], [], 0).low == -1.0


def test_golden_pairs_hold_the_own_reference_and_another_documents_balanced_and_repeatable() -> None:
    found = golden_pairs(documents(50), SUITE, 40, seed=1)
    assert len(found) == 40
    assert sum(pair.right for pair in found) == 20
    assert len({pair.doc_hash for pair in found}) == 40
    for pair in found:
        number = pair.prompt.removeprefix("Question ").removesuffix("?")
        assert pair.answers[pair.right] == f"Answer {number}."
        assert pair.answers[1 - pair.right] != f"Answer {number}."
    assert found == golden_pairs(documents(50), SUITE, 40, seed=1)
    assert found != golden_pairs(documents(50), SUITE, 40, seed=2)


def test_equal_references_dependent_documents_and_missing_references_make_no_pair() -> None:
    assert golden_pairs(documents(10, reference="The same."), SUITE, 10, seed=0) == []
    assert golden_pairs(documents(10, cluster="one"), SUITE, 10, seed=0) == []
    assert golden_pairs(documents(10, reference="  "), SUITE, 10, seed=0) == []
    assert golden_pairs(documents(1), SUITE, 10, seed=0) == []


def test_the_verdict_of_a_pair_needs_both_orders() -> None:
    assert PairCalls(0.9, 0.1).verdict() == 1
    assert PairCalls(0.1, 0.9).verdict() == 0
    assert PairCalls(0.9, 0.9).verdict() == 0.5
    assert PairCalls(0.5, 0.1).verdict() == 0.5
    assert PairCalls(0.9, None).verdict() is None


def test_a_contradiction_of_the_orders_is_half_a_win_and_agreement_is_their_mean() -> None:
    assert PairCalls(0.9, 0.2).win() == pytest.approx(0.85)
    assert PairCalls(0.9, 0.8).win() == 0.5
    assert PairCalls(0.9, 0.8).soft() == pytest.approx(0.55)
    assert PairCalls(None, 0.8).win() is None


def test_trust_counts_position_effects_over_the_pairs_that_can_show_them() -> None:
    pairs = golden_pairs(documents(20), SUITE, 20, seed=0)
    # four pairs follow the position, one call is missing, the rest is right
    said = [PairCalls(0.1, 0.1)] * 4 + [PairCalls(None, 0.3)]
    said += [PairCalls(0.9, 0.1) if pair.right else PairCalls(0.1, 0.9) for pair in pairs[5:]]
    trust = measured_trust(pairs, said, Calls("judge", 40, 1, ()), suite="answers", min_kappa=0.4, seed=0)
    assert trust.agreement.value == 15 / 20
    assert trust.position_inconsistent.value == 4 / 19
    assert trust.first_preferred.value == (8 + 15 + 1) / 39
    assert trust.parse_failures == 1
    assert trust.trusted == (trust.kappa.low >= 0.4)
