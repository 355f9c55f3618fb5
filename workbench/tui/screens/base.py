"""What all screens share: keys from the registry, questions asked in a thread, errors shown and not lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar, TypeVar

from textual.binding import BindingType
from textual.screen import Screen
from textual.widgets import DataTable, OptionList
from textual.worker import Worker, WorkerState

from workbench.core.errors import WorkbenchError
from workbench.tui.actions import ScreenName
from workbench.tui.signs import plain

if TYPE_CHECKING:
    from workbench.core.paths import Project
    from workbench.tui.app import WorkbenchApp
    from workbench.tui.jobs import Jobs

Answer = TypeVar("Answer")


class WorkbenchScreen(Screen[None]):
    """A screen of the app. `name_in_registry` decides which actions it has."""

    name_in_registry: ClassVar[ScreenName]
    BINDINGS: ClassVar[list[BindingType]] = []
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]

    @property
    def workbench(self) -> WorkbenchApp:
        """The app, with its project and jobs."""
        from workbench.tui.app import WorkbenchApp  # the app imports the screens

        assert isinstance(self.app, WorkbenchApp)
        return self.app

    @property
    def project(self) -> Project:
        """The project shown."""
        return self.workbench.project

    @property
    def jobs(self) -> Jobs:
        """The project's jobs."""
        return self.workbench.jobs

    def on_mount(self) -> None:
        """Calls `opened`, unless the screen was closed again before its widgets were made."""
        if self.is_attached and self in self.app.screen_stack:
            self.opened()

    def opened(self) -> None:
        """What a screen does when it is first shown."""

    def now(self) -> datetime:
        """The app's clock."""
        return self.workbench.clock()

    def ask(
        self,
        question: Callable[[], Answer],
        answered: Callable[[Answer], object],
        *,
        group: str = "db",
        failed: Callable[[str], object] | None = None,
    ) -> Worker[None]:
        """Runs `question` in a thread and `answered` with its result here; a newer question of the group replaces it.

        A WorkbenchError goes to `failed`, which by default is a notification."""
        report = failed or self.complain

        async def work() -> None:
            try:
                answer = await asyncio.to_thread(question)
            except WorkbenchError as error:
                report(str(error))
                return
            answered(answer)

        return self.run_worker(work, group=group, exclusive=True, exit_on_error=False)

    @contextmanager
    def complaining(self) -> Iterator[None]:
        """What fails inside, by the project's fault or the disk's, is shown, and the terminal stays up."""
        try:
            yield
        except WorkbenchError as error:
            self.complain(str(error))
        except OSError as error:
            self.complain(f"{error.filename or 'the disk'}: {error.strerror or error}")

    def complain(self, problem: str) -> None:
        """Shows an error as it is."""
        self.notify(plain(problem), severity="error", timeout=10, markup=False)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """An error nobody expected is shown and written to Textual's log, and the terminal stays up."""
        if event.state is WorkerState.ERROR:
            self.log.error(event.worker.error)
            self.complain(f"{type(event.worker.error).__name__}: {event.worker.error}")

    def action_back(self) -> None:
        """To the screen before; from the first one, out."""
        if len(self.app.screen_stack) > 1:
            self.app.pop_screen()
        else:
            self.app.exit()

    def action_down(self) -> None:
        """One row down in the list that has the focus."""
        if isinstance(self.focused, DataTable | OptionList):
            self.focused.action_cursor_down()

    def action_up(self) -> None:
        """One row up in the list that has the focus."""
        if isinstance(self.focused, DataTable | OptionList):
            self.focused.action_cursor_up()
