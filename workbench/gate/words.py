"""Numbers in sentences: differences as people say them, in the metric's own direction.

accuracy        +5.0 points, 95% CI 1.3 to 8.7
nats_per_token  0.71 nats per token better, 95% CI 0.64 to 0.78    (less is better here, so the sign would mislead)
"""

from __future__ import annotations

from collections.abc import Sequence

from workbench.core.results import Interval, SuiteComparison

_SHARES = ("accuracy", "win_rate")


def effect(suite: SuiteComparison, confidence: float) -> str:
    """The difference with its interval, without parentheses."""
    if suite.unit == "win_rate":
        value = suite.after
        return f"win rate {number(value.value, suite, value)}%, {_interval(value, suite, confidence)}"
    if not suite.higher_is_better:
        word, amount = ("better", suite.gain) if suite.gain.value >= 0 else ("worse", _turned(suite.gain))
        return f"{number(amount.value, suite, amount)}{_unit(suite)} {word}, {_interval(amount, suite, confidence)}"
    change = suite.gain
    return f"{number(change.value, suite, change, sign=True)}{_unit(suite)}, {_interval(change, suite, confidence)}"


def level(suite: SuiteComparison, interval: Interval) -> str:
    """The score of one arm: `81.2%`, `3.55 nats per token`."""
    if suite.unit in _SHARES:
        return f"{number(interval.value, suite, interval)}%"
    return f"{number(interval.value, suite, interval)}{_unit(suite)}"


def size(value: float, suite: SuiteComparison) -> str:
    """A margin or detectable effect: `5 points`, `0.02 nats per token`."""
    return f"{value * _scale(suite):.3g}{_unit(suite)}"


def number(value: float, suite: SuiteComparison, interval: Interval, *, sign: bool = False) -> str:
    """`value` with as many decimals as its interval deserves; zero has no sign."""
    width = (interval.high - interval.low) * _scale(suite)
    decimals = 1 if suite.unit in _SHARES else 2
    while decimals < 4 and 0 < width < 10.0 ** (1 - decimals):
        decimals += 1
    text = f"{value * _scale(suite):{'+' if sign else ''}.{decimals}f}"
    return text.lstrip("+-") if float(text) == 0 else text


def joined(parts: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _interval(interval: Interval, suite: SuiteComparison, confidence: float) -> str:
    low, high = number(interval.low, suite, interval), number(interval.high, suite, interval)
    return f"{confidence * 100:g}% CI {low} to {high}"


def _turned(interval: Interval) -> Interval:
    return Interval(value=-interval.value, low=-interval.high, high=-interval.low)


def _scale(suite: SuiteComparison) -> int:
    return 100 if suite.unit in _SHARES else 1


def _unit(suite: SuiteComparison) -> str:
    return {"accuracy": " points", "win_rate": " points", "nats_per_token": " nats per token", "score": ""}[suite.unit]
