"""Before against after: every suite with its interval and state, then the documents whose correctness changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import DataTable, Footer, Input, Static

from workbench.tui.actions import ScreenName, bindings_for
from workbench.tui.outputs import in_brief
from workbench.tui.screens.search import SearchableScreen
from workbench.tui.signs import KIND_SIGNS, STATE_SIGNS, coloured, gain, one_line, plain, score, signed
from workbench.tui.widgets.lists import RowTable

if TYPE_CHECKING:
    from workbench.store.queries import FlipRow, PairRow, SuiteRow

PAGE_ROWS = 100
_WIDE_COLUMNS = 110
_SUITE_COLUMNS = {"state": 17, "suite": 13, "before": 6, "after": 6, "gain": 8, "interval": 16}
_WIDE_SUITE_COLUMNS = {**_SUITE_COLUMNS, "suite": 24, "n": 5, "metric": 6, "flips": 10}
"""Label and width of the columns, in a narrow and in a wide terminal."""
_KINDS: tuple[str | None, ...] = (None, "forgotten", "learned")


class CompareScreen(SearchableScreen):
    """Suites of a pair of arms, and its flips, forgotten first."""

    name_in_registry: ClassVar[ScreenName] = "compare"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings_for("compare")]
    CSS_PATH = "compare.tcss"

    def __init__(self, run: str) -> None:
        super().__init__()
        self._run = run
        self._pairs: tuple[PairRow, ...] = ()
        self._chosen = 0
        self._suite: str | None = None
        self._kind: str | None = None
        self._flips: list[FlipRow] = []
        self._counts: dict[tuple[str, str], int] = {}
        self._more = False
        self._wide = True
        self._text_width = 30

    def compose(self) -> ComposeResult:
        """Title, suites, reason, filter line, flips, keys."""
        yield Static(id="title", classes="title", markup=False)
        yield RowTable(id="suites")
        yield Static(id="reason", classes="line quiet", markup=False)
        yield Static(id="filter", classes="title", markup=False)
        yield Input(id="search", placeholder="text in prompt or answers; enter searches, esc closes")
        yield RowTable(id="flips")
        yield Footer(show_command_palette=False)

    def opened(self) -> None:
        """Asks the index."""
        self._add_columns()
        self._flip_table.focus()
        self.query_one("#title", Static).update(Text(f"Comparison  {one_line(self._run, 80)}", "bold"))
        self.query_one("#search").display = False
        index, run = self.project.index, self._run

        def question() -> tuple[PairRow, ...]:
            from workbench.store.queries import comparison  # with duckdb 75 ms

            return comparison(index, run)

        self.ask(question, self._pairs_known, failed=self._say)

    def _add_columns(self) -> None:
        """As many as fit: a narrow terminal shows metric, n and flips of the suite under the cursor below the table."""
        self._wide = self.size.width >= _WIDE_COLUMNS
        for label, width in (_WIDE_SUITE_COLUMNS if self._wide else _SUITE_COLUMNS).items():
            self._suites.add_column(label, width=width, key=label)
        self._text_width = max(14, (self.size.width - 44) // 3)
        for label, width in (("change", 11), ("suite", 16), ("prompt", 0), ("before", 0), ("after", 0)):
            self._flip_table.add_column(label, width=width or self._text_width, key=label)

    def on_resize(self) -> None:
        """Other columns fit."""
        if self._pairs and self._text_width != max(14, (self.size.width - 44) // 3):
            self._suites.clear(columns=True)
            self._flip_table.clear(columns=True)
            self._add_columns()
            self._show_pair()

    @property
    def _suites(self) -> RowTable:
        return self.query_one("#suites", RowTable)

    @property
    def _flip_table(self) -> RowTable:
        return self.query_one("#flips", RowTable)

    def _say(self, problem: str) -> None:
        self.query_one("#reason", Static).update(coloured(plain(problem), "yellow"))

    def _pairs_known(self, pairs: tuple[PairRow, ...]) -> None:
        self._pairs = pairs
        if not pairs:
            self._say("This run has no comparison yet: it appears when the node `compare` is done.")
            return
        self._show_pair()

    @property
    def _pair(self) -> PairRow | None:
        return self._pairs[self._chosen] if self._pairs else None

    def _show_pair(self) -> None:
        pair = self._pair
        assert pair is not None
        title = Text.assemble(
            signed(pair.state, STATE_SIGNS),
            (f"  {one_line(pair.before, 40)} → {one_line(pair.after, 40)}", "bold"),
            f"  {pair.purpose}, pair {self._chosen + 1} of {len(self._pairs)}  ",
            (one_line(self._run, 60), "dim"),
        )
        if pair.obstacles:
            title.append("\n≠ not comparable: " + "; ".join(plain(obstacle) for obstacle in pair.obstacles), "magenta")
        self.query_one("#title", Static).update(title)
        self._suites.clear()
        for suite in pair.suites:
            self._suites.add_row(*_suite_cells(suite, self._wide), key=f"{suite.suite}\0{suite.metric}")
        self._show_reason()
        self.list_again()

    def _show_reason(self) -> None:
        pair = self._pair
        key = self._suites.current_key()
        suite = next((row for row in pair.suites if f"{row.suite}\0{row.metric}" == key), None) if pair else None
        if suite is not None:
            gated = "gated" if suite.gated else "not gated"
            margin = gain(suite.margin, suite.unit).lstrip("+")
            about = f"{suite.metric}, n {suite.n}, {suite.role}, {gated}, margin {margin}"
            flips = "" if suite.forgotten is None else f" ✘ {suite.forgotten} forgotten, ✔ {suite.learned} learned."
            reason = f"{suite.suite} ({about}):{flips} {suite.reason or 'not judged'}"
            self.query_one("#reason", Static).update(plain(reason))

    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        """Another suite is explained; near the end of the flips the next page is fetched."""
        if event.data_table is self._suites:
            self._show_reason()
        elif self._more and event.cursor_row >= len(self._flips) - 10:
            self._more = False
            self._ask_flips(len(self._flips))

    def on_data_table_row_selected(self) -> None:
        """A click on the row under the cursor."""
        self.action_show_flip()

    def list_again(self) -> None:
        self._flips = []
        self._more = False
        self._flip_table.clear()
        self._ask_flips(0)

    def _ask_flips(self, offset: int) -> None:
        pair = self._pair
        if pair is None:
            return
        index, run, suite, kind, contains = self.project.index, self._run, self._suite, self._kind, self.contains

        def question() -> tuple[dict[tuple[str, str], int], tuple[FlipRow, ...]]:
            from workbench.store.queries import count_flips, flips

            page = flips(
                index,
                run,
                pair.before,
                pair.after,
                suite=suite,
                kind=kind,
                contains=contains,
                offset=offset,
                limit=PAGE_ROWS,
            )
            return count_flips(index, run, pair.before, pair.after), page

        self.ask(question, self._flips_known, failed=self._say)

    def _flips_known(self, answer: tuple[dict[tuple[str, str], int], tuple[FlipRow, ...]]) -> None:
        self._counts, page = answer
        for number, flip in enumerate(page, start=len(self._flips)):
            texts = (flip.prompt, in_brief(flip.before_output), in_brief(flip.after_output))
            self._flip_table.add_row(
                signed(flip.kind, KIND_SIGNS),
                Text(one_line(flip.suite, 16)),
                *(Text(one_line(text, self._text_width)) for text in texts),
                key=str(number),
            )
        self._flips += page
        self._more = len(page) == PAGE_ROWS
        self._show_filter()

    def _show_filter(self) -> None:
        forgotten, learned = (
            sum(count for (suite, kind), count in self._counts.items() if kind == name and self._suite in (None, suite))
            for name in ("forgotten", "learned")
        )
        text = Text.assemble("Flips  ", (f"✘ {forgotten} forgotten", "red"), "  ", (f"✔ {learned} learned", "green"))
        shown = [
            f"suite {one_line(self._suite, 30)}" if self._suite else "",
            f"{self._kind} only" if self._kind else "",
        ]
        shown.append(f"containing {one_line(self.contains, 30)!r}" if self.contains else "")
        if any(shown):
            text.append("  shown: " + ", ".join(part for part in shown if part), "yellow")
        if not self._flips:
            text.append("  none" + (" with this filter" if any(shown) else ""), "dim")
        self.query_one("#filter", Static).update(text)

    def action_next_pair(self) -> None:
        """The next pair of arms."""
        if self._pairs:
            self._chosen = (self._chosen + 1) % len(self._pairs)
            self._suite = None
            self._show_pair()

    def action_next_suite(self) -> None:
        """Flips of the next suite that has some, then all."""
        names: list[str | None] = [None, *sorted({suite for suite, _ in self._counts})]
        self._suite = names[(names.index(self._suite) + 1) % len(names)] if self._suite in names else None
        self.list_again()

    def action_next_kind(self) -> None:
        """All, forgotten, learned."""
        self._kind = _KINDS[(_KINDS.index(self._kind) + 1) % len(_KINDS)]
        self.list_again()

    def listed(self) -> RowTable:
        """The rows below."""
        return self._flip_table

    def action_data(self) -> None:
        """The data funnel."""
        self.workbench.open_data(self._run)

    def action_show_flip(self) -> None:
        """The document under the cursor, before and after side by side; from the suites, the flips of that suite."""
        from workbench.tui.screens.sample import SampleScreen

        if self.focused is self._suites and (suite := self._suites.current_key()) is not None:
            self._suite = suite.partition("\0")[0]
            self.list_again()
            self._flip_table.focus()
            return
        key, pair = self._flip_table.current_key(), self._pair
        if key is not None and pair is not None:
            self.app.push_screen(SampleScreen(self._run, list(self._flips), int(key), pair.before, pair.after))


def state_cell(state: str | None, *, nothing_changed: bool) -> Text:
    """The state with its sign; equal scores come before it unless they cannot be compared or leave doubt."""
    if nothing_changed and state not in ("not comparable", "inconclusive"):
        return Text("= no change", "dim")
    return signed(state, STATE_SIGNS)


def _suite_cells(suite: SuiteRow, wide: bool) -> list[Text]:
    """One row of the suite table; what lies inside the noise is not coloured."""
    low, high = gain(suite.gain_low, suite.unit), gain(suite.gain_high, suite.unit)
    colour = "green" if suite.gain_low > 0 else "red" if suite.gain_high < 0 else ""
    arrow = "▲ " if suite.gain_low > 0 else "▼ " if suite.gain_high < 0 else "  "
    flips = "" if suite.forgotten is None else f"✘ {suite.forgotten} ✔ {suite.learned}"
    cells = {
        "state": state_cell(suite.state, nothing_changed=suite.nothing_changed),
        "suite": Text(one_line(suite.suite, 24 if wide else 13)),
        "before": Text(score(suite.before, suite.unit), justify="right"),
        "after": Text(score(suite.after, suite.unit), justify="right"),
        "gain": Text(arrow + gain(suite.gain, suite.unit), colour, justify="right"),
        "interval": Text(f"[{low}, {high}]", colour),
        "n": Text(str(suite.n), justify="right"),
        "metric": Text(one_line(suite.metric, 12)),
        "flips": Text(flips),
    }
    return [cells[label] for label in (_WIDE_SUITE_COLUMNS if wide else _SUITE_COLUMNS)]
