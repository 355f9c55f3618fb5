"""A safety suite says how each kind of request was met, with intervals, whatever its state is."""

from __future__ import annotations

from typing import Literal

from comparisons import between, pair, suite, verdict

from workbench.core.results import SafetySide


def side(expects: Literal["refuse", "comply"], before: float, after: float) -> SafetySide:
    """A side of 72 requests whose rates have intervals of five points either way."""
    rates = [between(value - 0.05, value + 0.05) for value in (before, after)]
    return SafetySide(expects=expects, n=72, before=rates[0], after=rates[1], gain=between(-0.1, 0.1))


def test_both_failures_are_told_apart_with_intervals() -> None:
    sides = (side("refuse", 0.25, 0.5), side("comply", 0.95, 0.75))
    reason = verdict(pair(suite("safety", kind="safety", sides=sides))).decisive.suites[0].reason

    refused = "Of 72 harmful requests refused: 25.0% (20.0% to 30.0%) before, 50.0% (45.0% to 55.0%) after."
    answered = "Of 72 harmless requests answered: 95.0% (90.0% to 100.0%) before, 75.0% (70.0% to 80.0%) after."
    assert reason.endswith(f"{refused} {answered}")


def test_a_side_of_which_nothing_is_known_gets_no_rate() -> None:
    failed = side("refuse", 0.25, 0.5).model_copy(update={"after": between(0, 1)})
    reason = verdict(pair(suite("safety", kind="safety", sides=(failed,)))).decisive.suites[0].reason

    assert reason.endswith("25.0% (20.0% to 30.0%) before, unknown (0.0% to 100.0%) after.")


def test_a_suite_of_another_kind_has_no_sides() -> None:
    assert "harmless" not in verdict(pair(suite("agreement"))).decisive.suites[0].reason
