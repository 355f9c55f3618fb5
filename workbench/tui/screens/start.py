"""Choosing a loop file: what it would do is shown, checked, before it is started."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Footer, OptionList, Static
from textual.widgets.option_list import Option
from textual.worker import Worker

from workbench.core.errors import WorkbenchError
from workbench.tui.actions import ScreenName, bindings_for
from workbench.tui.signs import coloured, one_line, plain
from workbench.tui.widgets.lists import Choices

if TYPE_CHECKING:
    from workbench.tui.app import WorkbenchApp


def loop_files(root: Path) -> list[Path]:
    """YAML files in the project's own directory and in loops/, the default one first."""
    found = [path for pattern in ("*.yaml", "*.yml", "loops/*.yaml") for path in sorted(root.glob(pattern))]
    return sorted(found, key=lambda path: path.name != "workbench.yaml")


class StartScreen(ModalScreen[Path | None]):
    """Gives the chosen file, or None."""

    name_in_registry: ClassVar[ScreenName] = "start"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings_for("start")]
    CSS_PATH = "start.tcss"

    def __init__(self) -> None:
        super().__init__()
        self._files: list[Path] = []
        self._valid: dict[Path, bool] = {}
        self._checking: Worker[None] | None = None

    @property
    def _workbench(self) -> WorkbenchApp:
        from workbench.tui.app import WorkbenchApp  # the app imports the screens

        assert isinstance(self.app, WorkbenchApp)
        return self.app

    def compose(self) -> ComposeResult:
        """Files, what the one under the cursor does, the command."""
        with Vertical(id="choice"):
            yield Static("Run which loop?", markup=False)
            yield Choices(id="files", markup=False)
            yield Static(id="check", markup=False)
            yield Static(id="command", classes="quiet", markup=False)
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Lists the files."""
        root = self._workbench.project.root
        self._files = loop_files(root)
        files = self.query_one("#files", OptionList)
        files.add_options([Option(Text(one_line(str(path.relative_to(root)), 80))) for path in self._files])
        files.focus()
        if self._files:
            files.highlighted = 0
        else:
            self.query_one("#check", Static).update(
                "No YAML file in this directory.\n"
                "Make a project first: workbench init DIR. Or press esc, then d for the demo."
            )

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Checks the file under the cursor."""
        path = self._files[event.option_index]
        shown = one_line(str(path.relative_to(self._workbench.project.root)), 120)
        self.query_one("#command", Static).update(f"$ workbench run {shown}")
        self._checking = self.run_worker(partial(self._check, path), exclusive=True, exit_on_error=False)

    async def _check(self, path: Path) -> None:
        try:
            said = await asyncio.to_thread(self._workbench.jobs.check_loop, path)
            self._valid[path] = True
            text = coloured(f"✔ {plain(said)}", "green")
        except WorkbenchError as error:
            self._valid[path] = False
            text = coloured(f"✘ {plain(str(error))}", "red")
        self.query_one("#check", Static).update(text)

    def on_option_list_option_selected(self) -> None:
        """Enter, or a click."""
        self.action_begin()

    def action_begin(self) -> None:
        """Gives the file back, if it is valid."""
        index = self.query_one("#files", OptionList).highlighted
        if index is None:
            return
        path = self._files[index]
        if self._valid.get(path) is False:
            self.notify("This file has errors: mend them first.", severity="warning", markup=False)
            return
        self.dismiss(path)

    def action_back(self) -> None:
        """Starts nothing."""
        self.dismiss(None)

    def action_down(self) -> None:
        """The next file."""
        self.query_one("#files", OptionList).action_cursor_down()

    def action_up(self) -> None:
        """The file before."""
        self.query_one("#files", OptionList).action_cursor_up()
