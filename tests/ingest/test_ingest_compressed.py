from __future__ import annotations

import gzip
import json
import os
import random
import zlib
from pathlib import Path

import pytest
from ingest_files import COMPRESS, json_lines, json_list, paragraphs, table
from ingest_makers import ReadFile

from workbench.core.errors import IncompleteError, UsageError
from workbench.ingest.compressed import ByteBlocks
from workbench.ingest.rows import DataFile

SUFFIXES = sorted(COMPRESS)
ROWS = [{"text": random.Random(number).randbytes(60).hex()} for number in range(400)]


def expanded(path: Path, start: int = 0) -> tuple[bytes, str | None]:
    blocks = ByteBlocks(DataFile(path, path.name), start)
    return b"".join(blocks), blocks.damage


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json", "rows.csv", "rows.txt"])
def test_compressed_files_are_read_as_what_they_hold(read_file: ReadFile, name: str, suffix: str) -> None:
    content = {"rows.jsonl": json_lines, "rows.json": json_list, "rows.csv": table, "rows.txt": paragraphs}[name](ROWS)
    read = read_file(name + suffix, COMPRESS[suffix](content))

    assert [record.text for record in read.records] == [row["text"] for row in ROWS]
    assert not read.quarantined and not read.warnings


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_members_joined_end_to_end_are_one_file_and_any_part_of_it_can_be_asked_for(
    tmp_path: Path, suffix: str
) -> None:
    first, second = random.Random(1).randbytes(300_000), b"second" * 100_000
    (tmp_path / "x").write_bytes(COMPRESS[suffix](first) + COMPRESS[suffix](second))

    assert expanded(tmp_path / "x") == (first + second, None)
    assert expanded(tmp_path / "x", 299_990) == ((first + second)[299_990:], None)


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz"])
def test_zeros_behind_the_end_are_padding_and_anything_else_is_damage(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "padded").write_bytes(COMPRESS[suffix](b"content") + bytes(1000))
    (tmp_path / "more").write_bytes(COMPRESS[suffix](b"content") + b"and more text")

    assert expanded(tmp_path / "padded") == (b"content", None)
    content, damage = expanded(tmp_path / "more")
    assert content == b"content" and damage and "follows its end" in damage


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_bomb_is_stopped_by_a_cap(read_file: ReadFile, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    monkeypatch.setattr("workbench.ingest.compressed._EXPANSION_FREE_BYTES", 1 << 20)

    with pytest.raises(UsageError, match="grows beyond 1 MiB"):
        read_file(f"bomb.jsonl{suffix}", COMPRESS[suffix](b"0" * (3 << 20)))


def test_of_a_cut_gzip_file_every_byte_that_zlib_can_expand_is_read(tmp_path: Path) -> None:
    whole = gzip.compress(json_lines(ROWS))
    for cut in (20, len(whole) // 2, len(whole) - 9, len(whole) - 1):
        (tmp_path / "x").write_bytes(whole[:cut])
        content, damage = expanded(tmp_path / "x")
        assert content == zlib.decompressobj(31).decompress(whole[:cut])
        assert damage and "ends too early" in damage


@pytest.mark.parametrize("suffix", [".gz", ".xz"])
@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json", "rows.csv", "rows.txt"])
def test_rows_before_damage_are_kept_and_the_damage_is_one_quarantined_entry(
    read_file: ReadFile, name: str, suffix: str
) -> None:
    content = {"rows.jsonl": json_lines, "rows.json": json_list, "rows.csv": table, "rows.txt": paragraphs}[name](ROWS)
    whole = COMPRESS[suffix](content)
    read = read_file(name + suffix, whole[: len(whole) // 2])

    kept = [record.text for record in read.records]
    assert 150 < len(kept) < 250 and kept == [row["text"] for row in ROWS[: len(kept)]]
    assert read.reasons == ["damaged_file"]
    bad = read.quarantined[0]
    assert bad.row == len(kept) and bad.byte is not None
    assert content[bad.byte :].startswith(bad.excerpt.encode()) and bad.excerpt
    assert content[: bad.byte].count(b"\n") == (bad.line or 0) - 1


def test_damage_that_shows_only_at_the_end_costs_no_row_of_json(read_file: ReadFile) -> None:
    whole = bytearray(gzip.compress(json_lines(ROWS).rstrip()))
    whole[-6] ^= 1  # the checksum
    read = read_file("rows.jsonl.gz", bytes(whole))

    assert len(read.records) == len(ROWS) and read.reasons == ["damaged_file"]


def test_a_file_with_nothing_before_the_damage_is_incomplete(read_file: ReadFile) -> None:
    with pytest.raises(IncompleteError, match=r"damaged_file in 1 of 1 rows.*ends too early"):
        read_file("rows.jsonl.gz", gzip.compress(json.dumps({"text": os.urandom(400).hex()}).encode())[:20])


def test_names_that_promise_or_hide_a_compression_are_said(read_file: ReadFile) -> None:
    plain = read_file("rows.jsonl.gz", json_lines(ROWS))
    hidden = read_file("rows.jsonl", gzip.compress(json_lines(ROWS)))

    assert len(plain.records) == len(hidden.records) == len(ROWS)
    assert plain.warnings == ["rows.jsonl.gz: not compressed, whatever its name says"]
    assert hidden.warnings == ["rows.jsonl: compressed, whatever its name says"]


def test_a_text_that_begins_like_a_magic_number_is_text(read_file: ReadFile) -> None:
    assert read_file("notes.txt", "BZh is how bzip2 files begin.\n").records[0].text == "BZh is how bzip2 files begin."
