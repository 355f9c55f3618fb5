"""Small drawings as inline SVG, coloured by the page's style sheet.

forest(gain -0.4..+6.6 points, margin 5 points)   ->  a bar between dashed -margin and solid zero lines
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup, escape

from workbench.core.records import CurvePoint
from workbench.report import numbers
from workbench.report.rows import Row

_WIDTH = 200.0
_MARGINS_SHOWN = 3.0
"""A forest bar shows gains from minus to plus so many margins; what goes beyond ends in an arrow."""
_CURVE_WIDTH, _CURVE_HEIGHT = 600.0, 160.0
_MAX_CURVE_POINTS = 600


def forest(row: Row) -> Markup:
    """The gain and its interval in units of the suite's margin, so that the lines of all rows stand above each other.

    Without a margin the bar is drawn to its own scale and has no margin line.
    """
    gain, margin = row.data.gain, row.data.margin
    unit = margin or max(abs(gain.low), abs(gain.high)) / 2 or 1.0
    low, value, high = (_forest_x(bound / unit) for bound in (gain.low, gain.value, gain.high))
    if low == high and abs(gain.value / unit) > _MARGINS_SHOWN:
        return _beyond(row, gain.value / unit)
    middle = 11.0
    marks = [f'<line class="zero" x1="{_x(_forest_x(0))}" x2="{_x(_forest_x(0))}" y1="0" y2="22"/>']
    if margin:
        edge = _x(_forest_x(-1))
        marks.insert(0, f'<line class="margin" x1="{edge}" x2="{edge}" y1="0" y2="22"/>')
    marks.append(f'<line class="bar" x1="{_x(low)}" x2="{_x(high)}" y1="{middle:g}" y2="{middle:g}"/>')
    marks += [_cap(low, gain.low / unit < -_MARGINS_SHOWN, -1), _cap(high, gain.high / unit > _MARGINS_SHOWN, 1)]
    if abs(gain.value / unit) <= _MARGINS_SHOWN:
        marks.append(f'<circle class="point" cx="{_x(value)}" cy="{middle:g}" r="4"/>')
    return _forest_svg(row, marks)


def _beyond(row: Row, margins: float) -> Markup:
    """An arrow, and how many margins away the gain is, where the whole interval lies outside of the picture."""
    zero, edge = _x(_forest_x(0)), _x(_forest_x(-1))
    direction = 1 if margins > 0 else -1
    end = _forest_x(_MARGINS_SHOWN * direction)
    start = end - 18 * direction
    anchor = "end" if direction > 0 else "start"
    words = f"{numbers.signed(margins, 0)} margins"
    marks = [
        f'<line class="margin" x1="{edge}" x2="{edge}" y1="0" y2="22"/>',
        f'<line class="zero" x1="{zero}" x2="{zero}" y1="0" y2="22"/>',
        f'<line class="bar" x1="{_x(start)}" x2="{_x(end)}" y1="11" y2="11"/>',
        _cap(end, True, direction),
        f'<text x="{_x(start - 4 * direction)}" y="14.5" text-anchor="{anchor}">{words}</text>',
    ]
    return _forest_svg(row, marks)


def _forest_svg(row: Row, marks: Sequence[str]) -> Markup:
    label = escape(f"gain {row.gain}, interval {row.bounds}, margin {row.margin}")
    tone = "neutral" if row.look.tone == "open" else row.look.tone
    return Markup(
        f'<svg class="forest {tone}" viewBox="0 0 {_WIDTH:g} 22" role="img" aria-label="{label}">{"".join(marks)}</svg>'
    )


def _forest_x(margins: float) -> float:
    clipped = min(max(margins, -_MARGINS_SHOWN), _MARGINS_SHOWN)
    return 6 + (clipped + _MARGINS_SHOWN) / (2 * _MARGINS_SHOWN) * (_WIDTH - 12)


def _cap(x: float, beyond: bool, direction: int) -> str:
    if beyond:
        tip, back = x + 5 * direction, x - 3 * direction
        return f'<path class="tip" d="M{_x(tip)} 11 L{_x(back)} 6 L{_x(back)} 16 Z"/>'
    return f'<line class="cap" x1="{_x(x)}" x2="{_x(x)}" y1="7" y2="15"/>'


def share_bar(share: float, mark: float | None = None) -> Markup:
    """A horizontal bar for a share between 0 and 1, with a tick at `mark`."""
    width = min(max(share, 0.0), 1.0) * 100
    tick = ""
    if mark is not None:
        at = _x(min(max(mark, 0.0), 1.0) * 100)
        tick = f'<line class="tick" x1="{at}" x2="{at}" y1="0" y2="10"/>'
    return Markup(
        '<svg class="share" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="rail" width="100" height="10"/><rect class="fill" width="{_x(width)}" height="10"/>{tick}</svg>'
    )


class CurveFigure:
    """The loss curve: an SVG that stretches, with its axis labels as text beside it."""

    def __init__(self, points: Sequence[CurvePoint]) -> None:
        assert points, "a curve needs points"
        self._points = _thinned(points)
        losses = [point.loss for point in self._points]
        step = _tick_step(max(losses) - min(losses))
        self._low = math.floor(min(losses) / step) * step
        self._high = max(math.ceil(max(losses) / step) * step, self._low + step)
        self._step = step

    @property
    def y_ticks(self) -> tuple[tuple[str, float], ...]:
        """Label and distance from the top in percent, of each horizontal line."""
        lines = round((self._high - self._low) / self._step)
        digits = max(0, -math.floor(math.log10(self._step)))
        return tuple(
            (numbers.plain(self._low + index * self._step, digits), 100 - 100 * index / lines)
            for index in range(lines + 1)
        )

    @property
    def x_ticks(self) -> tuple[str, ...]:
        """First, middle and last step."""
        steps = [point.step for point in self._points]
        return (str(steps[0]), str(steps[len(steps) // 2]), str(steps[-1]))

    @property
    def svg(self) -> Markup:
        """The raw losses, and their mean per token over a running tenth of the steps."""
        grid = "".join(
            f'<line class="grid" x1="0" x2="{_CURVE_WIDTH:g}" y1="{_x(y)}" y2="{_x(y)}"/>'
            for _, percent in self.y_ticks
            for y in [percent / 100 * _CURVE_HEIGHT]
        )
        losses = [point.loss for point in self._points]
        first, last = losses[0], losses[-1]
        label = f"training loss by step, from {numbers.plain(first, 2)} to {numbers.plain(last, 2)} nats"
        return Markup(
            f'<svg class="curve" viewBox="0 0 {_CURVE_WIDTH:g} {_CURVE_HEIGHT:g}" preserveAspectRatio="none" '
            f'role="img" aria-label="{label}">{grid}<polyline class="raw" points="{self._path(losses)}"/>'
            f'<polyline class="smooth" points="{self._path(_running_mean(self._points))}"/></svg>'
        )

    def _path(self, losses: Sequence[float]) -> str:
        steps = [point.step for point in self._points]
        span = max(steps[-1] - steps[0], 1)
        return " ".join(
            f"{_x((step - steps[0]) / span * _CURVE_WIDTH)},"
            f"{_x((self._high - loss) / (self._high - self._low) * _CURVE_HEIGHT)}"
            for step, loss in zip(steps, losses, strict=True)
        )


def _running_mean(points: Sequence[CurvePoint]) -> list[float]:
    """Mean loss per token over a centred window of a tenth of the steps, at least three."""
    half = max(len(points) // 20, 1)
    windows = [points[max(index - half, 0) : index + half + 1] for index in range(len(points))]
    return [
        sum(point.loss * max(point.tokens, 1) for point in window) / sum(max(point.tokens, 1) for point in window)
        for window in windows
    ]


def _thinned(points: Sequence[CurvePoint]) -> list[CurvePoint]:
    """At most `_MAX_CURVE_POINTS` points, evenly spaced, the last one among them."""
    if len(points) <= _MAX_CURVE_POINTS:
        return list(points)
    stride = (len(points) - 1) / (_MAX_CURVE_POINTS - 1)
    return [points[round(index * stride)] for index in range(_MAX_CURVE_POINTS)]


def _tick_step(span: float) -> float:
    """A round step (1, 2 or 5 times a power of ten) that gives three to seven lines."""
    if span <= 0:
        return 0.1
    power = 10.0 ** math.floor(math.log10(span / 3))
    return float(next(factor * power for factor in (1, 2, 5, 10) if span / (factor * power) <= 5))


def _x(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
