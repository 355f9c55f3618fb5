"""Taking dropped rows back from the terminal: the same decision that `workbench restore` writes down."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from workbench.tui.screens.base import WorkbenchScreen
from workbench.tui.signs import one_line

if TYPE_CHECKING:
    from workbench.store.curated_rows import CuratedRows
    from workbench.store.curation import FoundRow


class RestoringScreen(WorkbenchScreen):
    """A screen that shows rows of a curation and knows which of them people took back."""

    restored: frozenset[str] = frozenset()
    """Ids of the restored records."""

    def on_screen_resume(self) -> None:
        """Another screen may have restored something meanwhile."""
        self.ask_restored()

    def ask_restored(self) -> None:
        """Reads what is restored, then calls `restored_changed`."""
        root = self.project.root

        def question() -> frozenset[str]:
            from workbench.loop.decisions import restored_records

            return frozenset(restored_records(root))

        self.ask(question, self._restored_known, group="restored")

    def _restored_known(self, restored: frozenset[str]) -> None:
        if restored != self.restored:
            self.restored = restored
            self.restored_changed()

    def restored_changed(self) -> None:
        """What a screen does when other records are restored than before."""

    def restore_or_withdraw(self, source: CuratedRows, row: FoundRow, shown: str) -> None:
        """Takes a dropped row back, after asking why; or takes that back again. `shown` is its beginning."""
        if row.record_id in self.restored:
            self._withdraw(row.record_id)
        elif not row.dropped:
            self.notify("This row was kept: there is nothing to restore.", timeout=4, markup=False)
        else:

            def question() -> int | None:
                from workbench.store.curation import copy_of_kept

                return copy_of_kept(source.index, source.fingerprint, row.row_number)

            self.ask(question, lambda kept: self._ask_why(row.record_id, shown, kept), group="decide")

    def _ask_why(self, record_id: str, shown: str, kept: int | None) -> None:
        from workbench.tui.screens.restore import RestoreScreen

        if kept is not None:
            self.notify(f"Row {kept:,} is the very same record and stays.", timeout=5, markup=False)
            return

        def decided(reason: str | None) -> None:
            if reason:
                self._restore(record_id, reason)

        self.app.push_screen(RestoreScreen(record_id, shown), decided)

    def _restore(self, record_id: str, reason: str) -> None:
        project = self.project

        def write() -> None:
            from workbench.loop.restoring import restore_records

            restore_records(project, [record_id], reason, None)

        self._decide(write, f"↺ {one_line(record_id, 20)} is restored: the next `curate` keeps it.")

    def _withdraw(self, record_id: str) -> None:
        project = self.project

        def write() -> None:
            from workbench.loop.restoring import withdraw_records

            withdraw_records(project, [record_id], "", None)

        self._decide(write, f"{one_line(record_id, 20)} is no longer restored.")

    def _decide(self, write: Callable[[], None], said: str) -> None:
        def written(_: None) -> None:
            self.notify(said, timeout=6, markup=False)
            self.ask_restored()

        self.ask(write, written, group="decide")
