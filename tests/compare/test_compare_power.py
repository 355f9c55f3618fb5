"""Margins that no number of documents at hand can show."""

from __future__ import annotations

import math

import pytest
from scipy import stats
from scored_arms import suite

from workbench.compare.power import ASSUMED_FLIP_RATE, refuse_small_margins

FACTOR = stats.norm.ppf(0.975) + stats.norm.ppf(0.8)


def test_a_margin_below_the_detectable_effect_is_refused_with_the_documents_it_needs() -> None:
    needed = math.ceil(ASSUMED_FLIP_RATE * (FACTOR / 0.05) ** 2)
    (sentence,) = refuse_small_margins([suite(margin=0.05)], {"capitals": needed - 1})
    assert "Suite capitals" in sentence and "5 points" in sentence and f"{needed} documents" in sentence
    assert "10% of the answers change" in sentence
    assert refuse_small_margins([suite(margin=0.05)], {"capitals": needed}) == []


def test_the_named_margin_is_accepted() -> None:
    (sentence,) = refuse_small_margins([suite(margin=0.01)], {"capitals": 200})
    named = float(sentence.split("raise its margin to ")[1].split()[0])
    assert refuse_small_margins([suite(margin=named)], {"capitals": 200}) == []


@pytest.mark.parametrize(
    ("kind", "metric", "spread", "unit"),
    [
        ("perplexity", "nll", 0.25, "nats per token"),
        ("judge", "win_rate", 0.4, "points"),
        ("safety", "pass", 0.1**0.5, "points"),
    ],
)
def test_each_kind_has_its_own_assumed_spread(kind: str, metric: str, spread: float, unit: str) -> None:
    effect = FACTOR * spread / math.sqrt(80)
    tested = [suite("one", kind, metric, margin=margin) for margin in (effect * 0.99, effect * 1.01)]
    sentences = [refuse_small_margins([found], {"one": 80}) for found in tested]
    assert [len(found) for found in sentences] == [1, 0] and unit in sentences[0][0]


def test_suites_that_cannot_fail_the_run_or_have_no_count_are_left_out() -> None:
    suites = [
        suite("shown", gated=False, margin=0.001),
        suite("frozen", "regression", margin=0.001),
        suite("unknown", margin=0.001),
    ]
    assert refuse_small_margins(suites, {"shown": 10, "frozen": 10}) == []


def test_no_documents_and_a_margin_of_zero_are_said() -> None:
    assert "no documents" in refuse_small_margins([suite()], {"capitals": 0})[0]
    (sentence,) = refuse_small_margins([suite(margin=0.0)], {"capitals": 500})
    assert "documents, raise" not in sentence and "margin is 0 points" in sentence
