"""What became of the data: the funnel with its numbers, and under every reason the rows it touched with evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import DataTable, Footer, Input, Static

from workbench.tui.actions import ScreenName, bindings_for
from workbench.tui.numbers import length_line, numbers_text
from workbench.tui.restoring import RestoringScreen
from workbench.tui.screens.search import SearchableScreen
from workbench.tui.signs import ACTION_SIGNS, bar, coloured, one_line, plain, row_state, signed
from workbench.tui.widgets.lists import RowTable

if TYPE_CHECKING:
    from workbench.core.funnel import ReasonCount
    from workbench.store.curated_rows import CuratedRows, ListedRow, Page
    from workbench.store.curation import Curation

_REASON_COLUMNS = {"what": 8, "reason": 22, "rows": 7, "only this": 9, "share": 19}


class DataScreen(SearchableScreen, RestoringScreen):
    """Reasons above, the rows of the one under the cursor below."""

    name_in_registry: ClassVar[ScreenName] = "data"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings_for("data")]
    CSS_PATH = "data.tcss"

    def __init__(self, run: str) -> None:
        super().__init__()
        self._run = run
        self._curation: Curation | None = None
        self._source: CuratedRows | None = None
        self._listed: list[ListedRow] = []
        self._rest: int | None = None
        self._text_width = 30

    def compose(self) -> ComposeResult:
        """Title, reasons and numbers, rows, keys."""
        yield Static(id="title", classes="title", markup=False)
        yield Static(id="lengths", classes="line quiet", markup=False)
        with Horizontal(id="top"):
            yield RowTable(id="reasons")
            with VerticalScroll(id="numbers"):
                yield Static(id="numbers-text", markup=False)
        yield Static(id="examples-title", classes="title", markup=False)
        yield Input(id="search", placeholder="text in the record or the evidence; enter searches, esc closes")
        yield RowTable(id="examples")
        yield Footer(show_command_palette=False)

    def opened(self) -> None:
        """Asks the index."""
        self.query_one("#title", Static).update(Text(f"Data funnel  {one_line(self._run, 80)}", "bold"))
        self.query_one("#search").display = False
        for label, width in _REASON_COLUMNS.items():
            self._reasons.add_column(label, width=width, key=label)
        self._add_row_columns()
        self._reasons.focus()
        index, run = self.project.index, self._run

        def question() -> Curation | None:
            from workbench.store.curation import curation  # with duckdb 75 ms

            return curation(index, run)

        self.ask(question, self._show, failed=self._say)

    @property
    def _reasons(self) -> RowTable:
        return self.query_one("#reasons", RowTable)

    @property
    def _examples(self) -> RowTable:
        return self.query_one("#examples", RowTable)

    def _say(self, problem: str) -> None:
        self.query_one("#examples-title", Static).update(coloured(plain(problem), "yellow"))

    def _width_of_texts(self) -> int:
        return max(18, (self.size.width - (46 if self.size.width >= 110 else 29)) // 2)

    def _add_row_columns(self) -> None:
        self._text_width = self._width_of_texts()
        columns = {"state": 10, "row": 8, "evidence": self._text_width, "record": self._text_width}
        if self.size.width >= 110:
            columns["dataset"] = 15
        for label, width in columns.items():
            self._examples.add_column(label, width=width, key=label)

    def on_resize(self) -> None:
        """Other columns fit."""
        if self._curation is not None and self._text_width != self._width_of_texts():
            self._examples.clear(columns=True)
            self._add_row_columns()
            self._add_rows(self._listed)

    def _show(self, curation: Curation | None) -> None:
        if curation is None:
            self._say("Nothing yet: the funnel appears when the node `curate` is done.")
            return
        from workbench.store.curated_rows import CuratedRows

        self._curation = curation
        project = self.project
        artifact = project.artifacts / "curate" / curation.fingerprint
        self._source = CuratedRows(project.index, artifact, curation.fingerprint)
        funnel = curation.funnel
        kept = funnel.rows_out / funnel.rows_in if funnel.rows_in else 0.0
        broken = curation.quarantined
        lines = f"  {broken:,} line{'' if broken == 1 else 's'} quarantined" if broken else ""
        title = Text.assemble(
            ("Data funnel  ", "bold"),
            f"{funnel.rows_in:,} rows in → {funnel.rows_out:,} kept  ",
            f"{bar(funnel.rows_out, funnel.rows_in, 14)} {kept:.0%}",
            lines,
            (f"  ↺ {funnel.restored:,} kept because people said so" if funnel.restored else ""),
            (f"  {one_line(self._run, 60)}" if self.size.width >= 110 else "", "dim"),
        )
        self.query_one("#title", Static).update(title)
        self.query_one("#lengths", Static).update(length_line(funnel))
        self.query_one("#numbers-text", Static).update(numbers_text(funnel))
        for place, reason in enumerate(funnel.reasons):
            self._reasons.add_row(*_reason_cells(reason, funnel.rows_in), key=str(place))
        if not funnel.reasons:
            self._say("No filter found anything.")

    @property
    def _reason(self) -> ReasonCount | None:
        key = self._reasons.current_key()
        return None if key is None or self._curation is None else self._curation.funnel.reasons[int(key)]

    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        """The rows of another reason; near the end of the rows the next page is fetched."""
        if event.data_table is self._reasons:
            self.list_again()
        elif self._rest is not None and event.cursor_row >= len(self._listed) - 10:
            after, self._rest = self._rest, None
            self._ask_rows(after)

    def list_again(self) -> None:
        self._listed, self._rest = [], None
        self._examples.clear()
        self._show_rows_title("looking…")
        self._ask_rows(-1)

    def _ask_rows(self, after: int) -> None:
        reason, source, contains = self._reason, self._source, self.contains
        if reason is None or source is None:
            return

        def question() -> Page:
            return source.page(reason.reason, reason.action, contains=contains, after=after)

        self.ask(question, self._rows_known, group="examples", failed=self._say)

    def _rows_known(self, page: Page) -> None:
        self._add_rows(page.rows, start=len(self._listed))
        self._listed += page.rows
        self._rest = page.rest
        self._show_rows_title()

    def _add_rows(self, rows: list[ListedRow] | tuple[ListedRow, ...], start: int = 0) -> None:
        wide = self.size.width >= 110
        for place, row in enumerate(rows, start=start):
            cells = [
                row_state(row.found.dropped, row.found.record_id in self.restored),
                Text(f"{row.found.row_number:,}", justify="right"),
                *(Text(one_line(text, self._text_width)) for text in (row.found.detail, _in_one(row))),
            ]
            cells += [Text(one_line(row.dataset, 15))] if wide else []
            self._examples.add_row(*cells, key=str(place))

    def _show_rows_title(self, note: str = "") -> None:
        reason = self._reason
        if reason is None:
            return
        shown = f"{len(self._listed):,}" + ("" if self._rest is None else "+")
        found = f"{shown} found" if self.contains else f"{shown} of {reason.rows:,} rows"
        title = Text.assemble(signed(reason.action, ACTION_SIGNS), (f" {one_line(reason.reason, 40)}  ", "bold"))
        title.append(note or found)
        if self.contains:
            title.append(f"  containing {one_line(self.contains, 30)!r}", "yellow")
        if self.restored:
            title.append(f"  ↺ {len(self.restored):,} restored: the next `curate` keeps them", "green")
        self.query_one("#examples-title", Static).update(title)

    def restored_changed(self) -> None:
        """Marks the rows anew."""
        for place, row in enumerate(self._listed):
            state = row_state(row.found.dropped, row.found.record_id in self.restored)
            self._examples.update_cell(str(place), "state", state)
        self._show_rows_title()

    def on_data_table_row_selected(self) -> None:
        """A click on the row under the cursor."""
        self.action_open_row()

    def action_open_row(self) -> None:
        """The record under the cursor, whole; from the reasons, to their rows."""
        from workbench.tui.screens.record import RecordScreen

        if self.focused is not self._examples:
            self._examples.focus()
            return
        key = self._examples.current_key()
        if key is not None and self._source is not None:
            self.app.push_screen(RecordScreen(self._source, [row.found for row in self._listed], int(key)))

    def action_clusters(self) -> None:
        """The clusters of duplicates."""
        from workbench.tui.screens.clusters import ClustersScreen

        if self._source is not None:
            self.app.push_screen(ClustersScreen(self._source, self._run))

    def action_restore(self) -> None:
        """Takes the row under the cursor back, or that back again."""
        if self.focused is not self._examples:
            self._examples.focus()
            return
        key, source = self._examples.current_key(), self._source
        if key is not None and source is not None:
            row = self._listed[int(key)]
            self.restore_or_withdraw(source, row.found, _in_one(row))

    def action_numbers(self) -> None:
        """Shows or hides lengths, balance and settings; where there is no room, in place of the reasons."""
        self.toggle_class("-other")
        hidden = self.has_class("-other") and not self.has_class("-wide")
        (self.query_one("#numbers") if hidden else self._reasons).focus()

    def listed(self) -> RowTable:
        """The rows below."""
        return self._examples


def _in_one(row: ListedRow) -> str:
    return f"{row.prompt} → {row.answer}" if row.prompt else row.answer


def _reason_cells(reason: ReasonCount, rows_in: int) -> list[Text]:
    share = reason.rows / max(1, rows_in)
    return [
        signed(reason.action, ACTION_SIGNS),
        Text(one_line(reason.reason, 22)),
        Text(f"{reason.rows:,}", justify="right"),
        Text(f"{reason.only:,}", justify="right"),
        Text(f"{bar(reason.rows, rows_in, 12)} {share:.1%}"),
    ]
