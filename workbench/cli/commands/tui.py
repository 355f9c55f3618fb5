"""`tui`: the terminal interface."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from workbench.cli.state import Invocation


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("tui")(tui)


def tui(context: typer.Context) -> None:
    """The terminal interface; also `workbench` alone on a terminal.

    \b
    Example:
      workbench -C my-project tui
    """
    open_tui(context.obj)


def open_tui(invocation: Invocation) -> None:
    """Runs the interface until it is closed; jobs go on."""
    from workbench.tui.app import WorkbenchApp

    WorkbenchApp(invocation.project).run()
