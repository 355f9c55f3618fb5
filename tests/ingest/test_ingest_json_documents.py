from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ingest_makers import ReadFile

from workbench.ingest.readers import json_document, json_rows
from workbench.ingest.rows import DataFile, RawRow, ReadOptions

ROWS = [{"text": f"Document {number}."} for number in range(4)]

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(st.characters(exclude_categories=("Cs",)), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.lists(st.dictionaries(st.sampled_from(["a", "b", "data"]), VALUES), max_size=5), st.sampled_from([None, 0, 2])
)
def test_a_list_gives_what_the_json_module_gives_each_at_the_line_it_begins(
    rows: list[dict[str, object]], indent: int | None
) -> None:
    content = json.dumps(rows, indent=indent)
    with tempfile.TemporaryDirectory() as folder:
        file = DataFile(Path(folder) / "rows.json", "rows.json")
        file.path.write_text(content, encoding="utf-8")
        read = list(json_document.read(file, ReadOptions(10_000, lambda message: None)))

    assert [item.values for item in read if isinstance(item, RawRow)] == rows == json.loads(content)
    assert len(read) == len(rows)
    for item in read:
        assert isinstance(item, RawRow) and item.place.line is not None and item.place.byte is not None
        assert content.encode()[item.place.byte :].startswith(b"{")
        assert content.encode()[: item.place.byte].count(b"\n") == item.place.line - 1


@pytest.mark.parametrize("key", ["data", "rows", "qa_pairs"])
def test_a_wrapped_list_is_unwrapped(read_file: ReadFile, key: str) -> None:
    read = read_file("rows.json", json.dumps({"version": 2, key: ROWS, "source": "hand"}, indent=1))

    assert [record.text for record in read.records] == [row["text"] for row in ROWS]


def test_a_single_object_is_one_row(read_file: ReadFile) -> None:
    assert [record.text for record in read_file("rows.json", json.dumps(ROWS[0], indent=2)).records] == ["Document 0."]


@pytest.mark.parametrize("suffix", [".json", ".jsonl"])
@pytest.mark.parametrize("indent", [None, 2])
def test_lists_and_lines_are_told_apart_by_content_not_by_name(
    read_file: ReadFile, suffix: str, indent: int | None
) -> None:
    as_list = read_file(f"list{suffix}", json.dumps(ROWS, indent=indent))
    as_lines = read_file(f"lines{suffix}", "\n".join(json.dumps(row) for row in ROWS))
    broken_first = read_file(f"broken{suffix}", '{"text": "cut\n' + "\n".join(json.dumps(row) for row in ROWS))

    assert len(as_list.records) == len(as_lines.records) == len(broken_first.records) == len(ROWS)
    assert broken_first.reasons == ["bad_json"]


@pytest.mark.parametrize("garbage", ['{"text": "cut', "[1, 2", '[{"text": ', "<html>", "{"])
@pytest.mark.parametrize("suffix", [".json", ".jsonl"])
def test_broken_lines_at_the_top_do_not_turn_lines_into_a_document(
    read_file: ReadFile, garbage: str, suffix: str
) -> None:
    read = read_file(f"rows{suffix}", f"{garbage}\n" * 5 + "\n".join(json.dumps(row) for row in ROWS))

    assert [record.text for record in read.records] == [row["text"] for row in ROWS]
    assert read.reasons == ["bad_json"] * 5


def test_a_broken_element_of_a_pretty_list_does_not_take_the_others_with_it(read_file: ReadFile) -> None:
    content = json.dumps(ROWS, indent=2).replace('"Document 1."', '"Document 1.')
    read = read_file("rows.json", content)

    assert [record.text for record in read.records] == ["Document 0.", "Document 2.", "Document 3."]
    (bad,) = read.quarantined
    assert (bad.reason, bad.line, bad.row) == ("bad_json", 5, 1)


def test_a_file_that_was_cut_keeps_its_complete_elements(read_file: ReadFile) -> None:
    for indent in (None, 2):
        content = json.dumps(ROWS, indent=indent)
        read = read_file("rows.json", content[: content.index("Document 3")])

        assert [record.text for record in read.records] == ["Document 0.", "Document 1.", "Document 2."]
        assert set(read.reasons) == {"bad_json"}


@pytest.mark.parametrize(
    ("element", "reason"),
    [
        ('{"text": "a", "text": "b"}', "duplicate_key"),
        ('{"text": ' + "[" * 10_000 + "]" * 10_000 + "}", "too_deep"),
        ('{"text": "' + "x" * 3000 + '"}', "too_long"),
        ('"just text"', "not_an_object"),
    ],
)
def test_elements_pass_the_same_checks_as_lines(read_file: ReadFile, element: str, reason: str) -> None:
    read = read_file("rows.json", f'[\n{{"text": "one"}},\n{element},\n{{"text": "two"}}\n]', max_line_bytes=1000)

    assert [record.text for record in read.records] == ["one", "two"]
    assert read.reasons == [reason] and read.quarantined[0].line == 3


def test_text_behind_the_document_is_reported(read_file: ReadFile) -> None:
    read = read_file("rows.json", '[{"text": "one"}] and more')

    assert len(read.records) == 1 and read.reasons == ["bad_json"]


@pytest.mark.parametrize("content", ["[]", '{"data": []}', "  \n ", ""])
def test_documents_without_rows_give_none(tmp_path: Path, content: str) -> None:
    file = DataFile(tmp_path / "rows.json", "rows.json")
    file.path.write_text(content)

    assert list(json_rows.read(file, ReadOptions(1000, lambda message: None))) == []


def test_places_and_values_do_not_depend_on_where_blocks_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"text": "é\\\"\n" * n, "n": -1.5e3, "list": [{"a": [n]}] * n} for n in range(9)]
    for indent, line_end in ((None, "\n"), (2, "\n"), (1, "\r\n"), (1, "\r")):
        for content in (json.dumps(rows, indent=indent), json.dumps({"v": [1, "]"], "data": rows}, indent=indent)):
            (tmp_path / "rows.json").write_bytes(content.replace("\n", line_end).encode("utf-8"))
            read = []
            for size in (7, 64, 1 << 18):
                monkeypatch.setattr("workbench.ingest.compressed.BLOCK_BYTES", size)
                file = DataFile(tmp_path / "rows.json", "rows.json")
                read.append(list(json_document.read(file, ReadOptions(10_000, lambda message: None))))
            assert read[0] == read[1] == read[2]
            assert [item.values for item in read[0] if isinstance(item, RawRow)] == rows
            places = [item.place for item in read[0] if isinstance(item, RawRow)]
            physical = content.split("\n")
            for place in places:
                assert place.line is not None and place.byte is not None
                before = (tmp_path / "rows.json").read_bytes()[: place.byte].decode()
                assert len(before.splitlines()) + before.endswith(("\n", "\r")) == place.line or len(physical) == 1


@pytest.mark.parametrize("size", [16, 1 << 18])
def test_elements_beyond_the_window_are_skipped_and_the_next_one_is_read(
    read_file: ReadFile, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr("workbench.ingest.compressed.BLOCK_BYTES", size)
    huge = json.dumps({"text": 'x"}],{\\' * 700, "more": [[{"a": "]"}]] * 300})
    read = read_file("rows.json", f'[{{"text": "one"}}, {huge}, {{"text": "two"}}]', max_line_bytes=1000)

    assert [record.text for record in read.records] == ["one", "two"]
    assert read.reasons == ["too_long"]


@pytest.mark.parametrize("key", ["train", "data"])
def test_a_wrapped_list_is_found_behind_anything_of_any_size(read_file: ReadFile, key: str) -> None:
    content = {"about": {"a": ["]", "}"] * 2000}, "n": 1, key: ROWS, "end": [1, {"data": [{"text": "no row"}]}]}
    read = read_file("rows.json", json.dumps(content), max_line_bytes=1000)

    assert [record.text for record in read.records] == [row["text"] for row in ROWS]
    assert not read.quarantined


def test_a_row_with_a_list_in_a_column_is_a_row(read_file: ReadFile) -> None:
    row = {"question": "Capital of Peru?", "answer": "Lima", "documents": [{"text": "Lima is ..."}], "items": []}

    (record,) = read_file("rows.json", json.dumps(row, indent=1)).records
    assert (record.prompt(), record.answer()) == ("Capital of Peru?", "Lima")


@pytest.mark.parametrize(
    ("indent", "between"), [(None, ""), (None, ",\n"), (1, "\n"), (1, ""), (1, ",\n"), (1, "\n\ufeff")]
)
def test_objects_and_lists_one_after_another_are_read(read_file: ReadFile, indent: int | None, between: str) -> None:
    rows = [json.dumps(row, indent=indent) for row in ROWS]
    read = read_file("rows.json", between.join([*rows, json.dumps(ROWS, indent=indent), *rows]))

    assert [record.text for record in read.records] == [row["text"] for row in ROWS] * 3
    assert not read.quarantined


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ('{"text" "b"}', "bad_json"),
        ('{"text": "b" "c"}', "bad_json"),
        ('{"text": NaN}', "bad_json"),
        ('{"text": "a", "text": "b"}', "duplicate_key"),
        ('{"text": ' + "[" * 10_000 + "]" * 10_000 + "}", "too_deep"),
        ("17", "not_an_object"),
        ('{"text": "tab\there"}', "bad_json"),
    ],
)
def test_a_broken_element_of_a_list_on_one_line_does_not_take_the_others_with_it(
    read_file: ReadFile, broken: str, reason: str
) -> None:
    good = [json.dumps(row) for row in ROWS]
    content = f"[{good[0]}, {broken}, {good[1]}, {good[2]}]"
    read = read_file("rows.json", content)

    assert [record.text for record in read.records] == ["Document 0.", "Document 1.", "Document 2."]
    assert read.reasons == [reason]
    assert read.quarantined[0].byte == content.index(broken)


def test_a_broken_object_in_a_row_of_pretty_objects_costs_itself(read_file: ReadFile) -> None:
    rows = [json.dumps(row, indent=2) for row in ROWS]
    rows[1] = rows[1].replace("Document", '"')
    read = read_file("rows.json", "\n".join(rows))

    assert [record.text for record in read.records] == ["Document 0.", "Document 2.", "Document 3."]
    assert read.reasons == ["bad_json"] and read.quarantined[0].line == 4
