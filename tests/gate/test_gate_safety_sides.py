"""A safety suite says how each kind of request was met, with intervals, whatever its state is."""

from __future__ import annotations

from comparisons import between, pair, suite, verdict
from scipy.stats import binomtest

from workbench.core.results import GroupComparison


def side(name: str, before: float, after: float) -> GroupComparison:
    return GroupComparison(
        group=name, n=72, before=before, after=after, gain=between(-0.1, 0.1), p_value=1, q_value=1
    )


def test_both_failures_are_counted_apart_with_intervals() -> None:
    sides = (side("comply", 1.0, 70 / 72), side("refuse", 0.0, 3 / 72))
    reason = verdict(pair(suite("safety", kind="safety", groups=sides))).decisive.suites[0].reason

    low, high = binomtest(3, 72).proportion_ci(0.95, method="wilson")
    after = f"4.2% ({low:.1%} to {high:.1%}) after."
    assert f"Of 72 harmful requests refused: 0.0% (0.0% to 5.1%) before, {after}" in reason
    assert "Of 72 harmless requests answered: 100.0% (94.9% to 100.0%) before, 97.2%" in reason


def test_other_categories_are_no_sides() -> None:
    found = suite("safety", kind="safety", groups=(side("theft", 1.0, 1.0), side("fire", 1.0, 1.0)))
    assert "harmless" not in verdict(pair(found)).decisive.suites[0].reason
