from __future__ import annotations

import json
from pathlib import Path

import pytest
from ingest_makers import ReadFile, RunStage, card_of

from workbench.core.parts import read_rows
from workbench.core.records import Record
from workbench.ingest.read import read_records
from workbench.ingest.splits import split_named, splits_of

ROW = '{"text": "%s"}\n'


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("train.jsonl", "train"),
        ("test.jsonl", "test"),
        ("train-00000-of-00002.parquet", "train"),
        ("test-00000-of-00001.jsonl.gz", "test"),
        ("train-1.csv", "train"),
        ("validation/part-0.csv", "validation"),
        ("VAL.CSV", "validation"),
        ("valid.txt", "validation"),
        ("eval/rows.jsonl", "validation"),
        ("test/train.jsonl", "train"),
        ("test/part-00000.jsonl", "test"),
        ("gsm8k_test.jsonl", None),
        ("squad-dev.json.gz", None),
        ("unit_test_generation.jsonl", None),
        ("self-eval-notes.jsonl", None),
        ("A_B test results.jsonl", None),
        ("data.test/rows.jsonl", None),
        ("latest.jsonl", None),
        ("contest.jsonl", None),
        ("trainer.jsonl", None),
        ("evaluate_me.jsonl", None),
        ("testimony/attest.jsonl", None),
        ("train_test.jsonl", None),
        ("rows.jsonl", None),
    ],
)
def test_a_split_is_the_whole_of_the_nearest_name_that_is_one(path: str, split: str | None) -> None:
    assert splits_of([path]) == [split]


@pytest.mark.parametrize(
    ("paths", "splits"),
    [
        (["x_train.jsonl", "x_test.jsonl", "x.jsonl"], ["train", "test", None]),
        (["x-train.jsonl", "x-dev.json.gz"], ["train", "validation"]),
        (["test_x.csv", "train_x.csv", "train_y.csv"], ["test", "train", None]),
        (["x_train-00000-of-00002.parquet", "x_val-00000-of-00001.parquet"], ["train", "validation"]),
        (["x_train/rows.jsonl", "x_test/rows.jsonl"], ["train", "test"]),
        (["a/x_train.jsonl", "b/x_test.jsonl"], [None, None]),
        (["x_train.jsonl", "y_test.jsonl"], [None, None]),
        (["x_dev.jsonl", "x_test.jsonl"], [None, None]),
        (["train_test.jsonl", "train_unit.jsonl"], [None, None]),
        (["unit_test_generation.jsonl", "math.jsonl"], [None, None]),
    ],
)
def test_a_word_of_a_name_says_it_beside_the_same_name_with_train(paths: list[str], splits: list[str | None]) -> None:
    assert splits_of(paths) == splits


@pytest.mark.parametrize(
    ("name", "split"),
    [("train_sft", "train"), ("test[:10%]", "test"), ("validation_matched", "validation"), ("train-test", None)],
)
def test_a_word_is_enough_in_the_name_of_a_hubs_split(name: str, split: str | None) -> None:
    assert split_named(name) == split


def test_records_carry_the_split_of_file_or_folder_into_the_part(tmp_path: Path, run_stage: RunStage) -> None:
    names = ("data/train.jsonl", "data/test/rows.jsonl", "data/dev-00000-of-00001.csv", "data/more.jsonl")
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("text\nx\n" if name.endswith("csv") else ROW % name)
    run = run_stage(card_of("data", heldout_fraction=0))

    found = {record.source.file: record.source.split for record in read_rows(run.out / "records.jsonl", Record)}
    assert list(map(found.get, names)) == ["train", "test", "validation", None]


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
