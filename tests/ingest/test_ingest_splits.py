from __future__ import annotations

import json
from pathlib import Path

import pytest
from ingest_makers import ReadFile, RunStage, card_of

from workbench.core.parts import read_rows
from workbench.core.records import Record
from workbench.ingest.read import read_records
from workbench.ingest.splits import split_of

ROW = '{"text": "%s"}\n'


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("train.jsonl", "train"),
        ("test.jsonl", "test"),
        ("train-00000-of-00002.parquet", "train"),
        ("gsm8k_test.jsonl", "test"),
        ("validation/part-0.csv", "validation"),
        ("squad-dev.json.gz", "validation"),
        ("VAL.CSV", "validation"),
        ("valid.txt", "validation"),
        ("eval/rows.jsonl", "validation"),
        ("test/train.jsonl", "train"),
        ("data.test/rows.jsonl", "test"),
        ("latest.jsonl", None),
        ("contest.jsonl", None),
        ("trainer.jsonl", None),
        ("evaluate_me.jsonl", None),
        ("testimony/attest.jsonl", None),
        ("train_test.jsonl", None),
        ("rows.jsonl", None),
    ],
)
def test_a_split_is_a_whole_word_of_the_nearest_name_that_has_one(path: str, split: str | None) -> None:
    assert split_of(path) == split


def test_records_carry_the_split_of_file_or_folder_into_the_part(tmp_path: Path, run_stage: RunStage) -> None:
    names = ("data/train.jsonl", "data/test/rows.jsonl", "data/dev-00000-of-00001.csv", "data/more.jsonl")
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("text\nx\n" if name.endswith("csv") else ROW % name)
    run = run_stage(card_of("data", heldout_fraction=0))

    found = {record.source.file: record.source.split for record in read_rows(run.out / "records.jsonl", Record)}
    assert found == {name: split_of(name.removeprefix("data/")) for name in names}
    assert set(found.values()) == {"train", "test", "validation", None}


def test_folders_above_the_named_data_say_nothing(tmp_path: Path) -> None:
    (tmp_path / "test" / "data").mkdir(parents=True)
    (tmp_path / "test" / "data" / "rows.jsonl").write_text(ROW % "x")
    project = tmp_path / "project"
    project.mkdir()
    folder = tmp_path / "test" / "data"
    for path in (folder, folder / "rows.jsonl", folder / "*.jsonl"):
        assert read_records(card_of(str(path)), project).records[0].source.split is None


def test_lists_under_split_names_and_a_split_column_say_it_too(read_file: ReadFile) -> None:
    wrapped = read_file("rows.json", json.dumps({"train": [{"text": "a"}], "test": [{"text": "b"}], "version": 1}))
    column = read_file("rows.jsonl", '{"text": "a", "split": "Test"}\n{"text": "b", "split": "fold 3"}\n')

    assert [(record.text, record.source.split) for record in wrapped.records] == [("a", "train"), ("b", "test")]
    assert [record.source.split for record in column.records] == ["test", None]
