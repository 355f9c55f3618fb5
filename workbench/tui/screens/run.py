"""One run while it happens: nodes, loss curve, log. All of it comes from files, so it can be opened at any time."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import Footer, Log, Static

from workbench.core.errors import WorkbenchError
from workbench.core.events import read_events
from workbench.core.who import user_name
from workbench.tui.actions import ScreenName, applies, bindings_for
from workbench.tui.live import LiveNode, LiveRun
from workbench.tui.messages import CancelWanted, ResumeWanted
from workbench.tui.screens.base import WorkbenchScreen
from workbench.tui.signs import STATE_SIGNS, STATUS_SIGNS, bar, coloured, duration, one_line, plain, signed
from workbench.tui.training import numbers_text, samples_text
from workbench.tui.widgets.curve import LossCurve

if TYPE_CHECKING:
    from workbench.loop.chat import Duet
    from workbench.loop.contests import Contests
    from workbench.loop.runs import RunView

_TAILS_PER_S = 5
_LOG_BYTES = 64_000
_PROGRESS_BAR = re.compile(r"\d+%\|.*\|")
"""Bars that libraries draw: the nodes show the progress already."""


class RunScreen(WorkbenchScreen):
    """Progress of one run; leaving it, or the terminal, does not touch the job."""

    name_in_registry: ClassVar[ScreenName] = "run"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings_for("run")]
    CSS_PATH = "run.tcss"

    def __init__(self, run: str) -> None:
        super().__init__()
        self._run = run
        self._view: RunView | None = None
        self._live = LiveRun(())
        self._events_offset = 0
        self._log_offset: int | None = None
        self._usual_seconds: dict[str, float] = {}
        self._verdict: tuple[str, str] | None = None
        self._keys_for: str | None = None
        self._cached_curve: list[tuple[int, float]] = []

    def compose(self) -> ComposeResult:
        """Title, nodes beside (or above) curve and log, keys."""
        yield Static(id="title", classes="title", markup=False)
        with Horizontal(id="body"):
            with VerticalScroll(id="nodes-area"):
                yield Static(id="nodes", markup=False)
            with Vertical(id="right"):
                yield LossCurve(id="curve")
                yield Static(id="numbers", markup=False)
                with VerticalScroll(id="samples-area", can_focus=False):
                    yield Static(id="samples", markup=False)
                yield Log(id="log", max_lines=2000)
        yield Footer(show_command_palette=False)

    def opened(self) -> None:
        """Starts following."""
        self.query_one("#nodes-area").focus()
        self.set_interval(1 / _TAILS_PER_S, self._tail)
        self.set_interval(2.0, self._look)
        self._look()
        self.ask(self._earlier_runs, self._usual_seconds.update, group="usual")
        self.ask(self._curve_in_index, self._cached_curve.extend, group="curve", failed=self.log.warning)

    @property
    def _directory(self) -> Path:
        return self.project.runs / self._run

    @property
    def _status(self) -> str | None:
        """Of the run: its last event is newer than the last look at its process; None before the first look."""
        if self._live.outcome is not None:
            return self._live.outcome.status
        return None if self._view is None else self._view.status

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys that can do nothing to a run in this state are not shown."""
        return applies(action, self._status)

    def _look(self) -> None:
        """Is the process alive, and is there a verdict?"""
        if self.app.screen is self and not (self._view and self._view.status != "running" and self._verdict):
            self.ask(self._read, self._looked, group="look")

    def _read(self) -> tuple[RunView, tuple[str, str] | None]:
        from workbench.store import queries

        view = self.jobs.read_run(self.project, self._run)
        try:
            state = queries.verdicts(self.project.index).get(self._run)
            return view, (state, queries.headline(self.project.index, self._run) or "") if state else None
        except WorkbenchError:
            return view, self._verdict  # the index is behind, in use or gone: the files still tell how the run goes

    def _looked(self, answer: tuple[RunView, tuple[str, str] | None]) -> None:
        view, self._verdict = answer
        if self._view is None or len(view.nodes) != len(self._view.nodes):
            self._live = LiveRun(tuple((node.name, node.stage) for node in view.nodes))
            self._events_offset = 0
            self.query_one("#log", Log).clear()
        self._view = view
        self._tail()

    def _earlier_runs(self) -> dict[str, float]:
        """Seconds that each node took in the latest run that made it."""
        usual: dict[str, float] = {}
        for run in reversed(self.jobs.list_runs(self.project)):
            usual.update({node.name: node.seconds for node in run.nodes if node.seconds is not None})
        return usual

    def _curve_in_index(self) -> list[tuple[int, float]]:
        """The curve of a training that was cached: this run's events have none."""
        from workbench.store.queries import curve

        return [(point.step, point.loss) for point in curve(self.project.index, self._run)]

    def _tail(self) -> None:
        """Takes in what was written since the last look."""
        if self._view is None or self.app.screen is not self:
            return
        events, self._events_offset = read_events(self._directory / "events.jsonl", self._events_offset)
        log = self.query_one("#log", Log)
        lines = self._new_log_lines()
        lines += self._live.apply(events)
        if lines:
            log.write_lines([plain(line) for text in lines for line in text.splitlines()])
        self._draw_training()
        self._draw()

    def _draw_training(self) -> None:
        name = self._live.shown_training() or ""
        points = self._live.points.get(name)
        self.query_one("#curve", LossCurve).show(list(points) if points else self._cached_curve)
        numbers = numbers_text(self._live.numbers.get(name, {}), self._live.validation.get(name, {}))
        self.query_one("#numbers", Static).update(numbers)
        area = self.query_one("#samples-area")
        answers = self._live.samples.get(name, {})
        self.query_one("#samples", Static).update(samples_text(answers.values(), area.size.width or 80))
        area.display = bool(answers)

    def _new_log_lines(self) -> list[str]:
        """Whole new lines of log.txt; of a long log the end only."""
        path = self._directory / "log.txt"
        try:
            size = path.stat().st_size
            if self._log_offset is None:
                self._log_offset = max(0, size - _LOG_BYTES)
            if size <= self._log_offset:
                return []
            with path.open("rb") as stream:
                stream.seek(self._log_offset)
                data = stream.read(_LOG_BYTES)
        except FileNotFoundError:
            return []
        whole = data[: data.rfind(b"\n") + 1] or (data if len(data) == _LOG_BYTES else b"")
        self._log_offset += len(whole)
        lines = [line.rsplit("\r", 1)[-1] for line in whole.decode("utf-8", "replace").split("\n")]
        return [line for line in lines if line.strip() and not _PROGRESS_BAR.search(line)]

    def _draw(self) -> None:
        assert self._view is not None
        self.query_one("#title", Static).update(self._title(self._view))
        area = self.query_one("#nodes-area")
        width = max(30, area.size.width - 3)
        name_width = min(30, max((len(name) for name in self._live.nodes), default=10), width - 22)
        alive = self._status == "running"
        nodes = Text("\n").join(_node_line(node, name_width, width, alive) for node in self._live.nodes.values())
        self.query_one("#nodes", Static).update(nodes)
        if self._status != self._keys_for:
            self._keys_for = self._status
            self.refresh_bindings()
        names = list(self._live.nodes)
        if (running := self._live.running()) is not None and area.size.height:
            area.scroll_to(y=max(0, names.index(running.name) - area.size.height // 2), animate=False)

    def _title(self, view: RunView) -> Text:
        status = self._status
        title = Text.assemble(signed(status, STATUS_SIGNS), "  ", (one_line(self._run, 80), "bold"))
        title.append(f"  {self._live.finished_nodes()}/{len(self._live.nodes)} nodes")
        if status == "running":
            left = self._live.run_eta_s(self._usual_seconds, self.now())
            title.append("" if left is None else f"  about {duration(left)} left")
        if self._verdict:
            title.append("\n").append_text(signed(self._verdict[0], STATE_SIGNS)).append(f"  {plain(self._verdict[1])}")
        elif view.message and status != "running":
            title.append(f"\n{plain(view.message)}")
        if view.command:
            title.append(f"\n$ {one_line(view.command, 200)}", "dim")
        return title

    def action_compare(self) -> None:
        """Suites and flips."""
        self.workbench.open_comparison(self._run)

    def action_data(self) -> None:
        """The data funnel."""
        self.workbench.open_data(self._run)

    def action_rate(self) -> None:
        """Blind rating of the answers that the run kept."""
        from workbench.tui.screens.rate import RateScreen

        self.ask(
            self._contests, lambda found: self.app.push_screen(RateScreen(found, user_name())), failed=self._not_now
        )

    def _contests(self) -> Contests:
        from workbench.loop.contests import find_contests

        return find_contests(self.project, self._run, None, None, None)

    def action_chat(self) -> None:
        """Base and the adapter of this run."""
        from workbench.loop.chat import ModelProcess
        from workbench.tui.screens.chat import ChatScreen

        self.ask(
            self._duet,
            lambda duet: self.app.push_screen(ChatScreen(duet, ModelProcess(self.project, duet))),
            failed=self._not_now,
        )

    def _duet(self) -> Duet:
        from workbench.loop.chat import duet_of

        return duet_of(self.project, None, self._run, None)

    def _not_now(self, problem: str) -> None:
        self.notify(plain(problem), severity="warning", timeout=8, markup=False)

    def action_resume(self) -> None:
        """Takes the run up again."""
        self.post_message(ResumeWanted(self._run))

    def start_over(self) -> None:
        """Follows the run from its beginning: it was taken up again."""
        self._view, self._verdict = None, None
        self._look()

    def action_cancel(self) -> None:
        """Stops the job, after a question."""
        self.post_message(CancelWanted(self._run))


def _node_line(node: LiveNode, name_width: int, width: int, alive: bool) -> Text:
    """Sign, name, bar and numbers of one node in at most `width` columns; `alive` is whether the run is at work."""
    stopped = node.status == "running" and not alive
    glyph, colour = STATUS_SIGNS["stopped" if stopped else node.status]
    line = coloured(f"{glyph} ", colour)
    line.append(f"{one_line(node.name, name_width):<{name_width}} ", "bold" if node.status == "running" else "")
    room = width - name_width - 3
    if stopped:
        reached = f" at {node.done}/{node.total} {one_line(node.unit, 10)}" if node.total else ""
        line.append(f"stopped{reached}", colour)
    elif node.status == "running":
        counts = f"{node.done}/{node.total}" if node.total else str(node.done or "")
        left = node.eta_s()
        tail = f" {counts} {one_line(node.unit, 10)}" + (f" {duration(left)} left" if left is not None else "")
        line.append(bar(node.done, node.total, min(14, room - len(tail))), "cyan").append(tail)
        if node.message and room - len(tail) > 40:
            line.append(f" {one_line(node.message, room - len(tail) - 20)}", "dim")
    elif node.status == "failed":
        line.append(one_line(node.message, max(20, room)), "red")
    elif node.status == "done":
        line.append(duration(node.seconds), "dim")
    else:
        line.append("cached" if node.status == "cached" else "", "dim")
    return line
