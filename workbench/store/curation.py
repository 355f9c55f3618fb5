"""What people ask about a curation: the funnel, the rows behind every reason, the clusters of duplicates.

    curation(index, "demo-20261122-101500")          ->  Curation(fingerprint="2b86...", funnel=Funnel(...), ...)
    rows_with(index, "2b86...", "refusal", "flag")   ->  (FoundRow(row_number=41, dropped=False, line=40, ...), ...)
    clusters(index, "2b86...")                       ->  (Cluster(kept=FoundRow(...), rows=3, ...), ...)

The index knows rows by their number and has the text of the dropped ones alone; `line` says where the whole record
stands in the artifact (`store.curated_rows` reads it there). Lists come page by page.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from workbench.core.errors import IncompleteError
from workbench.core.funnel import Funnel
from workbench.store.connection import literal, reading
from workbench.store.queries import made_by

_TWIN_REASONS = ("exact_duplicate", "near_duplicate", "semantic_duplicate")
# How findings name the record that stays: `same text as row 117 (0a1b..., tickets row 117)`. A twin in a saved
# index has no row here and belongs to no cluster.
_KEPT_ROW = (
    r"^(?:same text as|Jaccard [0-9.]+ with|cosine [0-9.]+ with|linked through rows in between to) row ([0-9]+) \("
)
_SIMILARITY = r"^(?:Jaccard|cosine) ([0-9.]+) with"


@dataclass(frozen=True, slots=True)
class Curation:
    """What became of the rows of a run's data."""

    fingerprint: str
    """Of the artifact."""
    funnel: Funnel
    quarantined: int
    """Lines that could not be read as a row."""


@dataclass(frozen=True, slots=True)
class FoundRow:
    """A row of the curation's input and where its record stands."""

    row_number: int
    dropped: bool
    line: int
    """Zero-based line in dropped.jsonl, or in records.jsonl for a row that was kept."""
    record_id: str = ""
    """Id of the record as it was read; empty for a row without findings."""
    detail: str = ""
    """The evidence."""


@dataclass(frozen=True, slots=True)
class FindingRow:
    """One finding about a row."""

    filter_name: str
    reason: str
    action: str
    detail: str


@dataclass(frozen=True, slots=True)
class Cluster:
    """Rows that are the same or nearly the same text."""

    kept: FoundRow
    """The row that stayed, or the best of a cluster that went as a whole."""
    rows: int
    """All rows, the kept one and exact copies included."""
    lowest: float | None
    """Smallest similarity of a member to the kept row; None where one was not measured."""
    copies_only: bool
    """Whether all members are the same text."""


@dataclass(frozen=True, slots=True)
class Member:
    """One row of a cluster besides the kept one."""

    row: FoundRow
    reason: str
    """What it is of the kept row: `exact_duplicate`, `near_duplicate` or `semantic_duplicate`."""
    similarity: float | None
    """To the kept row: true Jaccard, 1 for the same text, cosine for a semantic duplicate; None where not measured."""
    closest_row: int | None
    """The row that it is most similar to among the verified pairs."""
    closest: float | None
    """True Jaccard similarity to that row."""


def curation(index: Path, run: str) -> Curation | None:
    """The run's funnel; None before `curate` is done. Errors as `connection.reading`."""
    mine = made_by(run)
    summary = f"""
        SELECT n.fingerprint, s.content_json FROM {mine} n JOIN summaries s USING (fingerprint)
        WHERE n.stage = 'curate' AND s.part = 'funnel.json'"""
    broken = f"SELECT count(*) FROM {mine} n JOIN quarantined q USING (fingerprint)"
    with reading(index) as connection:
        found = connection.execute(summary).fetchall()
        quarantined = connection.execute(broken).fetchall()[0][0]
    if not found:
        return None
    fingerprint, content = found[0]
    try:
        return Curation(fingerprint, Funnel.model_validate_json(content), quarantined)
    except ValidationError:
        raise IncompleteError(
            "the funnel was written by another version of workbench", where=run, next_step="run `curate` again"
        ) from None


def rows_with(
    index: Path, fingerprint: str, reason: str, action: str, *, after: int = -1, limit: int = 100
) -> tuple[FoundRow, ...]:
    """One page of the rows that a reason touched with one action: those after row `after`, in the order of the data."""
    sql = f"""
        WITH page AS (
            SELECT row_number, any_value(record_id) AS record_id, arg_min(detail, position) AS detail FROM findings
            WHERE fingerprint = {literal(fingerprint)} AND reason = {literal(reason)} AND action = {literal(action)}
                AND row_number > {int(after)}
            GROUP BY row_number ORDER BY row_number LIMIT {int(limit)})
        SELECT {_place("page.row_number")}, page.record_id, page.detail
        FROM page {_last_drop(fingerprint, "page.row_number")} ORDER BY page.row_number"""
    return tuple(FoundRow(*row) for row in _ask(index, sql))


def findings_of(index: Path, fingerprint: str, row_number: int) -> tuple[FindingRow, ...]:
    """Everything that was said about one row, in the order in which it was said."""
    sql = f"""
        SELECT filter_name, reason, action, detail FROM findings
        WHERE fingerprint = {literal(fingerprint)} AND row_number = {int(row_number)} ORDER BY position"""
    return tuple(FindingRow(*row) for row in _ask(index, sql))


def clusters(index: Path, fingerprint: str, *, offset: int = 0, limit: int = 50) -> tuple[Cluster, ...]:
    """One page of the duplicate clusters, largest first; among equally large ones in the order of the data."""
    sql = f"""
        WITH {_members(fingerprint)},
        page AS (
            SELECT kept, count(*) + 1 AS size, bool_and(reason = 'exact_duplicate') AS copies_only,
                CASE WHEN count(similarity) = count(*) THEN min(similarity) END AS lowest FROM members
            GROUP BY kept ORDER BY size DESC, kept LIMIT {int(limit)} OFFSET {int(offset)})
        SELECT {_place("page.kept")}, page.size, page.lowest, page.copies_only
        FROM page {_last_drop(fingerprint, "page.kept")} ORDER BY page.size DESC, page.kept"""
    return tuple(Cluster(FoundRow(*row[:3]), *row[3:]) for row in _ask(index, sql))


def count_clusters(index: Path, fingerprint: str) -> tuple[int, int]:
    """Number of clusters, and of the rows in them besides the kept ones."""
    found = _ask(index, f"WITH {_members(fingerprint)} SELECT count(DISTINCT kept), count(*) FROM members")
    return int(found[0][0]), int(found[0][1])


def members(index: Path, fingerprint: str, kept: int, *, offset: int = 0, limit: int = 100) -> tuple[Member, ...]:
    """One page of a cluster's members besides the kept row, least similar first."""
    pairs = f"SELECT left_row, right_row, jaccard FROM edges WHERE fingerprint = {literal(fingerprint)}"
    sql = f"""
        WITH {_members(fingerprint)},
        page AS (
            SELECT *, row_number() OVER (ORDER BY similarity NULLS FIRST, member) AS place FROM members
            WHERE kept = {int(kept)} ORDER BY place LIMIT {int(limit)} OFFSET {int(offset)}),
        closest AS (
            SELECT one, max(jaccard) AS jaccard, arg_max(other, jaccard) AS other
            FROM (SELECT left_row AS one, right_row AS other, jaccard FROM ({pairs})
                UNION ALL SELECT right_row, left_row, jaccard FROM ({pairs}))
            WHERE one IN (SELECT member FROM page) GROUP BY one)
        SELECT {_place("page.member")}, page.record_id, page.detail, page.reason, page.similarity,
            closest.other, closest.jaccard
        FROM page {_last_drop(fingerprint, "page.member")} LEFT JOIN closest ON closest.one = page.member
        ORDER BY page.place"""
    return tuple(Member(FoundRow(*row[:5]), *row[5:]) for row in _ask(index, sql))


def twin_of(index: Path, fingerprint: str, row_number: int) -> tuple[FoundRow, Member] | None:
    """The row that stayed instead of this one, and this one as its member; None for a row that is no duplicate."""
    sql = f"""
        WITH {_members(fingerprint)},
        page AS (SELECT * FROM members WHERE member = {int(row_number)}),
        both_rows AS (SELECT member AS number FROM page UNION ALL SELECT kept FROM page)
        SELECT {_place("both_rows.number")}, page.record_id, page.detail, page.reason, page.similarity
        FROM both_rows {_last_drop(fingerprint, "both_rows.number")}, page"""
    found = {row[0]: row for row in _ask(index, sql)}
    if row_number not in found:
        return None
    mine = found.pop(row_number)
    (kept,) = found.values()
    return FoundRow(*kept[:3]), Member(FoundRow(*mine[:5]), mine[5], mine[6], closest_row=None, closest=None)


def copy_of_kept(index: Path, fingerprint: str, row_number: int) -> int | None:
    """The kept row that is the very same record as this dropped one, id and all; None if there is none.

    Of such copies one stays, whatever people restore."""
    twin = twin_of(index, fingerprint, row_number)
    if twin is None or twin[0].dropped:
        return None
    kept, member = twin
    return kept.row_number if f"({member.row.record_id}, " in member.row.detail else None


def _place(number: str) -> str:
    """Number, dropped, line of a row: of the kept rows those dropped before are missing."""
    dropped = f"coalesce(d.row_number = {number}, false)"
    return f"""{number}, {dropped}, CASE WHEN {dropped} THEN d.position
        ELSE {number} - coalesce(d.position + 1, 0) END"""


def _last_drop(fingerprint: str, number: str) -> str:
    """Joins each row with the last dropped row up to it; dropped rows are numbered in the order of the data."""
    return f"""ASOF LEFT JOIN (SELECT row_number, position FROM drops WHERE fingerprint = {literal(fingerprint)}) d
        ON {number} >= d.row_number"""


def _members(fingerprint: str) -> str:
    """Table `members`: every duplicate with the row that stayed. An exact copy may be one of a near-duplicate, and that
    one a semantic duplicate, so links are followed in this order."""
    reasons = ", ".join(f"'{reason}'" for reason in _TWIN_REASONS)
    exact, near, semantic = (f"(SELECT * FROM links WHERE reason = '{reason}')" for reason in _TWIN_REASONS)
    return rf"""
        links AS (
            SELECT row_number AS member, any_value(record_id) AS record_id, reason, arg_min(detail, position) AS detail,
                arg_min(CAST(regexp_extract(detail, '{_KEPT_ROW}', 1) AS BIGINT), position) AS kept,
                arg_min(TRY_CAST(regexp_extract(detail, '{_SIMILARITY}', 1) AS DOUBLE), position) AS similarity
            FROM findings WHERE fingerprint = {literal(fingerprint)} AND reason IN ({reasons})
                AND regexp_matches(detail, '{_KEPT_ROW}')
            GROUP BY row_number, reason),
        first_links AS (
            SELECT member, any_value(record_id) AS record_id,
                arg_min(detail, list_position([{reasons}], reason)) AS detail
            FROM links GROUP BY member),
        members AS (
            SELECT f.member, f.record_id, f.detail,
                coalesce(s.kept, n.kept, e.kept) AS kept,
                coalesce(s.reason, n.reason, e.reason) AS reason,
                CASE WHEN s.kept IS NOT NULL THEN s.similarity WHEN n.kept IS NOT NULL THEN n.similarity
                    ELSE 1.0 END AS similarity
            FROM first_links f
            LEFT JOIN {exact} e ON e.member = f.member
            LEFT JOIN {near} n ON n.member = coalesce(e.kept, f.member)
            LEFT JOIN {semantic} s ON s.member = coalesce(n.kept, e.kept, f.member))"""


def _ask(index: Path, sql: str) -> list[Any]:
    with reading(index) as connection:
        return connection.execute(sql).fetchall()
