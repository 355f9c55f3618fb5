from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ingest_files import arrow_stream, json_lines, json_list, parquet, table
from ingest_makers import ReadFile, card_of

from workbench.core.errors import UsageError
from workbench.ingest.decode import TextFile
from workbench.ingest.read import read_records
from workbench.ingest.rows import DataFile, ReadOptions

ROWS = [{"question": f"Question {number}?", "answer": f"Answer {number}."} for number in range(20)]
MAKERS = {"JSON": json_lines, "CSV": table, "Parquet": parquet, "Arrow": arrow_stream}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("part-00000", "JSON"),
        ("part-00000", "CSV"),
        ("part-00000", "Parquet"),
        ("part-00000", "Arrow"),
        ("rows.txt", "JSON"),
        ("rows.md", "JSON"),
        ("rows.csv", "JSON"),
        ("rows.parquet", "JSON"),
        ("rows.dat", "JSON"),
        ("rows.json", "CSV"),
        ("rows.jsonl", "CSV"),
        ("rows.txt", "CSV"),
        ("rows.json", "Parquet"),
        ("rows.csv", "Arrow"),
    ],
)
def test_files_without_a_suffix_or_with_a_wrong_one_are_read_as_what_they_are(
    read_file: ReadFile, name: str, kind: str
) -> None:
    read = read_file(name, MAKERS[kind](ROWS))

    assert [(record.prompt(), record.answer()) for record in read.records] == [tuple(row.values()) for row in ROWS]
    assert read.warnings == [f"{name}: read as {kind}, because of what stands in it"]


@pytest.mark.parametrize(
    "text",
    [
        "{placeholder} is what you fill in.\n\nThen go on.",
        "[1] A reference.\n\n[2] Another.",
        "[link](address)\n\nmore",
        '{"text": "an example"}\n\nis how a row looks.\n\nAnd so on.\n\nAnd so on.\n\nAnd so on.',
        "A sentence, with a comma\n\nAnother, like it\n",
    ],
)
def test_text_that_only_begins_like_data_stays_text(read_file: ReadFile, text: str) -> None:
    read = read_file("notes.txt", text)

    assert "\n\n".join(record.text or "" for record in read.records).strip() == text.strip()
    assert not read.warnings


def test_text_without_a_suffix_is_text(read_file: ReadFile) -> None:
    assert [record.text for record in read_file("NOTES", "One.\n\nTwo.\n").records] == ["One.", "Two."]


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("rows.jsonl", b"PK\x03\x04...", "ZIP archive"),
        ("rows.json", b"SQLite format 3\x00...", "SQLite"),
        ("rows", b"\x80\x04\x95...", "pickle"),
        ("rows.feather", b"FEA1\x00\x00\x00\x00", "Feather file of version 1.*write_feather"),
        ("rows.csv", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        ("rows.bin", b"\x00\x01\x02" * 100, "no reader for files of kind '.bin'"),
        ("rows", b"\x00\x01\x02" * 100, "no reader"),
    ],
)
def test_what_no_reader_knows_is_refused_with_what_it_is(
    read_file: ReadFile, name: str, content: bytes, what: str
) -> None:
    with pytest.raises(UsageError, match=what):
        read_file(name, content)


def test_in_a_folder_files_without_a_suffix_count_if_they_hold_rows(tmp_path: Path) -> None:
    for name, content in {
        "part-00000": json_lines(ROWS),
        "part-00001": parquet(ROWS),
        "_SUCCESS": b"",
        "LICENSE": b"Do what you like.\n",
        "blob": b"PK\x03\x04",
        "more.txt": json_list(ROWS),
        "README.md": b"# About\n\nNothing.\n",
        "dataset_info.json": json.dumps({"rows": {"file_name": "part-00000"}}).encode(),
    }.items():
        (tmp_path / name).write_bytes(content)
    warnings: list[str] = []
    reading = read_records(card_of("."), tmp_path, warnings.append)

    assert {record.source.file for record in reading.records} == {"part-00000", "part-00001", "more.txt"}
    assert len(reading.records) == 3 * len(ROWS) and not reading.quarantined
    assert "left out, because there are data files beside them: README.md" in warnings


def test_an_empty_file_among_others_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("")
    (tmp_path / "b.jsonl").write_bytes(json_lines(ROWS))
    warnings: list[str] = []

    assert len(read_records(card_of("."), tmp_path, warnings.append).records) == len(ROWS)
    assert warnings == ["a.jsonl: no row in it"]


TEXTS = st.lists(st.text(st.characters(exclude_categories=("Cs",)), max_size=30), max_size=8).map("\n".join)


@given(TEXTS, st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32"]), st.integers(1, 40))
def test_lines_and_offsets_do_not_depend_on_where_blocks_end(text: str, encoding: str, block_bytes: int) -> None:
    text = "plain enough to be recognised as what it is" + text
    content = text.encode(encoding)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("workbench.ingest.compressed.BLOCK_BYTES", block_bytes)
        path = Path(folder) / "rows.txt"
        path.write_bytes(content)
        options = ReadOptions(10_000, lambda message: None)
        lines = list(TextFile(DataFile(path, "rows.txt"), options).lines(10_000))
        blocks = "".join(TextFile(DataFile(path, "rows.txt"), options).blocks())

    if encoding == "utf-16-be" and "\ufeff" not in content[:2].decode("latin-1") and not _mostly_latin(text):
        return
    assert blocks == text
    assert "".join(line.text + line.end for line in lines) == text
    assert [line.number for line in lines] == list(range(1, len(lines) + 1))
    bare = encoding.replace("utf-8-sig", "utf-8").replace("utf-16", "utf-16-le").replace("utf-16-le-be", "utf-16-be")
    bare = bare.replace("utf-32", "utf-32-le")
    mark = len(content) - len(text.encode(bare))
    for line in lines:
        assert content[line.byte :].startswith((line.text + line.end).encode(bare))
        assert line.byte >= mark


def _mostly_latin(text: str) -> bool:
    """Whether UTF-16 without a byte order mark can be told from its zeros."""
    half = text.encode("utf-16-be")
    return half[0::2].count(0) > 0.8 * (len(half) // 2) and half[1::2].count(0) == 0
