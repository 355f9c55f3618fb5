"""One row of a curation: what was said about it, where it came from, and the whole record."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.widgets import Footer, Static

from workbench.tui.actions import ScreenName, bindings_for
from workbench.tui.records import shown_record, where_from
from workbench.tui.restoring import RestoringScreen
from workbench.tui.signs import ACTION_SIGNS, coloured, one_line, plain, row_state, signed

if TYPE_CHECKING:
    from workbench.core.records import Record
    from workbench.store.curated_rows import CuratedRows
    from workbench.store.curation import FindingRow, FoundRow, Member


class RecordScreen(RestoringScreen):
    """The rows of a list, one at a time."""

    name_in_registry: ClassVar[ScreenName] = "record"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings_for("record")]
    CSS_PATH = "record.tcss"

    def __init__(self, source: CuratedRows, rows: list[FoundRow], place: int) -> None:
        super().__init__()
        self._source = source
        self._rows = rows
        self._place = place
        self._record: Record | None = None

    def compose(self) -> ComposeResult:
        """Title, findings, source, record, keys."""
        yield Static(id="title", classes="title", markup=False)
        with VerticalScroll(id="document"):
            yield Static(id="findings", markup=False)
            yield Static(id="record", markup=False)
            yield Static(id="source", markup=False)
        yield Footer(show_command_palette=False)

    def opened(self) -> None:
        """Shows the first one."""
        self.query_one("#document").focus()
        self._show()

    @property
    def _row(self) -> FoundRow:
        return self._rows[self._place]

    def _show(self) -> None:
        self._show_title()
        row, source = self._row, self._source

        def question() -> tuple[Record, tuple[FindingRow, ...]]:
            from workbench.store.curation import findings_of

            return source.record(row), findings_of(source.index, source.fingerprint, row.row_number)

        self.ask(question, lambda answer: self._known(*answer), failed=self._say)

    def _say(self, problem: str) -> None:
        self.query_one("#findings", Static).update(coloured(plain(problem), "yellow"))

    def _show_title(self) -> None:
        row = self._row
        restored = row.record_id in self.restored
        title = Text.assemble(
            row_state(row.dropped, restored),
            (f"  row {row.row_number:,}", "bold"),
            (f"  {one_line(row.record_id, 20)}  {self._place + 1:,} of {len(self._rows):,} listed", "dim"),
        )
        if restored:
            title.append("  the next `curate` keeps it", "green")
        self.query_one("#title", Static).update(title)

    def _known(self, record: Record, findings: tuple[FindingRow, ...]) -> None:
        self._record = record
        said = Text()
        for finding in sorted(findings, key=lambda finding: list(ACTION_SIGNS).index(finding.action)):
            said.append_text(signed(finding.action, ACTION_SIGNS)).append(f"  {one_line(finding.reason, 40)}", "bold")
            said.append(f"  {one_line(finding.filter_name, 40)}\n", "dim")
            said.append(f"    {one_line(finding.detail, 2000) or 'without further evidence'}\n")
        said.rstrip()
        self.query_one("#findings", Static).update(said)
        self.query_one("#record", Static).update(shown_record(record))
        self.query_one("#source", Static).update(where_from(record, self._row.row_number))

    def restored_changed(self) -> None:
        """Marks the row anew."""
        self._show_title()

    def action_restore(self) -> None:
        """Takes the row back, or that back again."""
        shown = "" if self._record is None else self._record.full_text()[:400]
        self.restore_or_withdraw(self._source, self._row, shown)

    def action_twin(self) -> None:
        """Beside the row that stayed instead, if this is a duplicate."""
        row, source = self._row, self._source

        def question() -> tuple[FoundRow, Member] | None:
            from workbench.store.curation import twin_of

            return twin_of(source.index, source.fingerprint, row.row_number)

        self.ask(question, self._twin_known, group="twin")

    def _twin_known(self, twin: tuple[FoundRow, Member] | None) -> None:
        from workbench.tui.screens.pair import PairScreen

        if twin is None:
            self.notify("This row is no duplicate of another row.", timeout=4, markup=False)
        else:
            self.app.push_screen(PairScreen(self._source, twin[0], [twin[1]], 0))

    def action_next_row(self) -> None:
        """The next row of the list."""
        self._step(1)

    def action_previous_row(self) -> None:
        """The row before."""
        self._step(-1)

    def _step(self, by: int) -> None:
        self._place = (self._place + by) % len(self._rows)
        self.query_one("#document", VerticalScroll).scroll_home(animate=False)
        self._show()
