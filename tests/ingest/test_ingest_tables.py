from __future__ import annotations

import csv
import datetime
import io
import tempfile
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ingest_makers import ReadFile, card_of

from workbench.core.errors import UsageError
from workbench.ingest.read import read_records
from workbench.ingest.readers import delimited
from workbench.ingest.rows import DataFile, RawRow, ReadOptions

CELLS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00"), max_size=12)


@given(st.lists(st.tuples(CELLS, CELLS), max_size=6))
def test_csv_gives_back_every_cell_that_the_csv_module_wrote(rows: list[tuple[str, str]]) -> None:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, quoting=csv.QUOTE_ALL).writerows([("prompt", "completion"), *rows])
    with tempfile.TemporaryDirectory() as folder:
        file = DataFile(Path(folder) / "rows.csv", "rows.csv")
        file.path.write_bytes(buffer.getvalue().encode())
        read = list(delimited.read(file, ReadOptions(10_000, lambda message: None)))

    assert all(isinstance(item, RawRow) for item in read)
    assert [(item.values["prompt"], item.values["completion"]) for item in read if isinstance(item, RawRow)] == rows


def test_numbers_dates_and_missing_values_stay_text(read_file: ReadFile) -> None:
    cells = ["007", "NA", "None", "1e3", "2024-03-01", "true", "", "0042"]
    read = read_file("rows.csv", "question,answer\n" + "".join(f"What?,{cell}\n" for cell in cells))

    assert [record.answer() for record in read.records] == cells


def test_line_breaks_inside_quotes_belong_to_the_row(read_file: ReadFile) -> None:
    read = read_file("rows.csv", 'question,answer\n"a\nb","c ""d"""\nnext,row\n')

    assert [(record.prompt(), record.answer()) for record in read.records] == [("a\nb", 'c "d"'), ("next", "row")]
    assert [record.source.line for record in read.records] == [2, 4]


def test_an_unclosed_quote_costs_its_line_and_not_the_rest_of_the_file(read_file: ReadFile) -> None:
    read = read_file("rows.csv", 'question,answer\na,b\nc,"d\ne,f\ng,h\n')

    assert [record.prompt() for record in read.records] == ["a", "e", "g"]
    (bad,) = read.quarantined
    assert (bad.reason, bad.line, bad.byte) == ("bad_csv", 3, len("question,answer\na,b\n"))


def test_rows_with_another_number_of_fields_are_quarantined(read_file: ReadFile) -> None:
    read = read_file("rows.csv", "question,answer\na,b\na\na,b,c\n\nd,e\n")

    assert [record.prompt() for record in read.records] == ["a", "d"]
    assert read.reasons == ["wrong_field_count"] * 2
    assert [row.line for row in read.quarantined] == [3, 4]


def test_a_quoted_field_beyond_the_cap_is_stopped(read_file: ReadFile) -> None:
    read = read_file("rows.csv", 'question,answer\n"' + "x\n" * 2000 + "y,z\n", max_line_bytes=1000)

    assert read.reasons[0] == "too_long"
    assert read.records[-1].prompt() == "y"


def test_fields_longer_than_the_csv_modules_own_limit_are_read(read_file: ReadFile) -> None:
    read = read_file("rows.csv", f"question,answer\na,{'x' * 200_000}\n")

    assert len(read.records[0].answer()) == 200_000


@pytest.mark.parametrize(
    ("name", "mark", "said"), [("rows.tsv", "\t", False), ("rows.csv", ";", True), ("rows.csv", "\t", True)]
)
def test_other_separators_are_recognised_and_said(read_file: ReadFile, name: str, mark: str, said: bool) -> None:
    read = read_file(name, f"question{mark}answer\nCapital, of Peru?{mark}Lima\n")

    assert (read.records[0].prompt(), read.records[0].answer()) == ("Capital, of Peru?", "Lima")
    assert any("separated by" in warning for warning in read.warnings) == said


@pytest.mark.parametrize("header", ["question,question", ",", 'question,"answer'])
def test_a_header_that_cannot_name_the_columns_is_a_usage_error(read_file: ReadFile, header: str) -> None:
    with pytest.raises(UsageError, match=r"header|no column has a name"):
        read_file("rows.csv", f"{header}\na,b\n")


def test_a_bad_byte_in_a_utf8_table_costs_its_row_alone(read_file: ReadFile) -> None:
    read = read_file("rows.csv", "question,answer\ncafé,b\n".encode() + b"caf\xe9,b\nc,d\n")

    assert [record.prompt() for record in read.records] == ["café", "c"]
    assert read.reasons == ["bad_encoding"]


def test_parquet_values_become_the_text_a_person_would_write(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(
        {
            "question": ["When?", "How much?", "Who?"],
            "answer": ["then", None, "me"],
            "topic": ["time", "money", "people"],
            "asked": [datetime.datetime(2024, 3, 1), None, datetime.datetime(2024, 3, 2)],
            "price": [Decimal("1.50"), Decimal("2.00"), None],
        }
    )
    pq.write_table(table, tmp_path / "rows.parquet")
    reading = read_records(card_of("rows.parquet", columns={"part_of": "asked"}), tmp_path)

    assert [(record.prompt(), record.answer(), record.topic) for record in reading.records] == [
        ("When?", "then", "time"),
        ("Who?", "me", "people"),
    ]
    assert reading.records[0].source.part_of == "2024-03-01T00:00:00"
    assert [row.reason for row in reading.quarantined] == ["unknown_shape"]
    assert "answer (null)" in reading.quarantined[0].detail


def test_conversations_in_parquet_are_read_past_the_nulls_that_arrow_fills_in(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello", "name": "bot"}]},
        {"text": "A document."},
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=_conversation_schema()), tmp_path / "rows.parquet")
    reading = read_records(card_of("rows.parquet"), tmp_path)

    assert [record.kind for record in reading.records] == ["chat", "document"]


def _conversation_schema() -> object:
    import pyarrow as pa

    turn = pa.struct([("role", pa.string()), ("content", pa.string()), ("name", pa.string())])
    return pa.schema([("messages", pa.list_(turn)), ("text", pa.string())])


def test_pictures_in_parquet_are_refused_row_by_row(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [
        {"question": "What is this?", "answer": "A cat", "image": {"bytes": b"\x89PNG", "path": None}},
        {"question": "2 + 2?", "answer": "4", "image": None},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
    reading = read_records(card_of("rows.parquet"), tmp_path)

    assert [record.answer() for record in reading.records] == ["4"]
    assert [row.reason for row in reading.quarantined] == ["multimodal"]


@pytest.mark.parametrize("line_end", ["\r", "\r\n", "\n"])
def test_every_kind_of_line_end_ends_a_row_and_is_kept_inside_quotes(read_file: ReadFile, line_end: str) -> None:
    read = read_file("rows.csv", line_end.join(["question,answer", 'a,"one', 'two"', "", "c,d"]))

    assert [(record.prompt(), record.answer()) for record in read.records] == [("a", f"one{line_end}two"), ("c", "d")]
    assert [record.source.line for record in read.records] == [2, 5]


def test_columns_without_a_name_are_numbered_and_said(read_file: ReadFile) -> None:
    read = read_file("rows.csv", ",question,answer\n0,a,b\n1,c,d\n")  # as pandas writes its index

    assert [record.prompt() for record in read.records] == ["a", "c"]
    assert read.warnings == ["rows.csv:1: columns without a name: column 1"]


def test_a_header_in_the_middle_of_joined_files_is_no_row(read_file: ReadFile) -> None:
    read = read_file("rows.csv", "\ufeffquestion,answer\na,b\n\ufeffquestion,answer\nc,d\n")

    assert [record.prompt() for record in read.records] == ["a", "c"]
    assert [(row.reason, row.line) for row in read.quarantined] == [("repeated_header", 3)]


def test_a_quote_that_is_never_closed_reads_no_further_than_the_cap(read_file: ReadFile) -> None:
    rows = [f"{number},{number}" for number in range(3000)]
    read = read_file("rows.csv", "\n".join(["question,answer", *rows[:5], 'c,"d', *rows[5:]]), max_line_bytes=1000)

    assert [record.prompt() for record in read.records] == [row.split(",")[0] for row in rows]
    assert [(row.reason, row.line, row.excerpt) for row in read.quarantined] == [("too_long", 7, 'c,"d\n')]


def test_a_row_of_blank_text_in_quotes_is_no_blank_line(read_file: ReadFile) -> None:
    read = read_file("rows.csv", 'question,answer\n"\n\n"\n\na,b\n')

    assert read.reasons == ["wrong_field_count"] and len(read.records) == 1


def test_tables_in_utf16_are_read_with_exact_offsets(read_file: ReadFile) -> None:
    content = 'question,answer\né,"1\n2"\nbad\nc,d\n'.encode("utf-16")
    read = read_file("rows.csv", content)

    assert [record.answer() for record in read.records] == ["1\n2", "d"]
    assert read.quarantined[0].byte == content.index("bad".encode("utf-16-le"))
