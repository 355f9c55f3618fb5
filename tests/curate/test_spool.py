from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from record_makers import chat

from workbench.curate.actions import Said
from workbench.curate.balance import traits
from workbench.curate.filters.contract import Subject
from workbench.curate.spool import Later, Spool, SpooledRow, packed_rows


def said(detail: str) -> Said:
    return Said("length", "too_long", "drop", detail)


def test_rows_come_back_in_order_as_often_as_they_are_read(tmp_path: Path) -> None:
    rows = [
        SpooledRow((said(str(row)),), b"{}" if row % 2 else None, traits(Subject(chat("Q?", str(row)))))
        for row in range(7)
    ]
    with Spool(tmp_path / "new" / "rows.spool") as spool:
        spool.add(packed_rows(rows[:3]))
        spool.add(packed_rows(rows[3:]))
        assert list(spool.rows()) == rows == list(spool.rows())
    assert list((tmp_path / "new").iterdir()) == []


def test_what_a_killed_process_left_behind_is_never_read(tmp_path: Path) -> None:
    (tmp_path / "rows.spool").write_bytes(b"of another process")
    with Spool(tmp_path / "rows.spool") as spool:
        assert list(spool.rows()) == []


@given(st.lists(st.tuples(st.integers(0, 9), st.text(max_size=5))))
def test_later_findings_are_sorted_by_row_and_keep_their_order_within_one(added: list[tuple[int, str]]) -> None:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as directory, Later(Path(directory) / "later.spool") as later:
        for row, detail in added:
            later.add(row, said(detail))
        found = [(row, [one.detail for one in of_row]) for row, of_row in later.of_rows()]
    rows = sorted({row for row, _ in added})
    assert found == [(row, [detail for other, detail in added if other == row]) for row in rows]
