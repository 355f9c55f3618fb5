from __future__ import annotations

from pathlib import Path

import pytest
from ingest_makers import ReadFile, card_of

from workbench.ingest.read import read_records


def test_paragraphs_of_a_text_file_are_documents_with_their_lines(read_file: ReadFile) -> None:
    read = read_file("notes.txt", "First line\nsecond line.\n\n\nNext paragraph.\n")

    assert [(record.text, record.source.line) for record in read.records] == [
        ("First line\nsecond line.", 1),
        ("Next paragraph.", 5),
    ]


def test_a_text_file_without_blank_lines_has_one_document_per_line(read_file: ReadFile) -> None:
    read = read_file("corpus.txt", "One document.\nAnother document.\nA third.\n")

    assert [record.text for record in read.records] == ["One document.", "Another document.", "A third."]
    assert [record.source.line for record in read.records] == [1, 2, 3]


def test_markdown_gives_sections_with_their_heading_and_whole_code_blocks(read_file: ReadFile) -> None:
    guide = "# Guide\n\nIntro.\n\n## Install\nRun this:\n\n```sh\n# not a heading\n\nmake\n```\n\nDone.\n\n## Empty\n"
    read = read_file("guide.md", guide)

    assert [(record.topic, record.text) for record in read.records] == [
        ("Guide", "# Guide\n\nIntro."),
        ("Install", "## Install\n\nRun this:\n\n```sh\n# not a heading\n\nmake\n```\n\nDone."),
    ]
    assert [(row.reason, row.excerpt) for row in read.quarantined] == [("no_text", "## Empty")]
    assert [record.source.line for record in read.records] == [1, 5]


def test_long_sections_are_cut_between_paragraphs_and_stay_one_part_for_the_split(read_file: ReadFile) -> None:
    paragraphs = [f"Paragraph {number} " + "word " * 150 for number in range(5)]
    read = read_file("guide.md", "# Long\n\n" + "\n\n".join(paragraphs) + "\n\n# Short\n\nEnd.\n")

    assert len(read.records) > 2
    assert "\n\n".join(record.text or "" for record in read.records[:-1]).split() == [
        "#",
        "Long",
        *" ".join(paragraphs).split(),
    ]
    assert len({record.source.part_of for record in read.records[:-1]}) == 1
    assert read.records[-1].source.part_of != read.records[0].source.part_of


def test_with_ten_files_a_file_is_what_the_split_keeps_together(tmp_path: Path) -> None:
    for number in range(10):
        (tmp_path / f"page{number}.txt").write_text(f"Page {number} one.\n\nPage {number} two.\n")
    many = read_records(card_of("."), tmp_path).records
    few = read_records(card_of("page[01].txt"), tmp_path).records

    assert [record.source.part_of for record in many[:3]] == ["page0.txt", "page0.txt", "page1.txt"]
    assert len({record.source.part_of for record in few}) == len(few) == 4


def test_bad_bytes_and_overlong_paragraphs_are_quarantined(read_file: ReadFile) -> None:
    read = read_file("notes.txt", "café\n\n".encode() + b"caf\xe9\n\n" + b"x" * 2000 + b"\n\nend", max_line_bytes=1000)

    assert [record.text for record in read.records] == ["café", "end"]
    assert read.reasons == ["bad_encoding", "too_long"]
    assert [row.line for row in read.quarantined] == [3, 5]


def test_lines_keep_the_spaces_at_their_ends_and_closing_signs_are_no_part_of_a_title(read_file: ReadFile) -> None:
    read = read_file("guide.md", "# C# ##\n\none  \ntwo\n")

    assert [(record.topic, record.text) for record in read.records] == [("C#", "# C# ##\n\none  \ntwo")]


def test_a_fence_that_is_never_closed_does_not_take_the_rest_of_the_file(read_file: ReadFile) -> None:
    read = read_file("guide.md", "# A\n\n```\n" + "code\n\n" * 400 + "# B\n\nEnd.\n", max_line_bytes=1000)

    assert read.reasons[0] == "too_long" and read.quarantined[0].line == 1
    assert read.records[-1].topic == "B"


@pytest.mark.parametrize(("separator", "count"), [("\n", 3), ("\r", 3), ("\r\n\r\n", 3)])
def test_paragraphs_and_lines_are_told_apart_under_any_line_end(
    read_file: ReadFile, separator: str, count: int
) -> None:
    read = read_file("notes.txt", separator.join(["One.", "Two.", "Three."]) + separator)

    assert [record.text for record in read.records] == ["One.", "Two.", "Three."] and len(read.records) == count
