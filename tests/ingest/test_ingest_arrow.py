from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from ingest_files import arrow_file, arrow_stream, parquet
from ingest_makers import ReadFile, RunStage, card_of

from workbench.core.errors import IncompleteError, UsageError
from workbench.core.nodes import IngestNode
from workbench.ingest.read import read_records
from workbench.ingest.stage import STAGE

ROWS = [{"question": f"Question {n}?", "answer": random.Random(n).randbytes(40).hex()} for n in range(1000)]
ANSWERS = [row["answer"] for row in ROWS]


@pytest.mark.parametrize("name", ["rows.arrow", "rows.feather"])
@pytest.mark.parametrize("make", [arrow_file, arrow_stream])
def test_arrow_files_and_streams_give_their_rows_under_either_name(
    read_file: ReadFile, name: str, make: object
) -> None:
    assert callable(make)
    for batch_rows in (100, 1000):
        read = read_file(name, make(ROWS, batch_rows))
        assert [record.answer() for record in read.records] == ANSWERS
        assert [record.source.row for record in read.records] == list(range(1000))


def test_feather_as_pyarrow_writes_it_is_read(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import feather

    feather.write_feather(pa.Table.from_pylist(ROWS), str(tmp_path / "rows.feather"))  # compressed with LZ4

    assert [record.answer() for record in read_records(card_of("rows.feather"), tmp_path).records] == ANSWERS


@pytest.mark.parametrize("make", [arrow_file, arrow_stream])
def test_of_a_cut_arrow_file_the_batches_before_the_cut_are_read(read_file: ReadFile, make: object) -> None:
    assert callable(make)
    whole = make(ROWS)
    read = read_file("rows.arrow", whole[: len(whole) // 2])

    kept = len(read.records)
    assert kept in (400, 500) and [record.answer() for record in read.records] == ANSWERS[:kept]
    assert read.reasons == ["damaged_file"] and read.quarantined[0].row == kept


def test_a_damaged_row_group_of_parquet_costs_its_rows_and_no_other(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    (tmp_path / "rows.parquet").write_bytes(parquet(ROWS, 250))
    content = bytearray((tmp_path / "rows.parquet").read_bytes())
    start = pq.ParquetFile(tmp_path / "rows.parquet").metadata.row_group(1).column(1).data_page_offset
    content[start - 100 : start + 100] = b"\xff" * 200
    (tmp_path / "rows.parquet").write_bytes(content)
    reading = read_records(card_of("rows.parquet"), tmp_path)

    assert [record.answer() for record in reading.records] == ANSWERS[:250] + ANSWERS[500:]
    assert [record.source.row for record in reading.records] == [*range(250), *range(500, 1000)]
    assert [(bad.reason, bad.row) for bad in reading.quarantined] == [("damaged_file", row) for row in range(250, 500)]
    assert reading.tally.rows == 1000
    assert "row group 2 of 4 is damaged, rows 250 to 499 are lost" in reading.quarantined[0].detail


@pytest.mark.parametrize("content", [b"PAR1 but not really", b"", parquet(ROWS)[:-20]])
def test_a_file_that_is_no_parquet_is_incomplete_and_says_why(read_file: ReadFile, content: bytes) -> None:
    with pytest.raises(IncompleteError, match=r"damaged_file in 1 of 1 rows.*Parquet"):
        read_file("rows.parquet", content)


@pytest.mark.parametrize("name", ["rows.parquet", "rows.arrow"])
def test_a_value_that_is_no_text_costs_its_row_alone(tmp_path: Path, name: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    raw = pa.array([b"one", b"\xff\xfe", b"three"], pa.binary())
    table = pa.table({"text": pa.Array.from_buffers(pa.string(), 3, raw.buffers())})
    if name == "rows.parquet":
        pq.write_table(table, tmp_path / name)
    else:
        with pa.ipc.new_stream(str(tmp_path / name), table.schema) as writer:
            writer.write_table(table)
    reading = read_records(card_of(name), tmp_path)

    assert [record.text for record in reading.records] == ["one", "three"]
    assert [(row.reason, row.row) for row in reading.quarantined] == [("bad_value", 1)]


def test_rows_beyond_the_cap_are_quarantined(tmp_path: Path) -> None:
    (tmp_path / "rows.parquet").write_bytes(parquet([{"text": "x" * 2000}, {"text": "short"}]))
    reading = read_records(card_of("rows.parquet", max_line_bytes=1000), tmp_path)

    assert [record.text for record in reading.records] == ["short"]
    assert [row.reason for row in reading.quarantined] == ["too_long"]


def test_numbers_of_single_precision_are_written_as_short_as_they_were(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    answers = pa.array([0.1, 3.0, None], pa.float32())
    pq.write_table(pa.table({"question": ["a", "b", "c"], "answer": answers}), tmp_path / "rows.parquet")
    reading = read_records(card_of("rows.parquet"), tmp_path)

    assert [record.answer() for record in reading.records] == ["0.1", "3.0"]
    assert [row.reason for row in reading.quarantined] == ["unknown_shape"]


@pytest.mark.parametrize("name", ["rows.parquet", "rows.arrow"])
def test_two_columns_of_one_name_are_a_usage_error(tmp_path: Path, name: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table([pa.array(["x"]), pa.array(["y"])], names=["text", "text"])
    if name == "rows.parquet":
        pq.write_table(table, tmp_path / name)
    else:
        with pa.ipc.new_file(str(tmp_path / name), table.schema) as writer:
            writer.write_table(table)
    with pytest.raises(UsageError, match="column 'text' appears twice"):
        read_records(card_of(name), tmp_path)


def test_a_saved_dataset_is_read_from_the_tables_it_lists_with_its_splits(
    tmp_path: Path, run_stage: RunStage
) -> None:
    import datasets

    datasets.disable_progress_bars()
    rows = datasets.Dataset.from_list(ROWS)
    datasets.DatasetDict(train=rows.shuffle(seed=1).select(range(50)), test=rows.select(range(5))).save_to_disk(
        str(tmp_path / "saved")
    )
    (tmp_path / "saved" / "train" / "cache-1234.arrow").write_bytes(arrow_stream(ROWS))
    warnings: list[str] = []
    reading = read_records(card_of("saved"), tmp_path, warnings.append)

    assert not reading.quarantined and not warnings
    by_split = {
        split: [record.answer() for record in reading.records if record.source.split == split]
        for split in ("train", "test")
    }
    assert by_split["test"] == ANSWERS[:5]
    assert by_split["train"] == rows.shuffle(seed=1).select(range(50))["answer"][:]
    assert set(STAGE.external(IngestNode(card=card_of("saved"), seed=0), tmp_path)) == {
        "saved/test/data-00000-of-00001.arrow",
        "saved/train/data-00000-of-00001.arrow",
    }


def test_a_saved_dataset_that_lists_files_elsewhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.arrow").write_bytes(arrow_stream(ROWS))
    (tmp_path / "saved").mkdir()
    for name in ("../rows.arrow", "absent.arrow"):
        (tmp_path / "saved" / "state.json").write_text(json.dumps({"_data_files": [{"filename": name}]}))
        with pytest.raises(UsageError, match="not in its folder"):
            read_records(card_of("saved"), tmp_path)


def test_a_state_json_of_another_kind_is_data(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "state.json").write_text(json.dumps([{"text": "Oregon"}]))

    assert [record.text for record in read_records(card_of("data"), tmp_path).records] == ["Oregon"]
