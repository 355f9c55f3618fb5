from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.proportion import proportion_confint

from workbench.core.fingerprints import short_id
from workbench.core.rates import wilson
from workbench.core.suites import Documents, Suite, SuiteDocument
from workbench.score.golden import (
    Calls,
    PairCalls,
    Verdict,
    cohen_kappa,
    golden_pairs,
    kappa_interval,
    measured_trust,
)

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


@given(st.lists(st.tuples(st.sampled_from([0, 1]), st.sampled_from([0, 1, "tie", "none"])), min_size=2, max_size=60))
def test_kappa_equals_scikit_learns(pairs: list[tuple[int, Verdict]]) -> None:
    right, said = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    ours = cohen_kappa(right, said)
    names = [str(verdict) for verdict in said]
    if len({*map(str, right), *names}) == 1:
        assert ours == 1.0  # one constant on both sides: undefined there, complete agreement here
    else:
        assert ours == pytest.approx(cohen_kappa_score([str(truth) for truth in right], names), abs=1e-12)


def test_the_interval_of_kappa_is_that_of_resampling_pairs() -> None:
    rng = random.Random(5)
    right = [number % 2 for number in range(60)]
    said: list[Verdict] = [rng.choices([0, 1, "tie"], [7 - 5 * truth, 2 + 5 * truth, 1])[0] for truth in right]
    resampled = []
    for _ in range(800):
        chosen = [rng.randrange(60) for _ in range(60)]
        resampled.append(cohen_kappa_score([str(right[i]) for i in chosen], [str(said[i]) for i in chosen]))
    resampled.sort()
    interval = kappa_interval(right, said, seed=0)
    assert interval.value == pytest.approx(cohen_kappa_score([str(r) for r in right], [str(s) for s in said]))
    assert interval.low == pytest.approx(resampled[20], abs=0.04)
    assert interval.high == pytest.approx(resampled[780], abs=0.04)


@pytest.mark.parametrize(("successes", "n"), [(0, 10), (7, 10), (40, 40), (13, 200)])
def test_shares_have_wilsons_interval(successes: int, n: int) -> None:
    low, high = proportion_confint(successes, n, method="wilson")
    interval = wilson(successes, n)
    assert (interval.value, interval.low, interval.high) == pytest.approx((successes / n, low, high), abs=1e-9)


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
    assert PairCalls(0.9, 0.9).verdict() == "tie"
    assert PairCalls(0.5, 0.1).verdict() == "tie"
    assert PairCalls(0.9, None).verdict() == "none"


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
