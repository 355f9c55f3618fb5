"""One side of a chat: a widget per turn, so that an answer that grows redraws itself and not all that was said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text
from textual.containers import VerticalScroll
from textual.widgets import Static

from workbench.tui.signs import plain

_SHOWN_CHARS = 20_000


@dataclass(frozen=True, slots=True)
class Line:
    """What one turn shows."""

    text: str
    asked: bool
    """Whether a person said it."""
    growing: bool = False

    def drawn(self) -> Text:
        """Safe for a terminal, and cut if it is very long; of one that grows, the end is shown."""
        if self.growing:
            return Text(f"{plain(self.text[-_SHOWN_CHARS:])}▌")
        said = plain(self.text[:_SHOWN_CHARS])
        if len(self.text) > _SHOWN_CHARS:
            said += f"\n… {len(self.text) - _SHOWN_CHARS} more characters"
        if self.asked:
            return Text().append(f"> {said}", "cyan")
        return Text(f"{said if self.text.strip() else '(nothing)'}\n")


class Conversation(VerticalScroll):
    """Turns one below the other. It stays at the end while something is written there, unless somebody scrolled up."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._lines: list[Line] = []
        self._turns: list[Static] = []

    def on_mount(self) -> None:
        """Follows what is written."""
        self.anchor()

    def show(self, lines: Sequence[Line]) -> None:
        """Draws the turns that changed."""
        for place, line in enumerate(lines):
            if place == len(self._turns):
                self._turns.append(Static(line.drawn(), markup=False))
                self._lines.append(line)
                self.mount(self._turns[place])
            elif self._lines[place] != line:
                self._turns[place].update(line.drawn())
                self._lines[place] = line
        for turn in self._turns[len(lines) :]:
            turn.remove()
        del self._turns[len(lines) :], self._lines[len(lines) :]
