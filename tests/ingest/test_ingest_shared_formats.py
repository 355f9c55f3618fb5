"""Every file of a trainer's demo data gives records or a clear refusal; counts are taken with the json module alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ingest_makers import card_of

from workbench.core.errors import UsageError
from workbench.ingest.read import read_records

MEDIA = {"mllm_audio_demo.json", "mllm_demo.json", "mllm_video_audio_demo.json", "mllm_video_demo.json"}
REFUSED = MEDIA | {"v1_multimodal_demo.jsonl", "dataset_info.json"}
KINDS = {
    "alpaca_en_demo.json": "chat",
    "alpaca_zh_demo.json": "chat",
    "c4_demo.jsonl": "document",
    "dpo_en_demo.json": "preference",
    "dpo_zh_demo.json": "preference",
    "glaive_toolcall_en_demo.json": "chat",
    "glaive_toolcall_zh_demo.json": "chat",
    "identity.json": "chat",
    "kto_en_demo.json": "chat",
    "reason_tool_use_demo_50.jsonl": "chat",
    "v1_dpo_demo.jsonl": "preference",
    "v1_sft_demo.jsonl": "chat",
    "wiki_demo.txt": "document",
}


def raw_rows(path: Path) -> list[Any]:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        return list(json.loads(text))
    content = [line for line in text.split("\n") if line.strip()]
    return content if path.suffix == ".txt" else [json.loads(line) for line in content]


def test_every_data_file_is_accounted_for(shared_data: Path) -> None:
    files = {path.name for path in (shared_data / "formats").iterdir() if path.suffix in (".json", ".jsonl", ".txt")}

    assert files == set(KINDS) | REFUSED


@pytest.mark.parametrize("name", sorted(KINDS))
def test_every_row_becomes_a_record_of_its_kind(shared_data: Path, name: str) -> None:
    path = shared_data / "formats" / name
    reading = read_records(card_of(str(path)), shared_data)

    assert len(reading.records) == len(raw_rows(path))
    assert not reading.quarantined
    assert {record.kind for record in reading.records} == {KINDS[name]}
    assert all(record.answer().strip() for record in reading.records)


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_media_and_indexes_are_refused_with_the_reason(shared_data: Path, name: str) -> None:
    path = shared_data / "formats" / name
    with pytest.raises(UsageError) as caught:
        read_records(card_of(str(path)), shared_data)

    rows = 1 if name == "dataset_info.json" else len(raw_rows(path))
    reason = "unknown_shape" if name == "dataset_info.json" else "multimodal"
    assert f"{reason} in {rows} of {rows} rows" in str(caught.value)


def test_media_rows_among_others_go_to_quarantine_one_by_one(shared_data: Path, tmp_path: Path) -> None:
    for name in ("mllm_demo.json", "identity.json"):
        (tmp_path / name).write_bytes((shared_data / "formats" / name).read_bytes())
    reading = read_records(card_of("."), tmp_path)

    assert len(reading.records) == len(raw_rows(tmp_path / "identity.json"))
    assert [row.reason for row in reading.quarantined] == ["multimodal"] * len(raw_rows(tmp_path / "mllm_demo.json"))


@pytest.mark.parametrize("name", ["glaive_toolcall_en_demo.json", "glaive_toolcall_zh_demo.json"])
def test_turns_and_tool_calls_are_counted_as_the_file_has_them(shared_data: Path, name: str) -> None:
    path = shared_data / "formats" / name
    reading = read_records(card_of(str(path)), shared_data)

    raw = [turn for row in raw_rows(path) for turn in row["conversations"]]
    turns = [turn for record in reading.records for turn in record.messages]
    assert len(turns) == len(raw)
    assert sum(bool(turn.tool_calls) for turn in turns) == sum(turn["from"] == "function_call" for turn in raw)
    assert sum(turn.role == "tool" for turn in turns) == sum(turn["from"] == "observation" for turn in raw)
    assert [record.tools for record in reading.records] == [row["tools"] or None for row in raw_rows(path)]


def test_kto_labels_are_kept(shared_data: Path) -> None:
    path = shared_data / "formats" / "kto_en_demo.json"
    reading = read_records(card_of(str(path)), shared_data)

    assert [record.label for record in reading.records] == [row["label"] for row in raw_rows(path)]


def test_gsm8k_questions_and_answers_are_kept_word_for_word(shared_data: Path) -> None:
    path = shared_data / "benchmarks" / "gsm8k_test.jsonl"
    reading = read_records(card_of(str(path)), shared_data)

    assert [(record.prompt(), record.answer()) for record in reading.records] == [
        (row["question"], row["answer"]) for row in raw_rows(path)
    ]
