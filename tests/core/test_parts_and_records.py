"""Parts and records: what is written comes back, hostile text included; damage is named by line."""

from __future__ import annotations

import errno
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from workbench.core.errors import IncompleteError
from workbench.core.fingerprints import canonical_json, file_sha256, fingerprint, library_versions, tree_sha256
from workbench.core.parts import describe_parts, read_rows, write_bytes, write_rows
from workbench.core.records import Message, Record, ScoreRow, Source, record_id
from workbench.core.wire import printable, storable


def _record(text: str) -> Record:
    messages = (Message(role="user", content="Say it"), Message(role="assistant", content=text))
    return Record(id=record_id("chat", messages), kind="chat", messages=messages, source=Source(dataset="d"))


@given(st.text())
def test_any_text_survives_writing_and_reading(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("parts") / "records.jsonl"
    assert write_rows(path, [_record(text), _record(text + "!")]) == 2
    assert [record.answer() for record in read_rows(path, Record)] == [storable(text), storable(text + "!")]


@given(st.text(alphabet=st.characters(codec=None)))
def test_storable_text_is_utf8_and_printable_text_has_no_controls(text: str) -> None:
    storable(text).encode("utf-8")
    shown = printable(text)
    assert not any(
        (ord(c) < 32 and c not in "\t\n\r") or 0x7F <= ord(c) < 0xA0 or 0x202A <= ord(c) <= 0x202E for c in shown
    )


@pytest.mark.parametrize("code", [0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)])
def test_every_character_that_turns_the_direction_of_text_is_shown_as_an_escape(code: int) -> None:
    assert printable(f"a{chr(code)}b") == f"a\\u{code:04x}b"


def test_record_id_depends_on_content_not_on_source() -> None:
    messages = (Message(role="user", content="a"), Message(role="assistant", content="b"))
    assert record_id("chat", messages) == record_id("chat", messages)
    assert record_id("chat", messages) != record_id("chat", messages[:1])
    assert record_id("document", text="a") != record_id("document", text="b")


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    write_rows(path, [_record("x")])
    with path.open("a") as stream:
        stream.write('{"id": 3}\n')
    with pytest.raises(IncompleteError, match=r"records\.jsonl:2"):
        list(read_rows(path, Record))


def test_a_full_disk_leaves_what_was_there_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "records.jsonl"
    write_rows(path, [_record("x")])
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def broken() -> Iterator[Record]:
        yield _record("y")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_rows(path, broken())
    monkeypatch.setattr("os.fsync", full)
    for write in (lambda: write_rows(path, [_record("y")]), lambda: write_bytes(path, b"y")):
        with pytest.raises(OSError, match="No space"):
            write()

    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_nan_never_becomes_a_score() -> None:
    with pytest.raises(ValidationError):
        ScoreRow(arm="a", suite="s", task="t", metric="acc", doc_hash="h", doc_id=0, value=float("nan"))


def test_parts_are_described_with_rows_size_and_hash(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"x": 1}\n{"x": 2}\n')
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "w.bin").write_bytes(b"12345")
    (tmp_path / ".hidden").write_bytes(b"no")
    described = {part.path: part for part in describe_parts(tmp_path)}
    assert set(described) == {"a.jsonl", "adapter/w.bin"}
    assert described["a.jsonl"].rows == 2 and described["adapter/w.bin"].rows is None
    assert described["adapter/w.bin"].sha256 == hashlib.sha256(b"12345").hexdigest()


@given(st.dictionaries(st.text(), st.integers() | st.text() | st.lists(st.booleans())))
def test_canonical_json_is_json_and_ignores_key_order(value: dict[str, object]) -> None:
    reordered = dict(reversed(list(value.items())))
    assert canonical_json(value) == canonical_json(reordered)
    assert json.loads(canonical_json(value)) == value
    assert fingerprint(value) == hashlib.sha256(canonical_json(value).encode("utf-8", "surrogatepass")).hexdigest()


def test_file_and_tree_hashes_see_every_change(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a").write_bytes(b"1" * 3_000_000)
    assert file_sha256(tmp_path / "d" / "a") == hashlib.sha256(b"1" * 3_000_000).hexdigest()
    before = tree_sha256(tmp_path)
    (tmp_path / "d" / "a").rename(tmp_path / "d" / "b")
    assert tree_sha256(tmp_path) != before


def test_an_absent_library_is_said_to_be_absent() -> None:
    assert library_versions(["pydantic", "no-such-distribution-xyz"])["no-such-distribution-xyz"] == "absent"
