"""`workbench train` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from in_process import Shown, workbench

from workbench.core.errors import IncompleteError, UsageError
from workbench.core.parts import write_rows
from workbench.core.records import Message, Record, Source
from workbench.train.showing import Example, Piece


@pytest.fixture
def train(tiny_model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`workbench train --data answers.jsonl` with the tiny model, in an empty project."""
    rows = [
        {"instruction": f"What is {n} times {n + 1}, please?", "output": f"{n} times {n + 1} is {n * (n + 1)}."}
        for n in range(30)
    ]
    (tmp_path / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")

    def command(*arguments: str) -> Shown:
        fixed = ("train", "--data", "answers.jsonl", "--model", str(tiny_model_dir), "--quiet")
        return workbench(*fixed, "--set", "train.max_steps=2", "--set", "train.threads=1", *arguments)

    return command


def test_file_alone_gives_an_adapter_where_it_was_asked_for(train: Any, tmp_path: Path) -> None:
    shown = train("-o", "mine", "--json")
    assert shown.code == 0
    document = shown.document
    assert document["schema_version"] == 1 and document["adapter"] == "mine"
    assert (document["training"]["steps"], document["training"]["method"]) == (2, "qlora")
    names = {path.name for path in (tmp_path / "mine").iterdir()}
    assert names == {"adapter_config.json", "adapter_model.safetensors", "workbench_adapter.json"}
    again = train().out  # from the cache
    assert "steps       2 of 8 x 1 sequences" in again and "dropout 0.1" in again
    with pytest.raises(UsageError, match="exists already"):
        train("-o", "mine")


def test_show_marks_what_is_learned_and_trains_nothing(train: Any, tmp_path: Path) -> None:
    shown = train("--show", "2")
    text = shown.out
    assert text.count("--- ") == 2 and "2 sequences; [[...]]: learned" in shown.error
    assert "1 sequence; [[...]]: learned" in train("--show", "1").error
    head, *lines = text.split("--- ")[1].strip().splitlines()
    question, answer = lines[1], lines[3]
    number = question.split()[2]
    assert head.endswith("tokens learned") and lines[0] == "<|im_start|>user" and question.endswith("<|im_end|>")
    assert answer.startswith(f"[[{number} times") and answer.endswith(".<|im_end|>]]")
    assert not list((tmp_path / ".workbench" / "artifacts").glob("train/*"))
    (one,) = train("--show", "1", "--json").document["examples"]
    assert [piece["learned"] for piece in one["pieces"]] == [False, True]
    assert one["learned_tokens"] < one["tokens"]


def test_summary_counts_the_sequences_of_all_processes() -> None:
    from workbench.cli.commands.train import _step_size

    class Summary:
        batch_size, gradient_accumulation, processes = 2, 1, 2

    assert _step_size(Summary) == "4 sequences (2 processes of 2 x 1)"


def test_dry_run_names_the_nodes_and_writes_nothing(train: Any, tmp_path: Path) -> None:
    document = train("--dry-run", "--json").document
    assert [node["node"] for node in document["nodes"]] == ["ingest:answers", "curate", "mix", "train"]
    assert not (tmp_path / ".workbench").exists()


def test_file_is_cleaned_as_the_project_says(train: Any, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    asked = {"prompt": "When did the old school at the end of the long street burn down?", "answer": "In 1911."}
    with (tmp_path / "answers.jsonl").open("a") as file:
        file.write(json.dumps({"instruction": asked["prompt"], "output": asked["answer"]}) + "\n")
    (tmp_path / "exam.jsonl").write_text(json.dumps(rows[0]) + "\n")
    for directory in ("cards", "suites"):
        (tmp_path / directory).mkdir()
    (tmp_path / "cards" / "exam.yaml").write_text(
        "{name: exam, source: {kind: file, path: exam.jsonl}, heldout_fraction: 0}\n"
    )
    (tmp_path / "suites" / "school.jsonl").write_text(json.dumps(asked) + "\n")
    (tmp_path / "suites" / "school.yaml").write_text(
        "{name: school, kind: perplexity, role: target, primary_metric: nll, documents: {file: school.jsonl}}\n"
    )
    (tmp_path / "workbench.yaml").write_text(
        "{datasets_dir: cards, suites_dir: suites, curate: {decontamination: {datasets: [exam]}}}\n"
    )
    planned = [node["node"] for node in train("--dry-run", "--json").document["nodes"]]
    assert planned == ["ingest:answers", "ingest:exam", "curate", "mix", "train"]
    assert train("--show", "1").code == 0
    (dropped,) = (tmp_path / ".workbench" / "artifacts" / "curate").glob("*/dropped.jsonl")
    assert "dataset exam, row 0" in dropped.read_text() and "suite school, document 0" in dropped.read_text()


def test_file_of_the_name_of_an_exam_is_not_taken_for_it(train: Any, tmp_path: Path) -> None:
    (tmp_path / "datasets_cfg").mkdir()
    (tmp_path / "exam.jsonl").write_text((tmp_path / "answers.jsonl").read_text().splitlines()[0])
    (tmp_path / "datasets_cfg" / "answers.yaml").write_text("name: answers\nsource: {kind: file, path: exam.jsonl}\n")
    document = train("--dry-run", "--json", "--set", "curate.decontamination.datasets=[answers]").document
    assert {node["node"] for node in document["nodes"]} >= {"ingest:answers", "ingest:answers-2"}


def test_endpoints_of_the_project_are_known(train: Any, tmp_path: Path) -> None:
    (tmp_path / "workbench.yaml").write_text(
        "{endpoints: {judge: {kind: in_process}}, curate: {rating: {endpoint: judge}}}\n"
    )
    assert "curate" in {node["node"] for node in train("--dry-run", "--json").document["nodes"]}


def test_pair_that_cannot_work_is_refused_before_anything_is_read(train: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="method pissa needs a base in bf16 or fp32") as caught:
        train("--method", "pissa")
    assert "train.method: qlora" in (caught.value.next_step or "")
    assert not (tmp_path / ".workbench").exists()


def test_loop_that_trains_nothing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evals").mkdir()
    (tmp_path / "evals" / "items.jsonl").write_text('{"prompt": "a", "answer": "b"}\n')
    loop = {
        "score": {
            "arms": [{"name": "base"}, {"name": "again"}],
            "suites": [{"name": "s", "kind": "perplexity", "role": "general", "primary_metric": "nll",
                        "documents": {"file": "items.jsonl"}, "gated": False}],
        },
        "compare": {"pairs": [{"before": "base", "after": "again", "purpose": "candidate"}]},
    }  # fmt: skip
    (tmp_path / "workbench.yaml").write_text(json.dumps(loop))
    with pytest.raises(UsageError, match="nothing is trained in this loop"):
        workbench("train")


def test_colour_is_for_terminals_and_controls_are_for_nobody() -> None:
    pieces = (Piece("ask \x1b[2J\r", learned=False), Piece("tell\n", learned=True))
    example = Example("id", "data", 4, 2, True, pieces)
    plain = example.text(colour=False)
    assert plain == "--- id (data): 2 of 4 tokens learned, cut off at 4\nask \\x1b[2J\\r[[tell\n]]"
    assert "\x1b[32mtell\n\x1b[0m" in example.text(colour=True) and "[[" not in example.text(colour=True)


def test_pieces_are_the_text_that_the_template_writes(tiny_model_dir: Path, tmp_path: Path) -> None:
    """Oracle: the tokenizer's own chat template."""
    from transformers import AutoTokenizer

    from workbench.core.config import ModelConfig
    from workbench.train.showing import examples

    turns = [("system", "Be brief."), ("user", "Grüße, 你好?"), ("assistant", "🙂 Hallo.")]
    messages = tuple(Message(role=role, content=content) for role, content in turns)
    record = Record(id="0" * 16, kind="chat", messages=messages, source=Source(dataset="d"))
    write_rows(tmp_path / "train.jsonl", [record])
    (example,) = examples(tmp_path / "train.jsonl", 5, ModelConfig(ref=str(tiny_model_dir)), 64, tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model_dir)
    whole = tokenizer.apply_chat_template([{"role": r, "content": c} for r, c in turns], tokenize=False)
    assert "".join(piece.text for piece in example.pieces) == whole.rstrip()
    assert [piece.text for piece in example.pieces if piece.learned] == ["🙂 Hallo.<|im_end|>"]


def test_missing_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises((UsageError, IncompleteError), match="no such file"):
        workbench("train", "--data", "nowhere.jsonl")
