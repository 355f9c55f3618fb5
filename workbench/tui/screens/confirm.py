"""A question with yes and no, and the command that would do the same."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Footer, Static

from workbench.tui.actions import ScreenName, bindings_for


class ConfirmScreen(ModalScreen[bool]):
    """Gives True for yes."""

    name_in_registry: ClassVar[ScreenName] = "confirm"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings_for("confirm")]
    CSS_PATH = "confirm.tcss"

    def __init__(self, question: str, command: str) -> None:
        super().__init__()
        self._question = question
        self._command = command

    def compose(self) -> ComposeResult:
        """The question in the middle of the screen."""
        with Vertical(id="question"):
            yield Static(self._question, markup=False)
            yield Static(f"$ {self._command}", classes="quiet", markup=False)
            yield Static("y yes · n no", markup=False)
        yield Footer(show_command_palette=False)

    def action_yes(self) -> None:
        """Do it."""
        self.dismiss(True)

    def action_no(self) -> None:
        """Leave it."""
        self.dismiss(False)
