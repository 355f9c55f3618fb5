"""The runs of the project, newest first, with what each of them came to."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import Footer, Static

from workbench.core.errors import WorkbenchError
from workbench.tui.actions import ScreenName, applies, bindings_for
from workbench.tui.messages import CancelWanted, ResumeWanted, RunStartedHere
from workbench.tui.screens.base import WorkbenchScreen
from workbench.tui.signs import STATE_SIGNS, STATUS_SIGNS, ago, coloured, duration, one_line, plain, signed
from workbench.tui.widgets.lists import RowTable

if TYPE_CHECKING:
    from workbench.loop.runs import RunView

_WELCOME = """\
No runs here yet.

  Press d to run the demo: a small model is fine-tuned on Python's own
  documentation and judged. It takes about ten minutes and needs no key.
  Press r to choose a loop file of this project.
  Press ? for every key.

Every run ends in a verdict: what got better, what got worse, what was lost.
On the command line: workbench demo
"""


class HomeScreen(WorkbenchScreen):
    """Runs with status, verdict and time; details of the one under the cursor below."""

    name_in_registry: ClassVar[ScreenName] = "home"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings_for("home")]

    def __init__(self) -> None:
        super().__init__()
        self._runs: dict[str, RunView] = {}
        self._verdicts: dict[str, str] = {}
        self._shown: list[tuple[str, str, str | None]] | None = None

    def compose(self) -> ComposeResult:
        """Title, table or welcome, details, keys."""
        yield Static(id="title", classes="title", markup=False)
        yield Static(_WELCOME, id="welcome", markup=False)
        yield RowTable(id="runs")
        yield Static(id="details", markup=False)
        yield Footer(show_command_palette=False)

    def opened(self) -> None:
        """Fills the table and keeps it current."""
        self._table.focus()
        self.set_interval(1.5, self.refresh_runs)
        self.refresh_runs()

    def on_screen_resume(self) -> None:
        """The project may have changed (the demo has one of its own), and the run just watched has."""
        self._title.update(Text(f"Workbench · {one_line(str(self.project.root), 200)}"))
        if self.is_mounted:
            self.refresh_runs()

    @property
    def _title(self) -> Static:
        return self.query_one("#title", Static)

    @property
    def _table(self) -> RowTable:
        return self.query_one("#runs", RowTable)

    def refresh_runs(self) -> None:
        """Reads runs and verdicts in a thread."""
        if self.app.screen is self:
            self.ask(self._read, self._show, group="runs")

    def _read(self) -> tuple[list[RunView], dict[str, str] | None]:
        from workbench.store.connection import IndexMissing
        from workbench.store.queries import verdicts

        runs = self.jobs.list_runs(self.project)
        try:
            return runs, verdicts(self.project.index)
        except IndexMissing:
            return runs, {}
        except WorkbenchError as error:
            if runs and not self._verdicts:
                self.app.call_from_thread(self._title_problem, str(error))
            return runs, None  # what was known before stays on the screen

    def _title_problem(self, problem: str) -> None:
        self._title.update(coloured(f"Workbench · {one_line(problem, 800)}", "yellow"))

    def _show(self, answer: tuple[list[RunView], dict[str, str] | None]) -> None:
        runs, verdicts = answer
        self._runs = {run.run: run for run in runs}
        self._verdicts = self._verdicts if verdicts is None else verdicts
        self.set_class(not runs, "-empty")
        content: list[tuple[str, str, str | None]] = [
            (run.run, run.status, self._verdicts.get(run.run)) for run in runs
        ]
        if content != self._shown:
            self._shown = content
            self._fill(runs)
        else:
            for run in runs:
                self._table.update_cell(run.run, "started", self._started(run))
                self._table.update_cell(run.run, "took", self._took(run))
        self._show_details()

    def _fill(self, runs: list[RunView]) -> None:
        table = self._table
        here = self._current()
        table.clear(columns=True)
        widths = {"status": 12, "verdict": 18, "run": max((len(one_line(name, 60)) for name in self._runs), default=20)}
        for label, width in (*widths.items(), ("started", 12), ("took", 8)):
            table.add_column(label, width=width, key=label)
        for run in runs:
            table.add_row(
                signed(run.status, STATUS_SIGNS),
                signed(self._verdicts.get(run.run), STATE_SIGNS),
                Text(one_line(run.run, 60)),
                self._started(run),
                self._took(run),
                key=run.run,
            )
        if here is not None and here in self._runs:
            table.move_cursor(row=table.get_row_index(here))

    def _started(self, run: RunView) -> Text:
        return Text(ago(run.created_at, self.now()) if run.created_at else "", "dim")

    def _took(self, run: RunView) -> Text:
        if run.status == "running" and run.created_at:
            began = datetime.fromisoformat(run.created_at)
            began = began if began.tzinfo else began.replace(tzinfo=UTC)
            return Text(duration((self.now() - began).total_seconds()))
        return Text(duration(sum(node.seconds or 0.0 for node in run.nodes)))

    def _current(self) -> str | None:
        return self._table.current_key()

    def on_data_table_row_highlighted(self) -> None:
        """Another run is under the cursor."""
        self._show_details()

    def _show_details(self) -> None:
        run = self._runs.get(self._current() or "")
        self.refresh_bindings()
        details = self.query_one("#details", Static)
        if run is None:
            details.update("")
            return
        finished = sum(node.status in ("done", "cached") for node in run.nodes)
        text = Text(f"{finished} of {len(run.nodes)} nodes")
        for node in run.nodes:
            if node.status in ("running", "failed"):
                state = "stopped" if node.status == "running" and run.status != "running" else node.status
                text.append(" · ").append_text(signed(state, STATUS_SIGNS)).append(f" {one_line(node.name, 40)}")
                if node.total:
                    text.append(f" {node.done}/{node.total} {one_line(node.unit, 12)}")
        if run.message:
            text.append(f"\n{plain(run.message)}")
        if run.command:
            text.append(f"\n$ {one_line(run.command, 200)}", "dim")
        details.update(text)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys that can do nothing to the run under the cursor are not shown."""
        run = self._runs.get(self._current() or "") if self.is_mounted else None
        return applies(action, None if run is None else run.status)

    def action_start_demo(self) -> None:
        """Starts the demo as a job and watches it."""
        project, jobs = self.project, self.jobs
        self.ask(
            lambda: jobs.start_demo(project),
            lambda started: self.post_message(RunStartedHere(started[0], started[1], "workbench demo")),
            group="start",
        )

    def action_start_loop(self) -> None:
        """Chooses a loop file, then starts it."""
        from workbench.tui.screens.start import StartScreen

        self.app.push_screen(StartScreen(), self._loop_chosen)

    def _loop_chosen(self, loop_file: Path | None) -> None:
        if loop_file is None:
            return
        project, jobs = self.project, self.jobs
        shown = loop_file.relative_to(project.root) if loop_file.is_relative_to(project.root) else loop_file
        self.ask(
            lambda: jobs.start_loop(project, loop_file),
            lambda run: self.post_message(RunStartedHere(project, run, f"workbench run {shown}")),
            group="start",
        )

    def on_data_table_row_selected(self) -> None:
        """Enter, or a click."""
        self.action_open()

    def action_open(self) -> None:
        """Watches the run under the cursor."""
        if (run := self._current()) is not None:
            self.workbench.open_run(run)

    def action_compare(self) -> None:
        """Suites and flips of the run under the cursor."""
        if (run := self._current()) is not None:
            self.workbench.open_comparison(run)

    def action_data(self) -> None:
        """The data funnel of the run under the cursor."""
        if (run := self._current()) is not None:
            self.workbench.open_data(run)

    def action_cancel(self) -> None:
        """Stops the run under the cursor, after a question."""
        run = self._runs.get(self._current() or "")
        if run is not None:
            self.post_message(CancelWanted(run.run))

    def action_resume(self) -> None:
        """Takes up the run under the cursor."""
        if (run := self._current()) is not None:
            self.post_message(ResumeWanted(run))
