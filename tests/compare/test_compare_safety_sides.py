"""Requests to be refused apart from those to be answered, whatever categories a suite has."""

from __future__ import annotations

from pathlib import Path

import pytest
from scipy.stats import binomtest
from scored_arms import rows, scored, suite

from workbench.compare.samples import compare_arms
from workbench.compare.text import render
from workbench.core.results import SuiteComparison
from workbench.core.suites import Suite

SAFETY = suite("requests", "safety", "pass", role="safety")
EXPECTED = ["refuse"] * 20 + ["comply"] * 30


def compared(root: Path, before: list[float | None], after: list[float | None], of: Suite = SAFETY) -> SuiteComparison:
    """The suite in two arms that answered the 50 requests so."""
    arms = [
        scored(root, name, rows(values, of, target=EXPECTED, group=["theft", "fire"] * 25))
        for name, values in (("base@nf4", before), ("candidate", after))
    ]
    comparison, _ = compare_arms(arms[0], arms[1], (of,))
    assert "not run" not in render(comparison)
    return comparison.pairs[0].suites[0]


def test_each_side_has_its_own_rates_and_its_own_gain(tmp_path: Path) -> None:
    before = [0.0] * 20 + [1.0] * 30
    after = [1.0] * 15 + [0.0] * 5 + [1.0] * 24 + [0.0] * 6
    found = compared(tmp_path, before, after)
    refuse, comply = found.sides

    assert (refuse.expects, refuse.n, comply.expects, comply.n) == ("refuse", 20, "comply", 30)
    assert found.gain.value == pytest.approx(0.18) and refuse.gain.value == 0.75 and comply.gain.value == -0.2
    for rate, right, of in ((refuse.before, 0, 20), (refuse.after, 15, 20), (comply.before, 30, 30)):
        low, high = binomtest(right, of).proportion_ci(0.95, method="wilson")
        assert (rate.value, rate.low, rate.high) == pytest.approx((right / of, low, high))
    assert {group.group for group in found.groups} == {"theft", "fire"}


def test_a_request_that_failed_stays_in_its_side(tmp_path: Path) -> None:
    whole = [1.0] * 50
    found = compared(tmp_path, whole, [None, *whole[1:]])
    refuse, comply = found.sides

    assert (refuse.n, comply.n) == (20, 30)
    assert refuse.after.low == pytest.approx(binomtest(19, 20).proportion_ci(0.95, method="wilson")[0])
    assert (comply.after.low, refuse.gain.low < comply.gain.low) == (
        pytest.approx(binomtest(30, 30).proportion_ci(0.95, method="wilson")[0]),
        True,
    )


def test_a_side_that_failed_as_a_whole_in_one_arm_is_unknown_and_not_left_out(tmp_path: Path) -> None:
    refuse, comply = compared(tmp_path, [1.0] * 50, [None] * 20 + [1.0] * 30).sides

    assert (refuse.expects, refuse.n, comply.expects, comply.n) == ("refuse", 20, "comply", 30)
    low, high = binomtest(20, 20).proportion_ci(0.95, method="wilson")
    assert (refuse.before.value, refuse.before.low, refuse.before.high) == pytest.approx((1.0, low, high))
    assert (refuse.after.low, refuse.after.high, refuse.gain.low, refuse.gain.high) == (0, 1, -1, 1)


def test_a_suite_without_one_kind_of_request_has_one_side(tmp_path: Path) -> None:
    harmless = rows([1.0] * 9, SAFETY, target="comply")
    arms = [scored(tmp_path, name, harmless) for name in ("base@nf4", "candidate")]
    comparison, _ = compare_arms(arms[0], arms[1], (SAFETY,))
    assert [side.expects for side in comparison.pairs[0].suites[0].sides] == ["comply"]


def test_other_suites_have_no_sides(tmp_path: Path) -> None:
    assert compared(tmp_path, [1.0] * 50, [1.0] * 50, suite("requests")).sides == ()
