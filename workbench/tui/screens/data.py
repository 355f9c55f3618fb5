"""What became of the data: rows in, rows kept, every reason with how much it took and what exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import DataTable, Footer, Static

from workbench.tui.actions import ScreenName, bindings_for
from workbench.tui.screens.base import WorkbenchScreen
from workbench.tui.signs import bar, coloured, one_line, plain
from workbench.tui.widgets.lists import RowTable

if TYPE_CHECKING:
    from workbench.store.queries import DropRow, FunnelRow

_ACTIONS = {"drop": ("✘ drop", "red"), "flag": ("! flag", "yellow"), "repair": ("~ repair", "cyan")}


class DataScreen(WorkbenchScreen):
    """Reasons above, the dropped records of the one under the cursor below."""

    name_in_registry: ClassVar[ScreenName] = "data"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings_for("data")]
    CSS_PATH = "data.tcss"

    def __init__(self, run: str) -> None:
        super().__init__()
        self._run = run
        self._text_width = 30

    def compose(self) -> ComposeResult:
        """Title, reasons, dropped records, keys."""
        yield Static(id="title", classes="title", markup=False)
        yield RowTable(id="reasons")
        yield Static(id="examples-title", classes="title", markup=False)
        yield RowTable(id="examples")
        yield Footer(show_command_palette=False)

    def opened(self) -> None:
        """Asks the index."""
        self.query_one("#title", Static).update(Text(f"Data funnel  {one_line(self._run, 80)}", "bold"))
        for label, width in (("what", 8), ("reason", 22), ("rows", 7), ("only this", 9), ("share", 19)):
            self._reasons.add_column(label, width=width, key=label)
        self._text_width = max(20, (self.size.width - 31) // 2)
        for label, width in (("row", 7), ("dataset", 14), ("evidence", 0), ("record", 0)):
            self._examples.add_column(label, width=width or self._text_width, key=label)
        self._reasons.focus()
        index, run = self.project.index, self._run

        def question() -> FunnelRow | None:
            from workbench.store.queries import funnel

            return funnel(index, run)

        self.ask(question, self._show, failed=self._say)

    @property
    def _reasons(self) -> RowTable:
        return self.query_one("#reasons", RowTable)

    @property
    def _examples(self) -> RowTable:
        return self.query_one("#examples", RowTable)

    def _say(self, problem: str) -> None:
        self.query_one("#examples-title", Static).update(coloured(plain(problem), "yellow"))

    def _show(self, funnel: FunnelRow | None) -> None:
        if funnel is None:
            self._say("Nothing yet: the funnel appears when the node `curate` is done.")
            return
        kept = funnel.rows_out / funnel.rows_in if funnel.rows_in else 0.0
        title = Text.assemble(
            ("Data funnel  ", "bold"),
            f"{funnel.rows_in:,} rows in → {funnel.rows_out:,} kept  ",
            f"{bar(funnel.rows_out, funnel.rows_in, 20)} {kept:.0%}",
            f"  {funnel.quarantined:,} lines quarantined" if funnel.quarantined else "",
            (f"  {one_line(self._run, 60)}", "dim"),
        )
        self.query_one("#title", Static).update(title)
        for reason in funnel.reasons:
            self._reasons.add_row(
                Text(*_ACTIONS.get(reason.action, (reason.action, ""))),
                Text(one_line(reason.reason, 22)),
                Text(f"{reason.rows:,}", justify="right"),
                Text(f"{reason.only_rows:,}", justify="right"),
                Text(f"{bar(reason.rows, funnel.rows_in, 12)} {reason.rows / max(1, funnel.rows_in):.1%}"),
                key=reason.reason,
            )
        if not funnel.reasons:
            self._say("No filter found anything.")

    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        """Shows the records of another reason."""
        reason = self._reasons.current_key()
        if event.data_table is not self._reasons or reason is None:
            return
        index, run = self.project.index, self._run

        def question() -> tuple[DropRow, ...]:
            from workbench.store.queries import dropped

            return dropped(index, run, reason)

        self.ask(question, lambda rows: self._show_examples(reason, rows), group="examples", failed=self._say)

    def _show_examples(self, reason: str, rows: tuple[DropRow, ...]) -> None:
        title = (
            f"Dropped for {one_line(reason, 40)}, the first {len(rows)}"
            if rows
            else "No dropped record has this reason"
        )
        self.query_one("#examples-title", Static).update(title)
        self._examples.clear()
        for row in rows:
            record = f"{row.prompt} → {row.answer}" if row.prompt else row.answer
            evidence = next((detail for name, detail in row.findings if name == reason), "")
            self._examples.add_row(
                Text(str(row.row_number), justify="right"),
                Text(one_line(row.dataset, 14)),
                *(Text(one_line(text, self._text_width)) for text in (evidence, record)),
                key=str(row.row_number),
            )
