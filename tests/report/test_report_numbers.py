from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.core.results import Interval
from workbench.report import numbers


def interval(value: float, low: float, high: float) -> Interval:
    return Interval(value=value, low=low, high=high)


@pytest.mark.parametrize(
    ("gain", "unit", "shown", "bounds"),
    [
        ((0.031, -0.004, 0.066), "accuracy", "+3.1 points", "[−0.4, +6.6]"),
        ((-0.2, -0.35, -0.05), "accuracy", "−20 points", "[−35, −5]"),
        ((0.702, 0.659, 0.745001), "nats_per_token", "+0.70 nats/token", "[+0.66, +0.75]"),
        ((-0.0213, -0.0341, -0.0084), "nats_per_token", "−0.021 nats/token", "[−0.034, −0.008]"),
        ((0.0, 0.0, 0.0), "accuracy", "0.0 points", "[0.0, 0.0]"),
        ((0.1, -0.1, 0.3), "score", "+0.10", "[−0.10, +0.30]"),
    ],
)
def test_a_difference_has_sign_unit_and_the_digits_its_interval_supports(
    gain: tuple[float, float, float], unit: numbers.Unit, shown: str, bounds: str
) -> None:
    assert numbers.change(interval(*gain), unit) == shown
    assert numbers.bounds(interval(*gain), unit) == bounds


@given(st.floats(-50, 50), st.integers(0, 4))
def test_a_signed_number_reads_back_as_the_rounded_value_and_zero_has_no_sign(value: float, digits: int) -> None:
    text = numbers.signed(value, digits)
    read = float(text.replace(numbers.MINUS, "-"))
    assert read == float(f"{value:.{digits}f}")
    assert "-" not in text
    assert (text[0] == "+") == (read > 0)
    assert (text[0] == numbers.MINUS) == (read < 0)


@given(st.floats(-1, 1), st.floats(1e-6, 1))
def test_a_step_of_the_last_digit_is_never_finer_than_a_thirtieth_of_the_half_width_beyond_the_unit_minimum(
    value: float, half: float
) -> None:
    gain = interval(value, value - half, value + half)
    for unit, least in (("accuracy", 1), ("nats_per_token", 2)):
        digits = numbers.decimals(gain, unit)
        assert digits <= least or 10.0**-digits >= half * numbers.scale(unit) / 30


@pytest.mark.parametrize(
    ("p", "shown"),
    [(0.0, "p < 0.001"), (0.0009, "p < 0.001"), (0.0123, "p = 0.012"), (0.34, "p = 0.34"), (1, "p = 1.00")],
)
def test_p_values_are_never_shown_as_zero(p: float, shown: str) -> None:
    assert numbers.p_value(p) == shown


def test_counts_durations_sizes_and_shares() -> None:
    assert numbers.count(12345) == "12,345"
    assert numbers.count(-5) == "−5"
    assert [numbers.counted(n, "record") for n in (0, 1, 2)] == ["0 records", "1 record", "2 records"]
    assert [numbers.duration(s) for s in (0.42, 38.2, 187.4, 7500)] == ["0.4 s", "38 s", "3 min 07 s", "2 h 05 min"]
    assert [numbers.size(0.05, "accuracy"), numbers.size(0.02, "nats_per_token")] == ["5 points", "0.02 nats/token"]
    assert numbers.percent(0.1234) == "12.3%"
    assert numbers.perplexity(3.551) == "34.8"
    assert numbers.perplexity(800) == "very large"
