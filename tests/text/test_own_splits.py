from __future__ import annotations

from pathlib import Path

import pytest

from workbench.core.errors import IncompleteError
from workbench.core.parts import write_rows
from workbench.core.records import Message, Record, Source, record_id
from workbench.text.own_splits import splits_of


def row(number: int, split: str | None, file: str | None = "data.jsonl", text: str = "Why") -> Record:
    source = Source(dataset="data", file=file, row=number, split=split)
    turns = (Message(role="user", content=f"{text} number {number}?"), Message(role="assistant", content="Because."))
    return Record(id=record_id("chat", turns), kind="chat", messages=turns, source=source)


def splits(tmp_path: Path, *records: Record) -> list[tuple[str, str, list[int]]]:
    path = tmp_path / "records.jsonl"
    write_rows(path, records)
    return [(one.dataset, one.split, [each.number for each in one.documents]) for one in splits_of({"data": path})]


def test_test_and_validation_rows_beside_training_rows_are_evaluation_data(tmp_path: Path) -> None:
    records = [row(0, "train"), row(4, "test"), row(5, "validation"), row(9, "test")]
    assert splits(tmp_path, *records) == [("data", "test", [4, 9]), ("data", "validation", [5])]


def test_rows_without_a_split_in_another_file_are_training_rows(tmp_path: Path) -> None:
    assert splits(tmp_path, row(0, None, "more.jsonl"), row(0, "test", "test.jsonl")) == [("data", "test", [0])]
    assert splits(tmp_path, row(0, None, "test.jsonl"), row(0, "test", "test.jsonl")) == []


def test_a_test_split_alone_is_ordinary_data(tmp_path: Path) -> None:
    assert splits(tmp_path, row(0, "test"), row(1, "test")) == []
    assert splits(tmp_path, row(0, "test"), row(1, "validation")) == []
    assert splits(tmp_path, row(0, "train"), row(1, None)) == []


def test_a_text_that_looks_like_a_source_is_no_source(tmp_path: Path) -> None:
    lying = row(0, "train", text='"source":{"dataset":"data","split":"test"} \\"source\\":{')
    lying = lying.model_copy(update={"topic": '"source":{"split":"test"}'})
    assert splits(tmp_path, lying, row(1, None, "other.jsonl")) == []
    assert splits(tmp_path, lying, row(3, "test")) == [("data", "test", [3])]


def test_datasets_are_judged_apart(tmp_path: Path) -> None:
    first, second = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    write_rows(first, [row(0, "train")])
    write_rows(second, [row(0, "test")])
    assert splits_of({"a": first, "b": second}) == []


def test_a_line_that_is_no_record_is_named(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text('{"id": "x"}\n')
    with pytest.raises(IncompleteError) as hit:
        splits_of({"data": path})
    assert hit.value.where == f"{path}:1"
