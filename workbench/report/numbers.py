"""Numbers as people read them: sign, unit, and no more digits than the interval supports.

change(Interval(value=.031, low=-.004, high=.066), "accuracy")   ->  "+3.1 points"
bounds(Interval(value=.031, low=-.004, high=.066), "accuracy")   ->  "[−0.4, +6.6]"
level(.812, "accuracy", 1)                                       ->  "81.2%"
"""

from __future__ import annotations

import math
from typing import Literal

from workbench.core.results import Interval

Unit = Literal["accuracy", "nats_per_token", "score", "win_rate"]

MINUS = "\N{MINUS SIGN}"
_CHANGE_UNITS: dict[Unit, str] = {
    "accuracy": "points",
    "win_rate": "points",
    "nats_per_token": "nats/token",
    "score": "",
}
_LEVEL_UNITS: dict[Unit, str] = {"accuracy": "%", "win_rate": "%", "nats_per_token": "", "score": ""}


def scale(unit: Unit) -> int:
    """Factor from the stored value to the shown one: shares are shown in percent and percentage points."""
    return 100 if unit in ("accuracy", "win_rate") else 1


def decimals(interval: Interval, unit: Unit) -> int:
    """Decimals that the interval supports: one step of the last digit is at least a thirtieth of its half-width.

    Points have one decimal (none where the half-width is 10 points or more, two at most), other units two to four.
    """
    half_width = (interval.high - interval.low) / 2 * scale(unit)
    finest = math.ceil(-math.log10(half_width / 3)) if half_width > 0 else 0
    if scale(unit) == 100:
        return 0 if half_width >= 10 else min(max(finest, 1), 2)
    return min(max(finest, 2), 4)


def plain(value: float, digits: int) -> str:
    """`value` rounded to `digits` decimals with a true minus sign; zero has no sign."""
    text = f"{value:.{digits}f}"
    if float(text) == 0:
        return text.lstrip("-")
    return text.replace("-", MINUS)


def signed(value: float, digits: int) -> str:
    """As `plain`, with a plus sign before what is above zero."""
    text = plain(value, digits)
    return text if float(text.replace(MINUS, "-")) <= 0 else f"+{text}"


def level(value: float, unit: Unit, digits: int) -> str:
    """A score of one arm: `81.2%`, or `3.55` nats."""
    return plain(value * scale(unit), digits) + _LEVEL_UNITS[unit]


def rate(interval: Interval, unit: Unit) -> str:
    """`level` of a share; `unknown` where its interval is the whole scale."""
    return "unknown" if (interval.low, interval.high) == (0, 1) else level(interval.value, unit, 1)


def change(gain: Interval, unit: Unit) -> str:
    """A difference with sign and unit: `+3.1 points`."""
    return f"{signed(gain.value * scale(unit), decimals(gain, unit))} {_CHANGE_UNITS[unit]}".rstrip()


def change_number(gain: Interval, unit: Unit) -> str:
    """`change` without its unit."""
    return signed(gain.value * scale(unit), decimals(gain, unit))


def bounds(gain: Interval, unit: Unit) -> str:
    """The interval of a difference, in the unit of `change`: `[−0.4, +6.6]`."""
    digits = decimals(gain, unit)
    return f"[{signed(gain.low * scale(unit), digits)}, {signed(gain.high * scale(unit), digits)}]"


def level_bounds(interval: Interval, unit: Unit) -> str:
    """The interval of a score of one arm: `[77.0, 85.1]`."""
    digits = decimals(interval, unit)
    return f"[{plain(interval.low * scale(unit), digits)}, {plain(interval.high * scale(unit), digits)}]"


def size(value: float, unit: Unit) -> str:
    """A margin or detectable effect, which has no sign: `5 points`, `0.02 nats/token`."""
    return f"{shortest(value * scale(unit))} {_CHANGE_UNITS[unit]}".rstrip()


def change_unit(unit: Unit) -> str:
    """Name of the unit of a difference; empty for bare scores."""
    return _CHANGE_UNITS[unit]


def shortest(value: float) -> str:
    """At most two significant digits, whole numbers in full, no trailing zeros."""
    return plain(value, 0) if abs(value) >= 10 else f"{value:.2g}".replace("-", MINUS)


def perplexity(nats: float) -> str:
    """exp(nats per token), to three digits; `very large` from nats where that says nothing more."""
    return f"{math.exp(nats):.3g}" if nats < 13 else "very large"


def p_value(p: float) -> str:
    """`p = 0.012`; below a thousandth only that."""
    return f"p {probability(p)}"


def probability(p: float) -> str:
    """`= 0.012`, or `< 0.001`."""
    if p < 0.001:
        return "< 0.001"
    return f"= {p:.3f}" if p < 0.1 else f"= {p:.2f}"


def count(number: int) -> str:
    """`12,345`."""
    return f"{number:,}".replace("-", MINUS)


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """`1 record`, `12 records`."""
    return f"{count(number)} {noun if number == 1 else plural or noun + 's'}"


def percent(share: float, digits: int = 1) -> str:
    """A share between 0 and 1 as `12.3%`."""
    return f"{plain(share * 100, digits)}%"


def money(amount: float) -> str:
    """Three significant digits and at least two decimals, never an exponent: `12.30`, `0.0000213`."""
    digits = 2 - math.floor(math.log10(amount)) if amount > 0 else 2
    return f"{amount:,.{max(digits, 2)}f}"


def latency(seconds: float) -> str:
    """`0.21 ms`, `60 ms`, `2.4 s`."""
    return f"{shortest(seconds * 1000)} ms" if seconds < 1 else duration(seconds)


def duration(seconds: float) -> str:
    """`0.4 s`, `38 s`, `3 min 20 s`, `2 h 05 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
