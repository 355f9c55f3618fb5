"""Numbers of a gain as people say them; a gain is positive where it is better, whatever the metric.

gain(suite)    ->  "+2.1 points, 95% CI -0.9 to 5.1"
size(suite, suite.margin)  ->  "5 points"
"""

from __future__ import annotations

from typing import Protocol

from workbench.core.ablation_results import AblationLevel, SeededSuite
from workbench.core.results import Interval

_SHARES = ("accuracy", "win_rate")
_UNITS = {"accuracy": " points", "win_rate": " points", "nats_per_token": " nats per token", "score": ""}


class Gain(Protocol):
    """What is said of: a `SeededSuite`, or another gain with its interval and unit."""

    @property
    def gain(self) -> Interval:
        """In the unit; positive is better."""
        ...

    @property
    def unit(self) -> str:
        """As in `SeededSuite`."""
        ...


def gain(suite: Gain, confidence: float) -> str:
    """The mean gain with its interval."""
    return f"{change(suite)}{_UNITS[suite.unit]}, {confidence * 100:g}% CI {limits(suite)}"


def change(suite: Gain) -> str:
    """The mean gain with its sign: `+2.1`."""
    return _number(suite, suite.gain.value, sign=True)


def limits(suite: Gain) -> str:
    """Both ends of the interval: `-0.9 to 5.1`."""
    return f"{_number(suite, suite.gain.low)} to {_number(suite, suite.gain.high)}"


def seeds(suite: SeededSuite) -> str:
    """The gain of each seed: `+1.0, +3.3, +2.0`."""
    return ", ".join(_number(suite, value, sign=True) for value in suite.by_seed)


def size(suite: Gain, value: float) -> str:
    """A margin or detectable effect: `5 points`, `0.02 nats per token`."""
    return f"{value * _scale(suite):.3g}{_UNITS[suite.unit]}"


def bare(suite: Gain, value: float) -> str:
    """A number in the unit of the suite's gain, without the unit: `5`, `0.021`."""
    return f"{value * _scale(suite):.3g}"


def level(suite: SeededSuite, found: AblationLevel) -> str:
    """The score of one arm: `81.2%`, `3.551`; with the range of its seeds where there are several."""
    digits, sign = (1, "%") if suite.unit in _SHARES else (3, "")
    scaled = [value * _scale(suite) for value in found.by_seed]
    shown = f"{found.value * _scale(suite):.{digits}f}{sign}"
    return shown if len(scaled) == 1 else f"{shown} ({min(scaled):.{digits}f} to {max(scaled):.{digits}f})"


def unit(suite: Gain) -> str:
    """Name of the unit of a gain; empty for bare scores."""
    return _UNITS[suite.unit].strip()


def probability(p_value: float) -> str:
    """`0.012`, or `< 0.001`."""
    return "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"


def _number(suite: Gain, value: float, *, sign: bool = False) -> str:
    """As many decimals as the interval deserves; zero has no sign."""
    width = (suite.gain.high - suite.gain.low) * _scale(suite)
    decimals = 1 if suite.unit in _SHARES else 3
    while decimals < 5 and 0 < width < 10.0 ** (1 - decimals):
        decimals += 1
    text = f"{value * _scale(suite):{'+' if sign else ''}.{decimals}f}"
    return text.lstrip("+-") if float(text) == 0 else text


def _scale(suite: Gain) -> int:
    return 100 if suite.unit in _SHARES else 1
