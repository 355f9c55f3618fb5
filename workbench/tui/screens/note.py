"""A line of text that goes with a verdict."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Footer, Input, Static

from workbench.tui.actions import ScreenName, bindings_for


class NoteScreen(ModalScreen[str]):
    """Gives the note."""

    name_in_registry: ClassVar[ScreenName] = "note"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings_for("note")]
    CSS_PATH = "note.tcss"

    def __init__(self, note: str) -> None:
        super().__init__()
        self._note = note

    def compose(self) -> ComposeResult:
        """A line to write on."""
        with Vertical(id="question"):
            yield Static("A note on this pair, kept with your verdict:", markup=False)
            yield Input(self._note, id="note", placeholder="what decided it?")
            yield Static("enter keeps it · esc leaves it", markup=False)
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Typing can begin."""
        self.query_one("#note").focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Keeps what was written."""
        self.dismiss(event.value.strip())

    def action_no(self) -> None:
        """Leaves the note as it was."""
        self.dismiss(None)
