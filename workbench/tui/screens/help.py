"""Every key, made from the registry that also makes the bindings."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.widgets import Footer, Static

from workbench.tui.actions import SCREEN_TITLES, ScreenName, actions_on, bindings_for, shown_keys
from workbench.tui.screens.base import WorkbenchScreen

_INTRODUCTION = (
    "Jobs run by themselves: this terminal can be closed and opened again at any time.\n"
    "Everything here can be done on the command line too; the command stands below each key.\n"
)


class HelpScreen(WorkbenchScreen):
    """All actions by screen."""

    name_in_registry: ClassVar[ScreenName] = "help"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings_for("help")]
    CSS_PATH = "help.tcss"

    def compose(self) -> ComposeResult:
        """One long text."""
        yield Static("Help", classes="title", markup=False)
        with VerticalScroll(id="keys"):
            yield Static(help_text(), markup=False)
        yield Footer(show_command_palette=False)

    def opened(self) -> None:
        """Arrow keys scroll."""
        self.query_one("#keys").focus()


def help_text() -> Text:
    """What the screen shows."""
    text = Text(_INTRODUCTION)
    for screen, title in SCREEN_TITLES.items():
        text.append(f"\n{title}\n", "bold")
        for action in actions_on(screen):
            text.append(f"  {shown_keys(action):<10}", "cyan").append(f"{action.label}: {action.help}\n")
            if action.command:
                text.append(f"{'':<12}$ {action.command}\n", "dim")
        if screen == "app":
            text.append(f"  {'ctrl+p':<10}", "cyan").append("Palette: find an action by its name.\n")
    return text
