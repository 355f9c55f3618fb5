"""A curve in braille: two by four dots in each character, as wide and high as the widget is.

LossCurve().show([(1, 3.6), (2, 3.5), ...])
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from rich.text import Text
from textual.widget import Widget

_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
_AXIS = 7
_RECENT = 10


class LossCurve(Widget):
    """Loss against step, with the range on the left and the last value in the title line."""

    DEFAULT_CSS = "LossCurve { height: 1fr; min-height: 4; }"

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._points: Sequence[tuple[int, float]] = ()

    def show(self, points: Sequence[tuple[int, float]]) -> None:
        """Draws these points (step, loss)."""
        self._points = points
        self.refresh()

    def render(self) -> Text:
        """Title line, then the curve."""
        if not self._points:
            return Text("loss: appears when training starts", "dim")
        last_step, last = self._points[-1]
        title = Text(f"loss {last:.3f} at step {last_step}", "bold")
        if len(self._points) >= 2 * _RECENT:
            recent = sum(value for _, value in self._points[-_RECENT:]) / _RECENT
            title.append(f", mean of the last {_RECENT}: {recent:.3f}", "dim")
        height, width = self.size.height - 1, self.size.width - _AXIS - 1
        if height < 1 or width < 2:
            return title
        values = [value for _, value in self._points]
        low, high = min(values), max(values)
        picture = Text()
        for row, line in enumerate(braille(values, width, height)):
            label = f"{high:.2f}" if row == 0 else f"{low:.2f}" if row == height - 1 else ""
            picture.append(f"\n{label:>{_AXIS - 2}} │", "dim")
            picture.append(line, "cyan")
        return Text.assemble(title, picture)


def braille(values: Sequence[float], width: int, height: int) -> list[str]:
    """`height` lines of `width` characters: the values from left to right, the highest at the top; where there are more
    values than dot columns each column shows their mean."""
    columns, rows = 2 * width, 4 * height
    cells = [[0] * width for _ in range(height)]
    dots = _dot_rows(_resampled(values, columns), rows)
    previous = dots[0]
    for column, dot in enumerate(dots):
        towards = 1 if dot > previous else -1
        for filled in range(previous + towards, dot, towards):
            _set(cells, column, filled)
        _set(cells, column, dot)
        previous = dot
    return ["".join(chr(0x2800 + cell) for cell in row) for row in cells]


def _set(cells: list[list[int]], column: int, row: int) -> None:
    cells[row // 4][column // 2] |= _DOTS[column % 2][row % 4]


def _resampled(values: Sequence[float], columns: int) -> list[float]:
    """One value per dot column: means where there are many, straight lines between where there are few."""
    if len(values) == 1:
        return [values[0]] * columns
    if len(values) >= columns:
        edges = [len(values) * column // columns for column in range(columns + 1)]
        return [sum(values[a:b]) / (b - a) for a, b in pairwise(edges)]
    resampled = []
    for column in range(columns):
        place = column * (len(values) - 1) / (columns - 1)
        left = min(int(place), len(values) - 2)
        resampled.append(values[left] + (values[left + 1] - values[left]) * (place - left))
    return resampled


def _dot_rows(values: Sequence[float], rows: int) -> list[int]:
    """Dot row of each value, 0 at the top; a flat curve runs through the middle."""
    low, high = min(values), max(values)
    if high == low:
        return [rows // 2] * len(values)
    return [round((rows - 1) * (high - value) / (high - low)) for value in values]
