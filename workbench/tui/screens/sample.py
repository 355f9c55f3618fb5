"""One document in two arms, side by side, the words that differ marked."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import Footer, Static

from workbench.tui.actions import ScreenName, bindings_for
from workbench.tui.differences import marked_differences
from workbench.tui.outputs import readable
from workbench.tui.screens.base import WorkbenchScreen
from workbench.tui.signs import KIND_SIGNS, one_line, plain, signed

if TYPE_CHECKING:
    from workbench.store.queries import FlipRow, SampleRow

_SHOWN_CHARS = 20_000
_COMPARED_WORDS = 600


class SampleScreen(WorkbenchScreen):
    """The flips of a list, one at a time."""

    name_in_registry: ClassVar[ScreenName] = "sample"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings_for("sample")]
    CSS_PATH = "sample.tcss"

    def __init__(self, run: str, flips: list[FlipRow], place: int, before: str, after: str) -> None:
        super().__init__()
        self._run = run
        self._flips = flips
        self._place = place
        self._arms = (before, after)

    def compose(self) -> ComposeResult:
        """Title, prompt, both outputs, keys."""
        yield Static(id="title", classes="title", markup=False)
        with VerticalScroll(id="document"):
            yield Static(id="prompt", markup=False)
            with Horizontal(id="sides"):
                yield Static(id="before", markup=False)
                yield Static(id="after", markup=False)
        yield Footer(show_command_palette=False)

    def opened(self) -> None:
        """Shows the first one."""
        self.query_one("#document").focus()
        self._show()

    def _show(self) -> None:
        flip = self._flips[self._place]
        title = Text.assemble(
            signed(flip.kind, KIND_SIGNS),
            (f"  {one_line(flip.suite, 40)}", "bold"),
            f" · {one_line(flip.metric, 20)}" + (f" · {one_line(flip.group_name, 30)}" if flip.group_name else ""),
            (f"  {self._place + 1} of {len(self._flips)}  document {flip.doc_hash}", "dim"),
        )
        self.query_one("#title", Static).update(title)
        self._fill(flip.prompt, flip.target, (flip.before_output, flip.after_output), ("", ""))
        index, run, arms = self.project.index, self._run, self._arms

        def question() -> tuple[SampleRow, ...]:
            from workbench.store.queries import samples

            return samples(index, run, flip.suite, flip.doc_hash, flip.occurrence, arms)

        self.ask(question, lambda rows: self._whole(flip, rows))

    def _whole(self, flip: FlipRow, rows: tuple[SampleRow, ...]) -> None:
        """Whole texts and scores, where the index has the samples."""
        found = {row.arm: row for row in rows if (row.metric, row.filter_name) == (flip.metric, flip.filter_name)}
        before, after = (found.get(arm) for arm in self._arms)
        if before is None or after is None:
            return
        notes = tuple(
            "failed: " + plain(row.error)
            if row.error
            else f"{row.metric} {row.value:g}" + ("" if row.parsed else ", unparsed")
            for row in (before, after)
            if row.value is not None or row.error
        )
        if len(notes) == 2:
            self._fill(after.prompt, after.target, (before.output, after.output), (notes[0], notes[1]))

    def _fill(self, prompt: str, target: str, outputs: tuple[str, str], notes: tuple[str, str]) -> None:
        above = Text.assemble(("prompt\n", "bold"), _shown(prompt), ("\n\nexpected\n", "bold"), _shown(target))
        self.query_one("#prompt", Static).update(above)
        marked = marked_differences(_shown(readable(outputs[0])), _shown(readable(outputs[1])), _COMPARED_WORDS)
        kind = self._flips[self._place].kind
        signs = ("✔ right", "✘ wrong") if kind == "forgotten" else ("✘ wrong", "✔ right")
        for id_, arm, sign, note, output in zip(("before", "after"), self._arms, signs, notes, marked, strict=True):
            colour = "green" if sign.startswith("✔") else "red"
            head = Text.assemble((f"{one_line(arm, 30)}  ", "bold"), (sign, colour), (f"  {note}\n", "dim"))
            self.query_one(f"#{id_}", Static).update(head + output)

    def action_next_flip(self) -> None:
        """The next flip of the list."""
        self._step(1)

    def action_previous_flip(self) -> None:
        """The flip before."""
        self._step(-1)

    def _step(self, by: int) -> None:
        self._place = (self._place + by) % len(self._flips)
        self.query_one("#document", VerticalScroll).scroll_home(animate=False)
        self._show()


def _shown(text: str) -> str:
    cut = plain(text[:_SHOWN_CHARS])
    return cut if len(text) <= _SHOWN_CHARS else f"{cut}\n… {len(text) - _SHOWN_CHARS} more characters"
