from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ingest_makers import ReadFile

from workbench.core.records import Quarantined
from workbench.ingest.decode import TextFile
from workbench.ingest.readers import json_lines
from workbench.ingest.rows import DataFile, RawRow, ReadOptions

GOOD = '{"instruction": "Say hi", "output": "Hi."}'

RAW_LINES = st.lists(
    st.one_of(
        st.just(GOOD.encode()),
        st.binary(max_size=40).filter(lambda line: b"\n" not in line and b"\x00" not in line),
        st.text(st.characters(exclude_characters="\n\x00"), max_size=40).map(
            lambda text: json.dumps({"text": text}).encode()
        ),
        st.just(b"  "),
    ),
    max_size=12,
).filter(lambda lines: not b"\n".join(lines).startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")))


@given(RAW_LINES, st.sampled_from([b"\n", b"\r\n", b"\r"]), st.booleans(), st.integers(5, 60))
def test_every_line_that_is_not_blank_is_a_row_or_quarantined_with_its_number_and_offset(
    raw_lines: list[bytes], line_end: bytes, ends_with_line_end: bool, max_bytes: int
) -> None:
    content = line_end.join(raw_lines) + (line_end if ends_with_line_end else b"")
    with tempfile.TemporaryDirectory() as folder:
        file = DataFile(Path(folder) / "rows.jsonl", "rows.jsonl")
        file.path.write_bytes(content)
        options = ReadOptions(max_bytes, lambda message: None)
        text = TextFile(file, options)
        assert len(list(text.lines(max_bytes))) == len(content.splitlines())
        encoding = text.encoding
        read = list(json_lines.read(file, options))

    physical = content.splitlines(keepends=True)
    expected = [
        number
        for number, line in enumerate(physical, start=1)
        if line.decode(encoding, "surrogateescape").strip() or len(line.rstrip(b"\r\n")) > max_bytes
    ]
    places = [
        (item.line, item.byte) if isinstance(item, Quarantined) else (item.place.line, item.place.byte) for item in read
    ]
    offsets = [sum(map(len, physical[: number - 1])) for number in expected]
    assert places == list(zip(expected, offsets, strict=True))
    for item in read:
        if isinstance(item, RawRow):
            assert item.place.line is not None
            assert item.values == json.loads(physical[item.place.line - 1].decode(encoding))


def test_a_broken_line_goes_to_quarantine_with_its_place_and_the_others_are_kept(read_file: ReadFile) -> None:
    read = read_file("rows.jsonl", f'{GOOD}\n\n{{"instruction": "Say\n{GOOD}\n')

    assert [record.source.line for record in read.records] == [1, 4]
    (bad,) = read.quarantined
    assert (bad.file, bad.row, bad.line, bad.byte, bad.reason) == ("rows.jsonl", 1, 3, len(GOOD) + 2, "bad_json")
    assert bad.excerpt == '{"instruction": "Say'
    assert "quarantine" in read.warnings[0] and "bad_json 1" in read.warnings[0]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('["a", "list"]', "not_an_object"),
        ('"text"', "not_an_object"),
        ("17", "not_an_object"),
        (f"{GOOD} {GOOD}", "bad_json"),
        ('{"instruction": NaN, "output": "x"}', "bad_json"),
        ('{"instruction": -Infinity, "output": "x"}', "bad_json"),
        ('{"instruction": "a", "instruction": "b", "output": "x"}', "duplicate_key"),
        ('{"instruction": "a", "output": "x", "meta": {"k": 1, "k": 2}}', "duplicate_key"),
        ('{"instruction": ' + "[" * 10_000 + "]" * 10_000 + "}", "too_deep"),
        ('{"instruction": ' + "[" * 10_000, "too_deep"),
        ('{"instruction": ' + '{"a":' * 150 + "1" + "}" * 150 + "}", "too_deep"),
    ],
)
def test_what_is_no_clean_object_is_quarantined_with_a_reason(read_file: ReadFile, line: str, reason: str) -> None:
    read = read_file("rows.jsonl", f"{GOOD}\n{line}\n{GOOD}\n")

    assert read.reasons == [reason]
    assert len(read.records) == 2
    assert len(read.quarantined[0].excerpt) <= 200


def test_nesting_that_real_rows_have_is_no_problem(read_file: ReadFile) -> None:
    schema = '{"a":' * 30 + "1" + "}" * 30
    read = read_file("rows.jsonl", f'{{"instruction": "x", "output": "y", "tools": [{schema}]}}\n')

    assert read.records[0].tools == json.dumps(json.loads(f"[{schema}]"))


def test_a_line_of_twenty_megabytes_is_stopped_by_the_cap_and_the_next_is_read(read_file: ReadFile) -> None:
    huge = '{"instruction": "' + "x" * 20_000_000 + '", "output": "y"}'
    read = read_file("rows.jsonl", f"{GOOD}\n{huge}\n{GOOD}\n")

    assert read.reasons == ["too_long"]
    assert [record.source.line for record in read.records] == [1, 3]


@pytest.mark.parametrize("spare", [0, 1])
def test_the_cap_counts_the_bytes_of_the_line_without_its_end(read_file: ReadFile, spare: int) -> None:
    line = GOOD.replace("Say hi", "é" * 600)
    read = read_file("rows.jsonl", f"{line}\r\n{GOOD}\n", max_line_bytes=len(line.encode()) - 1 + spare)

    assert len(read.records) == 1 + spare


@pytest.mark.parametrize(
    ("encoding", "mark", "said"),
    [
        ("utf-8", b"\xef\xbb\xbf", ""),
        ("utf-16-le", b"\xff\xfe", "UTF-16-LE"),
        ("utf-16-be", b"\xfe\xff", "UTF-16-BE"),
        ("utf-16-le", b"", "UTF-16-LE"),
        ("utf-32-le", b"\xff\xfe\x00\x00", "UTF-32-LE"),
        ("latin-1", b"", "windows-1252"),
    ],
)
def test_encodings_are_recognised_and_said(read_file: ReadFile, encoding: str, mark: bytes, said: str) -> None:
    first, second = GOOD.replace("Hi.", "café"), GOOD.replace("Hi.", "naïve")
    read = read_file("rows.jsonl", mark + f"{first}\n{second}\nbroken\n".encode(encoding))

    assert [record.answer() for record in read.records] == ["café", "naïve"]
    assert read.quarantined[0].byte == len(mark) + len(f"{first}\n{second}\n".encode(encoding))
    assert all(said in warning for warning in read.warnings[:-1]) and (len(read.warnings) == 2) == bool(said)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize(
    "said",
    [
        "一二三，一一一。" * 20,
        "日本語のテキスト、ひらがなとカタカナ。",
        "fine 😀, and good 🎉",
        "Столица Перу — Лима.",
        "페루의 수도는 리마입니다.",
        "पेरू की राजधानी लीमा है।",
        "عاصمة بيرو هي ليما",
        "naïve café",
    ],
)
def test_utf16_without_a_mark_is_read_whatever_the_script(read_file: ReadFile, encoding: str, said: str) -> None:
    for name, content in (
        ("rows.jsonl", f"{GOOD.replace('Hi.', said)}\n" * 3),
        ("rows.csv", "question,answer\n" + f"{said},{said}\n" * 3),
    ):
        if name.endswith("jsonl") or "," not in said:
            read = read_file(name, content.encode(encoding))
            assert [record.answer() for record in read.records] == [said] * 3
            assert len(read.warnings) == 1 and encoding.upper() in read.warnings[0]


@pytest.mark.parametrize("zeros", ["\x00", "\x00\x00\x00"])
@pytest.mark.parametrize("text", ["Say hi", "caf\u00e9 \u4e2d\u6587 \u4e00", "naïve"])
def test_zeros_in_utf8_are_no_utf16(read_file: ReadFile, zeros: str, text: str) -> None:
    read = read_file("rows.jsonl", f"{GOOD}\n{GOOD.replace('Hi.', text)}\n{zeros}\n" + f"{GOOD}\n" * 2)

    assert len(read.records) == 4 and read.records[1].answer() == text
    assert not any("UTF-16" in warning for warning in read.warnings)


def test_typographic_quotes_of_windows_files_are_not_control_characters(read_file: ReadFile) -> None:
    read = read_file("rows.jsonl", GOOD.replace("Hi.", "“Hi.”").encode("windows-1252"))

    assert read.records[0].answer() == "“Hi.”"


def test_one_bad_byte_in_a_utf8_file_costs_its_line_alone(read_file: ReadFile) -> None:
    good, bad = GOOD.replace("Hi.", "café").encode(), GOOD.replace("Hi.", "café").encode("latin-1")
    read = read_file("rows.jsonl", good + b"\n" + bad + b"\n" + good)

    assert [record.answer() for record in read.records] == ["café", "café"]
    assert read.reasons == ["bad_encoding"]
    assert "0xe9" in read.quarantined[0].detail


def test_a_long_line_of_multibyte_text_is_utf8_wherever_blocks_end(read_file: ReadFile) -> None:
    text = "x" + "語" * 500_000  # 1.5 MB: the scan's blocks of 1 MiB end inside characters
    read = read_file("rows.jsonl", json.dumps({"text": text}, ensure_ascii=False))

    assert read.records[0].text == text and not read.warnings


def test_a_lone_surrogate_in_an_escape_is_replaced_and_the_row_kept(read_file: ReadFile) -> None:
    read = read_file("rows.jsonl", '{"instruction": "a", "output": "\\ud800!", "topic": "\\udc00"}')

    assert read.records[0].answer() == "�!"
    assert read.records[0].topic == "�"


def test_line_separators_of_unicode_do_not_end_a_line(read_file: ReadFile) -> None:
    read = read_file("rows.jsonl", GOOD.replace("Hi.", "one\u2028two\x85three") + "\n" + GOOD)

    assert [record.source.line for record in read.records] == [1, 2]


def test_every_kind_of_line_end_ends_a_line(read_file: ReadFile) -> None:
    lines = [GOOD, "broken", GOOD, "", GOOD, GOOD]
    for ends in ("\r" * 6, "\n\r\n\r\r\n"):
        content = "".join(line + end for line, end in zip(lines, [*ends, ""], strict=False))
        read = read_file("rows.jsonl", content)

        assert len(read.records) == 4
        assert (read.quarantined[0].line, read.quarantined[0].byte) == (2, content.index("broken"))


def test_byte_order_marks_of_joined_files_are_ignored_and_zeros_are_not(read_file: ReadFile) -> None:
    read = read_file("rows.jsonl", f"\ufeff{GOOD}\n\ufeff{GOOD}\n" + "\x00" * 50 + f"\n{GOOD}")

    assert [record.source.line for record in read.records] == [1, 2, 4]
    assert [(row.reason, row.line) for row in read.quarantined] == [("bad_json", 3)]


def test_a_torn_last_line_is_quarantined(read_file: ReadFile) -> None:
    read = read_file("rows.jsonl", f"{GOOD}\n{GOOD[:-4]}")

    assert len(read.records) == 1
    assert [(row.reason, row.line, row.byte) for row in read.quarantined] == [("bad_json", 2, len(GOOD) + 1)]


def test_half_a_character_in_utf16_costs_its_line_and_offsets_stay_right(read_file: ReadFile) -> None:
    wide = f"{GOOD}\n".encode("utf-16-le")
    long = ('{"text": "' + "é" * 900 + '"}\n').encode("utf-16-le")
    content = b"\xff\xfe" + wide + b"\x00\xd8" + wide + long + wide + "end".encode("utf-16-le")
    read = read_file("rows.jsonl", content, max_line_bytes=1000)

    assert [record.source.line for record in read.records] == [1, 4]
    assert [(row.reason, row.line) for row in read.quarantined] == [
        ("bad_encoding", 2),
        ("too_long", 3),
        ("bad_json", 5),
    ]
    assert [row.byte for row in read.quarantined] == [
        2 + len(wide),
        2 + 2 * len(wide) + 2,
        content.index("end".encode("utf-16-le")),
    ]
