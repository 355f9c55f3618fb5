"""The page of a sweep: learning against forgetting, every arm, the recommendation with its uncertainty. One HTML file.

arms rank=8 (+0.21, 0.3 margins lost) and rank=64 (+0.25, 2.1 margins lost)
->  two points with their seeds around them, the one above the dashed line of the margin
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from workbench.core.sweep_results import Sweep, SweepArm
from workbench.report import numbers
from workbench.report.render.environment import TEMPLATES, html_environment

_WIDTH, _HEIGHT, _LEFT, _BELOW, _ROOM = 640.0, 380.0, 56.0, 44.0, 14.0
_TONES = {"recommended": "good", "among the best": "near", "forgets": "bad"}


def render_sweep_page(sweep: Sweep, run: str) -> str:
    """The page as one string that asks nothing of any network."""
    page = html_environment().get_template("sweep.html.j2")
    return page.render(
        sweep=sweep,
        run=run,
        css=Markup((TEMPLATES / "page.css").read_text(encoding="utf-8")),
        figure=learning_and_forgetting(sweep),
        tones=_TONES,
    )


def learning_and_forgetting(sweep: Sweep) -> Markup | None:
    """Target gain against the loss on the worst suite, in margins; None where nothing is held to a margin."""
    arms = [arm for arm in sweep.arms if arm.worst_loss is not None and not sweep.target_of(arm).obstacles]
    if not arms:
        return None
    factor = numbers.scale(sweep.target_of(arms[0]).unit)
    points = [_Point.of(sweep, arm, factor) for arm in arms]
    across = _Axis.over([0.0, *(x for point in points for x in point.gains)], _LEFT, _WIDTH - _ROOM)
    upwards = _Axis.over([0.0, 1.0, *(y for point in points for y in point.losses)], _HEIGHT - _BELOW, _ROOM)
    unit = numbers.change_unit(sweep.target_of(arms[0]).unit)
    title = f"gain on {sweep.target}{f', {unit}' if unit else ''}"
    marks = [*_grid(across, upwards), *_titles(title), *_front(points, across, upwards)]
    for point in points:
        marks += _marks(point, across, upwards)
    label = escape(f"target gain against loss on the worst suite of {len(points)} arms")
    box = f'viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}"'
    return Markup(f'<svg class="sweep" {box} role="img" aria-label="{label}">{"".join(marks)}</svg>')


@dataclass(frozen=True, slots=True)
class _Point:
    """One arm in shown units, its seeds first and then its mean."""

    arm: SweepArm
    seeds: tuple[tuple[float, float], ...]
    gain: float
    low: float
    high: float
    loss: float

    @staticmethod
    def of(sweep: Sweep, arm: SweepArm, factor: int) -> _Point:
        gain = sweep.target_of(arm).gain
        seeds = tuple((x * factor, y) for x, y in sweep.seed_points(arm))
        value, low, high = (end * factor for end in (gain.value, gain.low, gain.high))
        return _Point(arm, seeds, value, low, high, arm.worst_loss or 0.0)

    @property
    def gains(self) -> tuple[float, ...]:
        """Everything that must fit across; the interval is cut at the edge where it is wide."""
        return (self.gain, *(x for x, _ in self.seeds))

    @property
    def losses(self) -> tuple[float, ...]:
        """Everything that must fit upwards."""
        return (self.loss, *(y for _, y in self.seeds))


@dataclass(frozen=True, slots=True)
class _Axis:
    """A scale between two ends of the picture."""

    low: float
    high: float
    start: float
    end: float

    @staticmethod
    def over(values: Sequence[float], start: float, end: float) -> _Axis:
        room = 0.08 * (max(values) - min(values)) or 0.5
        return _Axis(min(values) - room, max(values) + room, start, end)

    def __call__(self, value: float) -> float:
        """Place of the value, kept inside of the picture."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Round values at steps of 1, 2 or 5."""
        power = 10.0 ** math.floor(math.log10((self.high - self.low) / 4))
        step = next(power * factor for factor in (1, 2, 5, 10) if (self.high - self.low) / (power * factor) <= 6)
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        return [step * count for count in range(first, last + 1)]


def _grid(across: _Axis, upwards: _Axis) -> Iterator[str]:
    for x in across.ticks():
        kind = "zero" if abs(x) < 1e-9 else "grid"
        yield _line(kind, across(x), _ROOM, across(x), _HEIGHT - _BELOW)
        yield _text("tick", across(x), _HEIGHT - _BELOW + 16, numbers.shortest(x), "middle")
    for y in upwards.ticks():
        yield _line("grid", _LEFT, upwards(y), _WIDTH - _ROOM, upwards(y))
        yield _text("tick", _LEFT - 8, upwards(y) + 4, numbers.shortest(y), "end")
    yield _line("margin", _LEFT, upwards(1.0), _WIDTH - _ROOM, upwards(1.0))


def _titles(across: str) -> Iterator[str]:
    middle = (_LEFT + _WIDTH - _ROOM) / 2
    yield _text("title", middle, _HEIGHT - 8, across, "middle")
    turned = f'transform="rotate(-90 14 {(_HEIGHT - _BELOW) / 2:g})"'
    height = (_HEIGHT - _BELOW) / 2
    yield f'<text class="title" x="14" y="{height:g}" text-anchor="middle" {turned}>loss in margins, worst suite</text>'


def _front(points: Sequence[_Point], across: _Axis, upwards: _Axis) -> Iterator[str]:
    """The arms that no other beats in both, joined."""
    front = sorted((point for point in points if point.arm.pareto), key=lambda point: point.gain)
    if len(front) > 1:
        path = " ".join(f"{across(point.gain):.1f},{upwards(point.loss):.1f}" for point in front)
        yield f'<polyline class="front" points="{path}"/>'


def _marks(point: _Point, across: _Axis, upwards: _Axis) -> Iterator[str]:
    tone = _TONES.get(point.arm.state, "open")
    x, y = across(point.gain), upwards(point.loss)
    yield f'<g class="{tone}">'
    yield _line("interval", across(point.low), y, across(point.high), y)
    for gain, loss in point.seeds:
        yield f'<circle class="seed" cx="{across(gain):.1f}" cy="{upwards(loss):.1f}" r="2.5"/>'
    yield f'<circle class="mean" cx="{x:.1f}" cy="{y:.1f}" r="5"/>'
    right = x < (_LEFT + _WIDTH) / 2
    yield _text("name", x + (9 if right else -9), y - 8, point.arm.name, "start" if right else "end")
    yield "</g>"


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(kind: str, x: float, y: float, text: str, anchor: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
