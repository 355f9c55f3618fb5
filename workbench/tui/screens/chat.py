"""Base and adapter side by side: one prompt to both, each goes on with its own conversation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Protocol

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Footer, Static

from workbench.core.errors import WorkbenchError
from workbench.core.records import Message
from workbench.loop.chat import Answered, ChatEvent, Duet, Failed, Ready, Said, Side
from workbench.loop.chat_items import DEFAULT_SUITE, ChatItems
from workbench.tui.actions import ScreenName, bindings_for
from workbench.tui.screens.base import WorkbenchScreen
from workbench.tui.signs import one_line, plain
from workbench.tui.widgets.conversation import Conversation, Line
from workbench.tui.widgets.prompt import Prompt

SIDES: tuple[Side, Side] = ("base", "tuned")
_ENDED = {"stop": "", "length": "  cut", "cancelled": "  stopped"}
_NOT_YET = {
    "loading": "the models are being loaded: what you wrote stays here until then",
    "answering": "they are still answering; f8 stops them",
    "ended": "the models are gone: nothing was sent",
}


class Answering(Protocol):
    """What answers: a process with the models."""

    async def run(self, heard: Callable[[ChatEvent], object]) -> None:
        """Starts it and passes on what it says until it ends."""

    def ask(self, base: Sequence[Message], tuned: Sequence[Message]) -> None:
        """Lets both sides answer."""

    def stop(self) -> None:
        """Ends the answers that are being written."""


@dataclass(slots=True)
class _Talk:
    """One side's conversation."""

    turns: list[Message] = field(default_factory=list)
    note: str = ""
    """About the last answer: tokens and pace."""
    writing: str | None = None
    """The answer so far, while one is being written."""
    whole: bool = False
    """Whether the last turn is a whole answer, not one that was stopped."""

    def lines(self) -> list[Line]:
        """What its column shows."""
        lines = [Line(turn.content, asked=turn.role == "user") for turn in self.turns]
        return lines if self.writing is None else [*lines, Line(self.writing, asked=False, growing=True)]


class ChatScreen(WorkbenchScreen):
    """Two conversations in two columns; the models are in a process of their own."""

    name_in_registry: ClassVar[ScreenName] = "chat"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings_for("chat")]
    CSS_PATH = "chat.tcss"

    def __init__(self, duet: Duet, answering: Answering, suite: str = DEFAULT_SUITE) -> None:
        super().__init__()
        self._duet = duet
        self._answering = answering
        self._suite = suite
        self._items: ChatItems | None = None
        self._talks = {side: _Talk() for side in SIDES}
        self._state: Literal["loading", "ready", "answering", "ended"] = "loading"
        self._shared = False

    def compose(self) -> ComposeResult:
        """Title, both conversations, what was done, the line to write on, keys."""
        yield Static(id="title", classes="title", markup=False)
        with Horizontal(id="sides"):
            for side in SIDES:
                with Vertical(id=f"{side}-side"):
                    yield Static(id=f"{side}-name", markup=False)
                    yield Conversation(id=side)
        yield Static(id="said", classes="line quiet", markup=False)
        yield Prompt(
            id="prompt",
            placeholder="write to both, enter sends, ctrl+j begins a line",
            compact=True,
            highlight_cursor_line=False,
        )
        yield Footer(show_command_palette=False)

    def opened(self) -> None:
        """Starts the process with the models."""
        self.query_one("#prompt").focus()
        self._draw()
        self.run_worker(self._answering.run(self._heard), group="chat", exit_on_error=False)

    def _heard(self, event: ChatEvent) -> None:
        match event:
            case Ready(shared=shared):
                self._state, self._shared = "ready", shared
            case Said(side=side, text=text):
                self._talks[side].writing = text
                self._draw_side(side)
                return
            case Answered():
                self._answered(event)
            case Failed(problem=problem, fatal=fatal):
                self._state = "ended" if fatal else "ready"
                self._drop_questions()
                self.complain(problem)
        self._draw()

    def _answered(self, event: Answered) -> None:
        talk = self._talks[event.side]
        talk.turns.append(Message(role="assistant", content=event.text))
        pace = f"{event.tokens / event.seconds:.0f} tokens/s" if event.seconds else ""
        talk.note = f"{event.tokens} tokens  {pace}{_ENDED[event.finish_reason]}"
        talk.writing, talk.whole = None, event.finish_reason != "cancelled"
        if event.side == SIDES[-1]:
            self._state = "ready"

    def _drop_questions(self) -> None:
        """What was not answered on both sides was not asked; it stands in the prompt again, before what was begun."""
        if all(talk.turns and talk.turns[-1].role == "assistant" for talk in self._talks.values()):
            return
        asked = ""
        for talk in self._talks.values():
            talk.writing = None
            if talk.turns and talk.turns[-1].role == "assistant":
                talk.turns.pop()
            if talk.turns:
                asked = talk.turns.pop().content
        prompt = self.query_one(Prompt)
        prompt.text = "\n".join(filter(None, (asked, prompt.text)))
        prompt.move_cursor(prompt.document.end)

    @on(Prompt.Submitted)
    def _send(self, event: Prompt.Submitted) -> None:
        """Sends what was written to both."""
        text = event.prompt.text
        if not text.strip():
            return
        if self._state != "ready":
            self._say(_NOT_YET[self._state])
            return
        event.prompt.clear()
        for side in SIDES:
            self.query_one(f"#{side}", Conversation).anchor()
        for talk in self._talks.values():
            talk.turns.append(Message(role="user", content=text))
            talk.note, talk.writing, talk.whole = "", "", False
        self._state = "answering"
        self._say("")
        self._answering.ask(*(talk.turns for talk in self._talks.values()))
        self._draw()

    def _draw(self) -> None:
        states = {
            "loading": ("▶ loading the models", "cyan"),
            "ready": ("✔ ready", "green"),
            "answering": ("▶ answering", "cyan"),
            "ended": ("✘ the models are gone; esc, and open it again", "red"),
        }
        title = Text.assemble(states[self._state], f"  {one_line(self._duet.name, 50)}")
        title.append(f"  {self._duet.precision}  {one_line(self._duet.model.ref, 60)}", "dim")
        if self._state == "ready" and not self._shared:
            title.append("  two models in memory", "dim")
        self.query_one("#title", Static).update(title)
        for side in SIDES:
            self._draw_side(side)

    def _draw_side(self, side: Side) -> None:
        talk, name = self._talks[side], "base" if side == "base" else "adapter"
        self.query_one(f"#{side}-name", Static).update(Text.assemble((name, "bold"), (f"  {talk.note}", "dim")))
        self.query_one(f"#{side}", Conversation).show(talk.lines())

    def _say(self, text: str) -> None:
        self.query_one("#said", Static).update(plain(text))

    def action_keep_base(self) -> None:
        """The answer of the base is right."""
        self._keep("base", "tuned")

    def action_keep_tuned(self) -> None:
        """The answer of the adapter is right."""
        self._keep("tuned", "base")

    def _keep(self, right: Side, wrong: Side) -> None:
        if not all(talk.whole for talk in self._talks.values()):
            self._say("there are no two whole answers to choose from")
            return
        *before, answer = self._talks[right].turns
        system = self._duet.model.system_prompt
        if system is not None:
            before = [Message(role="system", content=system), *before]
        with self._refusing():
            self._items = self._items or ChatItems(self.project, self._suite, self.workbench.clock)
            path = self._items.add(before, answer.content, self._talks[wrong].turns[-1].content, right)
            who = "base" if right == "base" else "adapter"
            self._say(f"+1 item in {path.relative_to(self.project.root.resolve())}: the {who} is right (f7 undoes)")

    def action_undo_item(self) -> None:
        """Takes the last item back."""
        with self._refusing():
            taken = self._items is not None and self._items.undo()
            self._say(f"the last item is out of suite {self._suite} again" if taken else "this chat made no item yet")

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        """Why an item cannot be made or taken back stands above the prompt."""
        try:
            yield
        except WorkbenchError as error:
            self._say(str(error))
        except OSError as error:
            self._say(f"nothing was written: {error.filename or 'the disk'}: {error.strerror or error}")

    def action_stop(self) -> None:
        """Ends the answers."""
        if self._state == "answering":
            self._answering.stop()

    def action_anew(self) -> None:
        """Forgets both conversations."""
        if self._state != "answering":
            self._talks = {side: _Talk() for side in SIDES}
            self._say("")
            self._draw()
