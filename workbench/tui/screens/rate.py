"""Which of two answers is better? Names hidden, sides drawn, every verdict on the disk before the next pair."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import Footer, Static

from workbench.loop.contests import Contests
from workbench.loop.indexing import index_decisions
from workbench.loop.ratings import Choice, RatingSession, ratings_path
from workbench.tui.actions import ScreenName, bindings_for
from workbench.tui.screens.base import WorkbenchScreen
from workbench.tui.signs import bar, one_line, plain

_SHOWN_CHARS = 20_000


class RateScreen(WorkbenchScreen):
    """The contests of a run, one at a time."""

    name_in_registry: ClassVar[ScreenName] = "rate"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings_for("rate")]
    CSS_PATH = "rate.tcss"

    def __init__(self, found: Contests, rater: str, *, seed: int = 0, limit: int | None = None) -> None:
        super().__init__()
        self._found = found
        self._rater = rater
        self._seed = seed
        self._limit = limit
        self._note = ""
        self._with_reference = False
        self._last = ""
        self._session: RatingSession | None = None

    def compose(self) -> ComposeResult:
        """Progress, prompt, both answers, keys."""
        yield Static(id="title", classes="title", markup=False)
        with VerticalScroll(id="document"):
            yield Static(id="prompt", markup=False)
            with Horizontal(id="sides"):
                yield Static(id="first", markup=False)
                yield Static(id="second", markup=False)
        yield Static(id="said", classes="line quiet", markup=False)
        yield Footer(show_command_palette=False)

    def opened(self) -> None:
        """Goes on where this rater stopped."""
        self.query_one("#document").focus()
        with self.complaining():
            self._begin()
        if self._session is None:
            super().action_back()
        else:
            self._show()

    def _begin(self) -> None:
        self._session = RatingSession(
            ratings_path(self.project),
            self._found.contests,
            self._rater,
            seed=self._seed,
            limit=self._limit,
            clock=self.workbench.clock,
        )

    @property
    def session(self) -> RatingSession:
        """What this rater has to do."""
        assert self._session is not None, "the screen is open"
        return self._session

    def _show(self) -> None:
        session, shown = self.session, self.session.current()
        title = Text.assemble(
            (f"rated {session.done} of {session.total}  ", "bold"),
            bar(session.done, session.total, 20),
            (f"  {one_line(session.rater, 30)}", "dim"),
            (f"  {self._found.equal} equal pairs are not asked" if self._found.equal else "", "dim"),
        )
        self.query_one("#title", Static).update(title)
        self.query_one("#sides").display = shown is not None
        self.query_one("#document", VerticalScroll).scroll_home(animate=False)
        if shown is None:
            self._show_end()
        else:
            contest = shown.contest
            head = Text.assemble((f"{one_line(contest.suite, 40)}\n", "dim"), _shown(contest.prompt))
            if self._with_reference:
                head.append("\n\nreference\n", "bold").append(_shown(contest.reference) or "there is none")
            self.query_one("#prompt", Static).update(head)
            for id_, name, text in zip(("first", "second"), "AB", shown.outputs, strict=True):
                said = _shown(text) if text.strip() else "(nothing)"
                self.query_one(f"#{id_}", Static).update(Text.assemble((f"{name}\n", "bold"), said))
        note = f"note: {one_line(self._note, 60)}" if self._note else ""
        self.query_one("#said", Static).update("  ·  ".join(filter(None, (self._last, note))))

    def _show_end(self) -> None:
        run = one_line(self._found.run, 80)
        said = "Everything is rated." if self.session.total else "There is nothing to choose: all answers are equal."
        command = f"$ workbench rate {run} --summary"
        self.query_one("#prompt", Static).update(Text.assemble((f"{said}\n\n", "bold"), (command, "dim")))

    def _decide(self, choice: Choice, said: str) -> None:
        if self.session.current() is None:
            return
        self._last = "not kept"
        with self.complaining():
            self.session.decide(choice, self._note)
            self._note, self._last = "", f"kept: {said}"
        self._show()

    def action_back(self) -> None:
        """To the run; the index learns of the ratings meanwhile."""
        self.app.run_worker(partial(index_decisions, self.project), thread=True, exit_on_error=False)
        super().action_back()

    def action_first(self) -> None:
        """The left one is better."""
        self._decide("first", "A is better")

    def action_second(self) -> None:
        """The right one is better."""
        self._decide("second", "B is better")

    def action_tie(self) -> None:
        """Both are as good."""
        self._decide("tie", "equally good")

    def action_neither(self) -> None:
        """Both are bad."""
        self._decide("neither", "neither is good")

    def action_skip(self) -> None:
        """Later."""
        if self.session.current() is not None:
            self.session.skip()
            self._note, self._last = "", "put off"
            self._show()

    def action_undo(self) -> None:
        """Takes the last verdict back."""
        self._last = "not taken back"
        with self.complaining():
            note = self.session.undo()
            self._last = "there is nothing to take back" if note is None else "taken back"
            self._note = note or self._note
        self._show()

    def action_reference(self) -> None:
        """Shows or hides what the data answers."""
        self._with_reference = not self._with_reference
        self._show()

    def action_note(self) -> None:
        """Asks for a note, which goes with the next verdict."""
        from workbench.tui.screens.note import NoteScreen

        def written(note: str | None) -> None:
            if note is not None:
                self._note = note
                self._show()

        if self.session.current() is not None:
            self.app.push_screen(NoteScreen(self._note), written)


def _shown(text: str) -> str:
    cut = plain(text[:_SHOWN_CHARS])
    return cut if len(text) <= _SHOWN_CHARS else f"{cut}\n… {len(text) - _SHOWN_CHARS} more characters"
