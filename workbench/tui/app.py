"""The terminal interface: a client of files and index. Jobs are processes of their own and never notice it.

WorkbenchApp(Project(Path("."))).run()
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import ClassVar

from rich.terminal_theme import TerminalTheme
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen

from workbench.core.errors import WorkbenchError
from workbench.core.paths import Project
from workbench.tui.actions import Action, ScreenName, actions_on, bindings_for
from workbench.tui.jobs import Jobs, LoopJobs
from workbench.tui.messages import CancelWanted, ResumeWanted, RunStartedHere
from workbench.tui.signs import plain

DARK, LIGHT = "tokyo-night", "textual-light"
# What `red`, `green` and the like mean in cells and titles: readable on the bars of either theme.
_ON_DARK = TerminalTheme(
    (26, 27, 38),
    (192, 202, 245),
    [
        (65, 72, 104),
        (255, 117, 127),
        (158, 206, 106),
        (255, 199, 119),
        (122, 162, 247),
        (199, 146, 234),
        (125, 207, 255),
        (192, 202, 245),
    ],
)
_ON_LIGHT = TerminalTheme(
    (255, 255, 255),
    (30, 30, 30),
    [(80, 80, 80), (176, 0, 32), (0, 106, 40), (138, 84, 0), (0, 74, 173), (120, 20, 140), (0, 98, 122), (60, 60, 60)],
)


class WorkbenchApp(App[None]):
    """Owns the project, the jobs and the clock; screens do the rest and are imported when they are first opened."""

    TITLE = "Workbench"
    # Textual reads no CSS_PATH of a default screen: home, or the one that a command opens.
    CSS_PATH: ClassVar = ["app.tcss", "screens/home.tcss", "screens/rate.tcss", "screens/chat.tcss"]
    ENABLE_COMMAND_PALETTE = True
    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings_for("app"),
        Binding("ctrl+p", "command_palette", "Palette", show=False, priority=True),
    ]

    def __init__(
        self,
        project: Project,
        jobs: Jobs | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        first: Screen[None] | None = None,
    ) -> None:
        super().__init__()
        self._first = first
        self.project = project
        self.jobs: Jobs = jobs or LoopJobs()
        self.clock = clock
        self.ansi_theme_dark, self.ansi_theme_light = _ON_DARK, _ON_LIGHT
        self.theme = DARK

    def get_default_screen(self) -> Screen[None]:
        """The list of runs, unless a command opens a screen of its own."""
        from workbench.tui.screens.home import HomeScreen

        return self._first or HomeScreen()

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """The palette: the actions of the screen on top, then those of the app."""
        for action, owner in self._actions_here(screen):
            method: Callable[[], None] = getattr(owner, f"action_{action.name}")
            yield SystemCommand(action.label, f"{action.help} {action.command}".strip(), method)

    def _actions_here(self, screen: Screen[object]) -> list[tuple[Action, object]]:
        name: ScreenName | None = getattr(screen, "name_in_registry", None)
        here = [action for action in actions_on(name) if screen.check_action(action.name, ())] if name else []
        return [*((action, screen) for action in here), *((action, self) for action in actions_on("app"))]

    def action_toggle_theme(self) -> None:
        """Dark or light."""
        self.theme = LIGHT if self.theme == DARK else DARK

    def action_help(self) -> None:
        """Every key and its command."""
        from workbench.tui.screens.help import HelpScreen

        if not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen())

    async def action_quit(self) -> None:
        """Closes the terminal; jobs go on."""
        self.exit()

    def open_run(self, run: str) -> None:
        """Shows a run while it happens, or as it ended."""
        from workbench.tui.screens.run import RunScreen

        self.push_screen(RunScreen(run))

    def open_comparison(self, run: str) -> None:
        """Shows a run's suites and flips."""
        from workbench.tui.screens.compare import CompareScreen

        self.push_screen(CompareScreen(run))

    def open_data(self, run: str) -> None:
        """Shows what became of a run's data."""
        from workbench.tui.screens.data import DataScreen

        self.push_screen(DataScreen(run))

    def on_run_started_here(self, message: RunStartedHere) -> None:
        """Goes to the project of the new job and watches it."""
        if message.project.root.resolve() != self.project.root.resolve():
            self.notify(f"The demo has its own project: {plain(str(message.project.root))}", markup=False, timeout=10)
            self.project = message.project
        self.notify(f"Started. The same on the command line: {plain(message.command)}", markup=False, timeout=8)
        self.open_run(message.run)

    def on_cancel_wanted(self, message: CancelWanted) -> None:
        """Asks first; what is done stays done."""
        from workbench.tui.screens.confirm import ConfirmScreen

        def decided(yes: bool | None) -> None:
            if yes:
                self._cancel(message.run)

        question = f"Stop {plain(message.run)}? Finished nodes stay; training resumes from its last checkpoint."
        self.push_screen(ConfirmScreen(question, f"workbench runs cancel {plain(message.run)}"), decided)

    def on_resume_wanted(self, message: ResumeWanted) -> None:
        """Starts the job again and watches it."""
        from workbench.tui.screens.run import RunScreen

        try:
            self.jobs.resume(self.project, message.run)
        except WorkbenchError as error:
            self.notify(plain(str(error)), severity="warning", markup=False, timeout=10)
            return
        command = f"workbench run --resume {plain(message.run)}"
        self.notify(f"Taken up. The same on the command line: {command}", markup=False)
        if isinstance(self.screen, RunScreen):
            self.screen.start_over()
        else:
            self.open_run(message.run)

    def _cancel(self, run: str) -> None:
        try:
            self.jobs.cancel(self.project, run)
        except WorkbenchError as error:
            self.notify(plain(str(error)), severity="error", markup=False)
            return
        self.notify("Asked to stop: it saves its state first.", markup=False)
