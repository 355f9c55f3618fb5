"""A screen with a search line: `/` opens it, enter searches, esc closes it and only then the screen."""

from __future__ import annotations

from textual.widget import Widget
from textual.widgets import Input

from workbench.tui.screens.base import WorkbenchScreen


class SearchableScreen(WorkbenchScreen):
    """Composes an Input `#search`, hides it when opened, and says what is listed and how it is listed anew."""

    contains = ""
    """What the rows shown must contain; empty for all."""

    def listed(self) -> Widget:
        """The list that the search narrows, which has the focus again when the line closes."""
        raise NotImplementedError

    def list_again(self) -> None:
        """Asks for the rows that contain the text."""
        raise NotImplementedError

    def action_search(self) -> None:
        """Opens the search line."""
        search = self.query_one("#search", Input)
        search.display = True
        search.focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Searches; an empty text shows all rows again."""
        self.contains = event.value.strip()
        self._close_search()
        self.list_again()

    def _close_search(self) -> None:
        self.query_one("#search").display = False
        self.listed().focus()

    def action_back(self) -> None:
        """Closes the search line, or the screen."""
        if self.query_one("#search").display:
            self._close_search()
        else:
            self.app.pop_screen()
