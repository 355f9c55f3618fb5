"""Clusters of duplicates, largest first, and the rows of the one under the cursor, least similar first."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import DataTable, Footer, Static

from workbench.tui.actions import ScreenName, bindings_for
from workbench.tui.restoring import RestoringScreen
from workbench.tui.signs import coloured, one_line, plain, row_state
from workbench.tui.widgets.lists import RowTable

if TYPE_CHECKING:
    from workbench.core.records import Record
    from workbench.store.curated_rows import CuratedRows
    from workbench.store.curation import Cluster, Member

PAGE_ROWS = 50


class ClustersScreen(RestoringScreen):
    """Clusters above, members below."""

    name_in_registry: ClassVar[ScreenName] = "clusters"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings_for("clusters")]
    CSS_PATH = "clusters.tcss"

    def __init__(self, source: CuratedRows, run: str) -> None:
        super().__init__()
        self._source = source
        self._run = run
        self._clusters: list[tuple[Cluster, str]] = []
        self._members: list[tuple[Member, str]] = []
        self._more_clusters = False
        self._more_members = False

    def compose(self) -> ComposeResult:
        """Title, clusters, members, keys."""
        yield Static(id="title", classes="title", markup=False)
        yield RowTable(id="clusters")
        yield Static(id="members-title", classes="title", markup=False)
        yield RowTable(id="members")
        yield Footer(show_command_palette=False)

    def opened(self) -> None:
        """Asks the index."""
        self.query_one("#title", Static).update(Text(f"Duplicate clusters  {one_line(self._run, 80)}", "bold"))
        self._add_columns()
        self._cluster_table.focus()
        source = self._source

        def question() -> tuple[int, int]:
            from workbench.store.curation import count_clusters

            return count_clusters(source.index, source.fingerprint)

        self.ask(question, self._counted, group="count", failed=self._say)
        self._ask_clusters()

    def _add_columns(self) -> None:
        text = max(20, self.size.width - 42)
        for label, width in {"rows": 6, "lowest": 9, "kept row": 12, "record that stayed": text}.items():
            self._cluster_table.add_column(label, width=width, key=label)
        for label, width in {"state": 10, "row": 8, "similarity": 10, "record": text}.items():
            self._member_table.add_column(label, width=width, key=label)

    def on_resize(self) -> None:
        """Other widths fit; the rows under the cursors stay."""
        if self._clusters and self._cluster_table.columns:
            for table in (self._cluster_table, self._member_table):
                cursor = table.cursor_row
                table.clear(columns=True)
                table.move_cursor(row=cursor)
            self._add_columns()
            self._add_clusters(self._clusters, 0)
            self._add_members(self._members, 0)

    @property
    def _cluster_table(self) -> RowTable:
        return self.query_one("#clusters", RowTable)

    @property
    def _member_table(self) -> RowTable:
        return self.query_one("#members", RowTable)

    def _say(self, problem: str) -> None:
        self.query_one("#members-title", Static).update(coloured(plain(problem), "yellow"))

    def _counted(self, counts: tuple[int, int]) -> None:
        clusters, rows = counts
        found = f"{clusters:,} clusters; {rows:,} rows besides the one of each that stayed" if clusters else "none"
        run = f"  {one_line(self._run, 60)}" if self.size.width >= 110 else ""
        title = Text.assemble(("Duplicate clusters  ", "bold"), found, (run, "dim"))
        self.query_one("#title", Static).update(title)
        if not clusters:
            self._say("No row of this data is a duplicate of another one.")

    def _ask_clusters(self) -> None:
        source, offset = self._source, len(self._clusters)

        def question() -> list[tuple[Cluster, str]]:
            from workbench.store.curation import clusters

            page = clusters(source.index, source.fingerprint, offset=offset, limit=PAGE_ROWS)
            records = source.records([cluster.kept for cluster in page])
            return [(cluster, _beginning(records[cluster.kept.row_number])) for cluster in page]

        self.ask(question, self._clusters_known, group="clusters", failed=self._say)

    def _clusters_known(self, page: list[tuple[Cluster, str]]) -> None:
        self._more_clusters = len(page) == PAGE_ROWS
        first = len(self._clusters)
        self._clusters += page
        self._add_clusters(page, first)

    def _add_clusters(self, page: list[tuple[Cluster, str]], first: int) -> None:
        width = max(20, self.size.width - 42)
        for place, (cluster, text) in enumerate(page, start=first):
            lowest = _similarity(cluster.lowest, same=cluster.copies_only)
            kept = f"{cluster.kept.row_number:,}" + (" ✘" if cluster.kept.dropped else "")
            self._cluster_table.add_row(
                Text(f"{cluster.rows:,}", justify="right"),
                Text(lowest, justify="right"),
                Text(kept, justify="right"),
                Text(one_line(text, width)),
                key=str(place),
            )

    @property
    def _cluster(self) -> Cluster | None:
        key = self._cluster_table.current_key()
        return None if key is None else self._clusters[int(key)][0]

    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        """The rows of another cluster; near the end of a list its next page is fetched."""
        if event.data_table is self._cluster_table:
            self._members, self._more_members = [], False
            self._member_table.clear()
            self._ask_members()
            if self._more_clusters and event.cursor_row >= len(self._clusters) - 10:
                self._more_clusters = False
                self._ask_clusters()
        elif self._more_members and event.cursor_row >= len(self._members) - 10:
            self._more_members = False
            self._ask_members()

    def _ask_members(self) -> None:
        cluster, source, offset = self._cluster, self._source, len(self._members)
        if cluster is None:
            return

        def question() -> list[tuple[Member, str]]:
            from workbench.store.curation import members

            kept = cluster.kept.row_number
            page = members(source.index, source.fingerprint, kept, offset=offset, limit=PAGE_ROWS)
            records = source.records([member.row for member in page])
            return [(member, _beginning(records[member.row.row_number])) for member in page]

        self.ask(question, self._members_known, group="members", failed=self._say)

    def _members_known(self, page: list[tuple[Member, str]]) -> None:
        self._more_members = len(page) == PAGE_ROWS
        first = len(self._members)
        self._members += page
        self._add_members(page, first)
        cluster = self._cluster
        if cluster is not None:
            gone = ", itself dropped for another reason" if cluster.kept.dropped else ""
            title = Text(f"Row {cluster.kept.row_number:,} stayed{gone}; {cluster.rows - 1:,} rows are like it")
            if self.restored:
                title.append(f"  ↺ {len(self.restored):,} restored: the next `curate` keeps them", "green")
            self.query_one("#members-title", Static).update(title)

    def _add_members(self, page: list[tuple[Member, str]], first: int) -> None:
        width = max(20, self.size.width - 42)
        for place, (member, text) in enumerate(page, start=first):
            self._member_table.add_row(
                row_state(member.row.dropped, member.row.record_id in self.restored),
                Text(f"{member.row.row_number:,}", justify="right"),
                Text(_similarity(member.similarity, same=member.reason == "exact_duplicate"), justify="right"),
                Text(one_line(text, width)),
                key=str(place),
            )

    def restored_changed(self) -> None:
        """Marks the rows anew."""
        for place, (member, _) in enumerate(self._members):
            state = row_state(member.row.dropped, member.row.record_id in self.restored)
            self._member_table.update_cell(str(place), "state", state)

    def on_data_table_row_selected(self) -> None:
        """A click on the row under the cursor."""
        self.action_open_pair()

    def action_open_pair(self) -> None:
        """The row under the cursor beside the one that stayed; from the clusters, to their rows."""
        from workbench.tui.screens.pair import PairScreen

        if self.focused is not self._member_table:
            self._member_table.focus()
            return
        key, cluster = self._member_table.current_key(), self._cluster
        if key is not None and cluster is not None:
            rows = [member for member, _ in self._members]
            self.app.push_screen(PairScreen(self._source, cluster.kept, rows, int(key)))

    def action_restore(self) -> None:
        """Takes the row under the cursor back, or that back again."""
        if self.focused is not self._member_table:
            self._member_table.focus()
            return
        if (key := self._member_table.current_key()) is not None:
            member, text = self._members[int(key)]
            self.restore_or_withdraw(self._source, member.row, text)


def _similarity(value: float | None, *, same: bool) -> str:
    if value is None:
        return "linked"
    return "same text" if same else f"{value:.3f}"


def _beginning(record: Record) -> str:
    return record.full_text()[:400]
