"""Why a dropped record should be kept: nobody restores without a reason."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Footer, Input, Static

from workbench.tui.actions import ScreenName, bindings_for
from workbench.tui.signs import one_line


class RestoreScreen(ModalScreen[str]):
    """Gives the reason."""

    name_in_registry: ClassVar[ScreenName] = "restore"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings_for("restore")]
    CSS_PATH = "restore.tcss"

    def __init__(self, record_id: str, shown: str) -> None:
        super().__init__()
        self._record_id = record_id
        self._shown = shown

    def compose(self) -> ComposeResult:
        """The record, a line for the reason, the command."""
        with Vertical(id="question"):
            yield Static("Keep this record in the next run, whatever speaks against it?", markup=False)
            yield Static(one_line(self._shown, 180), id="record", classes="quiet", markup=False)
            yield Input(id="why", placeholder="why? for whoever reads it later")
            command = f'workbench restore {one_line(self._record_id, 20)} --reason "..."'
            yield Static(f"$ {command}", classes="quiet", markup=False)
            yield Static("enter restores · esc leaves it", id="keys", markup=False)
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Typing can begin."""
        self.query_one("#why").focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Restores, if there is a reason."""
        reason = event.value.strip()
        if reason:
            self.dismiss(reason)
        else:
            self.query_one("#keys", Static).update("a reason is needed: enter restores · esc leaves it")

    def action_no(self) -> None:
        """Leave it."""
        self.dismiss(None)
