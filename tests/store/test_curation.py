"""The rows behind a funnel: every page, line and cluster held to what the artifact's own files say."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_project import HOSTILE, RUN, commit_artifact, write_run

from workbench.core.errors import IncompleteError
from workbench.core.funnel import Funnel, ReasonCount
from workbench.core.paths import Project
from workbench.core.records import Drop, Edge, Finding, Message, Record, Source, ToolCall, record_id
from workbench.store.curated_rows import CuratedRows
from workbench.store.curation import (
    FoundRow,
    clusters,
    copy_of_kept,
    count_clusters,
    curation,
    findings_of,
    members,
    rows_with,
    twin_of,
)
from workbench.store.lines import Lines
from workbench.store.loader import load_artifact, load_run

ROWS = 900
NAMED = {
    "exact_duplicate": "same text as",
    "near_duplicate": "Jaccard 0.812 with",
    "semantic_duplicate": "cosine 0.97 with",
}


def a_record(number: int) -> Record:
    what = HOSTILE if number % 50 == 7 else "plain"
    text = f'answer {number} "quoted" \\ back {what} \xc9t'
    messages = (Message(role="user", content=f"question {number}"), Message(role="assistant", content=text))
    return Record(
        id=record_id("chat", messages), kind="chat", messages=messages, source=Source(dataset="big", row=number)
    )


RECORDS = [a_record(number) for number in range(ROWS)]


def named(kept: int) -> str:
    return f"row {kept} ({RECORDS[kept].id}, big row {kept})"


def linked(row: int, reason: str, kept: int, said: str | None = None) -> Finding:
    detail = f"{said or NAMED[reason]} {named(kept)}"
    return Finding(record_id=RECORDS[row].id, row=row, filter=reason, reason=reason, action="drop", detail=detail)


def made_up() -> dict[int, list[Finding]]:
    """Findings of many rows: random reasons, and clusters of every kind."""
    random_ = random.Random(5)
    findings: dict[int, list[Finding]] = defaultdict(list)
    for row in range(100, ROWS):
        for reason, action in (("empty_output", "drop"), ("refusal", "flag"), ("mojibake", "repair")):
            if random_.random() < 0.3:
                said = f"because of {reason} {random_.randrange(30)}"
                findings[row].append(
                    Finding(
                        record_id=RECORDS[row].id, row=row, filter=reason, reason=reason, action=action, detail=said
                    )
                )
    links = [
        *(linked(row, "near_duplicate", 0, f"Jaccard 0.{80 + row} with") for row in (1, 2, 3)),
        linked(4, "exact_duplicate", 1),  # a copy of a near-duplicate of row 0
        linked(10, "exact_duplicate", 11),
        linked(12, "near_duplicate", 11, "Jaccard 0.644 with"),
        linked(20, "semantic_duplicate", 21, "linked through rows in between to"),
        linked(22, "near_duplicate", 20, "Jaccard 0.700 with"),  # near a row that is a semantic duplicate of row 21
    ]
    for link in links:
        findings[link.row].append(link)
    findings[30].append(linked(30, "exact_duplicate", 31).model_copy(update={"record_id": RECORDS[31].id}))
    saved = Finding(
        record_id=RECORDS[40].id,
        row=40,
        filter="near_duplicates",
        reason="near_duplicate",
        action="drop",
        detail="Jaccard 0.900 with 0123456789abcdef (row 5 (x) row 7) in the saved index",
    )
    findings[40].append(saved)
    return dict(sorted(findings.items()))


FINDINGS = made_up()
DROPPED = [row for row, said in FINDINGS.items() if any(one.action == "drop" for one in said)]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A curation of 900 rows, in the index."""
    project = Project(tmp_path_factory.mktemp("curation"))
    kept = sorted(set(range(ROWS)) - set(DROPPED))
    reason = ReasonCount(reason="empty_output", action="drop", rows=len(DROPPED), only=1)
    parts: dict[str, object] = {
        "records.jsonl": [RECORDS[row] for row in kept],
        "dropped.jsonl": [Drop(row=row, record=RECORDS[row], findings=tuple(FINDINGS[row])) for row in DROPPED],
        "findings.jsonl": [one for said in FINDINGS.values() for one in said],
        "edges.jsonl": [
            Edge(left=RECORDS[12].id, right=RECORDS[13].id, left_row=12, right_row=13, jaccard=0.75),
            Edge(left=RECORDS[14].id, right=RECORDS[12].id, left_row=14, right_row=12, jaccard=0.71),
        ],
        "funnel.json": Funnel(rows_in=ROWS, rows_out=len(kept), reasons=(reason,)),
    }
    directory, name = commit_artifact(project, "curate", {}, parts)
    load_artifact(project.index, directory)
    nodes = ("ingest:faq", "train", "score:base@nf4", "score:candidate", "score:judge", "compare", "gate")
    load_run(project.index, write_run(project, RUN, {"curate": name} | dict.fromkeys(nodes, "0" * 64)))
    return project


@pytest.fixture(scope="module")
def rows(project: Project) -> CuratedRows:
    found = curation(project.index, RUN)
    assert found is not None
    return CuratedRows(project.index, project.artifacts / "curate" / found.fingerprint, found.fingerprint)


def all_pages(rows: CuratedRows, reason: str, action: str, contains: str, limit: int) -> Iterable[int]:
    after: int | None = -1
    while after is not None:
        page = rows.page(reason, action, contains=contains, after=after, limit=limit)
        assert len(page.rows) <= limit
        yield from (row.found.row_number for row in page.rows)
        after = page.rest


@pytest.mark.parametrize(("reason", "action"), [("empty_output", "drop"), ("refusal", "flag"), ("mojibake", "repair")])
@pytest.mark.parametrize("limit", [1000, 17])
def test_pages_hold_every_row_of_a_reason_once_dropped_or_not(
    rows: CuratedRows, reason: str, action: str, limit: int
) -> None:
    expected = [row for row, said in FINDINGS.items() if any(one.reason == reason for one in said)]
    assert list(all_pages(rows, reason, action, "", limit)) == expected
    assert list(all_pages(rows, reason, "no such action", "", limit)) == []


def test_every_row_is_found_whole_in_the_file_it_stands_in(rows: CuratedRows) -> None:
    for reason, action in (("empty_output", "drop"), ("refusal", "flag"), ("mojibake", "repair")):
        for found in rows_with(rows.index, rows.fingerprint, reason, action, limit=ROWS)[::20]:
            assert found.dropped == (found.row_number in DROPPED)
            assert rows.record(found) == RECORDS[found.row_number]
            assert found.record_id == RECORDS[found.row_number].id
            said = findings_of(rows.index, rows.fingerprint, found.row_number)
            assert [(one.reason, one.action, one.detail) for one in said] == [
                (one.reason, one.action, one.detail) for one in FINDINGS[found.row_number]
            ]


@settings(max_examples=12, deadline=None)
@given(
    contains=st.sampled_from(
        ['"QUOTED"', "\\ back", "\x1b]52", "\u202e", "[/NOPE]", "\xe9T", "answer 77", "refusal 3", "role", "zz", "\x00"]
    ),
    limit=st.integers(50, 400),
)
def test_a_search_finds_what_texts_and_evidence_say_and_no_key_of_the_file(
    rows: CuratedRows, contains: str, limit: int
) -> None:
    expected = [
        row
        for row, said in FINDINGS.items()
        for one in said
        if one.reason == "refusal"
        and any(
            contains.casefold() in text.casefold()
            for text in (one.detail, *(turn.content for turn in RECORDS[row].messages))
        )
    ]
    assert list(all_pages(rows, "refusal", "flag", contains, limit)) == expected


def test_what_a_tool_is_called_with_is_searched_too(tmp_path: Path) -> None:
    project = Project(tmp_path)
    call = ToolCall(name="weather", arguments='{"city": "Lima"}')
    record = RECORDS[0].model_copy(update={"messages": (Message(role="assistant", content="", tool_calls=(call,)),)})
    flag = Finding(record_id=record.id, row=0, filter="x", reason="x", action="flag")
    parts: dict[str, object] = {"records.jsonl": [record], "dropped.jsonl": [], "findings.jsonl": [flag]}
    directory, name = commit_artifact(project, "curate", {}, parts)
    load_artifact(project.index, directory)
    source = CuratedRows(project.index, directory, name)
    assert [len(source.page("x", "flag", contains=text).rows) for text in ('"CITY": "li', "Paris")] == [1, 0]


def test_clusters_are_whole_largest_first_and_follow_links_to_the_row_that_stayed(rows: CuratedRows) -> None:
    found = clusters(rows.index, rows.fingerprint)
    assert [(one.kept.row_number, one.rows, one.lowest, one.copies_only) for one in found] == [
        (0, 5, 0.81, False),
        (11, 3, 0.644, False),
        (21, 3, None, False),
        (31, 2, 1.0, True),
    ]
    assert count_clusters(rows.index, rows.fingerprint) == (4, 9)
    assert [one.kept.row_number for one in clusters(rows.index, rows.fingerprint, offset=1, limit=2)] == [11, 21]
    assert all(rows.record(one.kept) == RECORDS[one.kept.row_number] for one in found)


def test_members_come_least_similar_first_with_their_closest_verified_pair(rows: CuratedRows) -> None:
    def of(kept: int, **page: int) -> list[tuple[int, str, float | None]]:
        page_of = members(rows.index, rows.fingerprint, kept, **page)
        return [(one.row.row_number, one.reason, one.similarity) for one in page_of]

    near = "near_duplicate"
    assert of(0) == [(1, near, 0.81), (4, near, 0.81), (2, near, 0.82), (3, near, 0.83)]
    assert of(0, offset=1, limit=2) == [(4, near, 0.81), (2, near, 0.82)]
    assert of(11) == [(12, near, 0.644), (10, "exact_duplicate", 1.0)]
    assert of(21) == [(20, "semantic_duplicate", None), (22, "semantic_duplicate", None)]
    (linked_row, copy) = members(rows.index, rows.fingerprint, 11)
    assert (linked_row.closest_row, linked_row.closest) == (13, 0.75)
    assert (copy.closest_row, copy.closest) == (None, None)


def test_a_duplicate_knows_its_twin_and_whether_it_is_the_same_record(rows: CuratedRows) -> None:
    twin = twin_of(rows.index, rows.fingerprint, 4)
    assert twin is not None
    assert (twin[0].row_number, twin[0].dropped, twin[1].row.row_number, twin[1].row.dropped) == (0, False, 4, True)
    assert rows.record(twin[0]) == RECORDS[0] and rows.record(twin[1].row) == RECORDS[4]
    for row in (0, 40, 300):  # kept; known to a saved index; no duplicate
        assert twin_of(rows.index, rows.fingerprint, row) is None
    assert copy_of_kept(rows.index, rows.fingerprint, 30) == 31
    assert copy_of_kept(rows.index, rows.fingerprint, 10) is None


def test_an_index_that_belongs_to_other_files_is_said(rows: CuratedRows, tmp_path: Path) -> None:
    (found, *_) = rows_with(rows.index, rows.fingerprint, "empty_output", "drop")
    moved = FoundRow(found.row_number + 1, True, found.line)
    with pytest.raises(IncompleteError, match=r"dropped\.jsonl:.*is row.*\n.*store rebuild"):
        rows.record(moved)
    with pytest.raises(IncompleteError, match="no line 5000"):
        rows.record(FoundRow(4999, False, 4999))
    with pytest.raises(IncompleteError, match="cannot be read"):
        CuratedRows(rows.index, tmp_path, rows.fingerprint).page("refusal", "flag")


@settings(max_examples=40, deadline=None)
@given(
    wanted=st.lists(st.lists(st.integers(0, 1999), max_size=20), min_size=1, max_size=6),
    lengths=st.randoms(use_true_random=False),
)
def test_any_lines_are_read_in_any_order_whatever_was_read_before(
    tmp_path_factory: pytest.TempPathFactory, wanted: list[list[int]], lengths: random.Random
) -> None:
    content = [b"%d" % number + b"x" * lengths.randrange(40) + b"\n" for number in range(2000)]
    path = tmp_path_factory.mktemp("lines") / "part.jsonl"
    path.write_bytes(b"".join(content))
    lines = Lines(path)
    for numbers in wanted:
        assert list(lines.read(numbers)) == [(number, content[number]) for number in sorted(set(numbers))]
