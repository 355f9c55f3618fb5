"""A duplicate beside the row that stayed, the words that differ marked."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import Footer, Static

from workbench.tui.actions import ScreenName, bindings_for
from workbench.tui.differences import marked_differences
from workbench.tui.records import whole_text
from workbench.tui.restoring import RestoringScreen
from workbench.tui.signs import coloured, one_line, plain, row_state

if TYPE_CHECKING:
    from workbench.core.records import Record
    from workbench.store.curated_rows import CuratedRows
    from workbench.store.curation import FoundRow, Member

_WHAT = {
    "exact_duplicate": "the same text but for case, width and white space",
    "near_duplicate": "true Jaccard similarity",
    "semantic_duplicate": "cosine of the embeddings",
}


class PairScreen(RestoringScreen):
    """The members of a cluster, one at a time beside the kept row."""

    name_in_registry: ClassVar[ScreenName] = "pair"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings_for("pair")]
    CSS_PATH = "pair.tcss"

    def __init__(self, source: CuratedRows, kept: FoundRow, members: list[Member], place: int) -> None:
        super().__init__()
        self._source = source
        self._kept = kept
        self._members = members
        self._place = place
        self._shown = ""

    def compose(self) -> ComposeResult:
        """Title, both records, keys."""
        yield Static(id="title", classes="title", markup=False)
        with VerticalScroll(id="document"), Horizontal(id="sides"):
            yield Static(id="kept", markup=False)
            yield Static(id="member", markup=False)
        yield Footer(show_command_palette=False)

    def opened(self) -> None:
        """Shows the first one."""
        self.query_one("#document").focus()
        self._show()

    @property
    def _member(self) -> Member:
        return self._members[self._place]

    def _show(self) -> None:
        self._show_title()
        source, kept, member = self._source, self._kept, self._member.row

        def question() -> tuple[Record, Record, tuple[Text, Text]]:
            records = source.records([kept, member])
            left, right = records[kept.row_number], records[member.row_number]
            return left, right, marked_differences(whole_text(left), whole_text(right))

        self.ask(question, lambda answer: self._known(*answer), failed=self._say)

    def _say(self, problem: str) -> None:
        self.query_one("#kept", Static).update(coloured(plain(problem), "yellow"))

    def _show_title(self) -> None:
        member = self._member
        known = member.similarity is not None and member.reason != "exact_duplicate"
        measured = f" {member.similarity:.3f}" if known else ""
        title = Text.assemble(
            (f"{_WHAT.get(member.reason, one_line(member.reason, 30))}{measured}", "bold"),
            (f"  {self._place + 1:,} of {len(self._members):,} listed", "dim"),
        )
        if member.closest_row is not None and member.closest_row != self._kept.row_number:
            title.append(f"  linked to row {member.closest_row:,} at {member.closest:.3f}", "dim")
        if member.row.record_id in self.restored:
            title.append("  ↺ the next `curate` keeps the right one", "green")
        self.query_one("#title", Static).update(title)

    def _known(self, kept: Record, member: Record, marked: tuple[Text, Text]) -> None:
        self._shown = member.full_text()[:400]
        rows = (("kept", self._kept, kept), ("member", self._member.row, member))
        for (id_, row, record), text in zip(rows, marked, strict=True):
            source = record.source
            elsewhere = source.row is not None and source.row != row.row_number
            place = one_line(source.dataset, 30) + (f" row {source.row:,}" if elsewhere else "")
            head = row_state(row.dropped, row.record_id in self.restored)
            head.append(f"  row {row.row_number:,}", "bold").append(f"  {place}\n\n", "dim")
            self.query_one(f"#{id_}", Static).update(head.append_text(text))

    def restored_changed(self) -> None:
        """Marks the row anew."""
        self._show()

    def action_restore(self) -> None:
        """Takes the row on the right back, or that back again."""
        self.restore_or_withdraw(self._source, self._member.row, self._shown)

    def action_next_row(self) -> None:
        """The next member of the cluster."""
        self._step(1)

    def action_previous_row(self) -> None:
        """The member before."""
        self._step(-1)

    def _step(self, by: int) -> None:
        self._place = (self._place + by) % len(self._members)
        self.query_one("#document", VerticalScroll).scroll_home(animate=False)
        self._show()
