"""What a screen shows, as text."""

from __future__ import annotations

from textual.widgets import Static

from workbench.tui.app import WorkbenchApp
from workbench.tui.widgets.lists import RowTable


def text_of(app: WorkbenchApp, selector: str) -> str:
    return str(app.screen.query_one(selector, Static).content)


def cells(app: WorkbenchApp, selector: str) -> list[list[str]]:
    table = app.screen.query_one(selector, RowTable)
    return [[cell.plain for cell in table.get_row(key)] for key in table.rows]


def everything_shown(app: WorkbenchApp) -> str:
    """The screen as a terminal would get it: every cell of every line."""
    return "\n".join(strip.text for strip in app.screen._compositor.render_strips())
