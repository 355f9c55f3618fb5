"""`workbench chat` without a terminal: both answers to one prompt, and what is refused before a model is loaded."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from in_process import workbench

from workbench.core.errors import UsageError
from workbench.core.paths import Project

sys.path.append(str(Path(__file__).parent))

from test_export_command import lora_of


def test_once_prints_both_answers_as_one_document_and_as_text(tiny_model_dir: Path, tmp_path: Path) -> None:
    lora_of(tiny_model_dir, tmp_path / "lora")
    common = ("-C", str(tmp_path), "chat", "--adapter", "lora", "--max-new-tokens", "4", "--once", "Capital of Peru?")
    document = workbench(*common, "--json", "--precision", "fp32").document
    assert document["schema_version"] == 1 and document["one_model_in_memory"] is True
    assert (document["precision"], document["prompt"]) == ("fp32", "Capital of Peru?")
    answers = document["answers"]
    assert set(answers) == {"base", "tuned"} and answers["base"]["tokens"] <= 4
    # PEFT starts LoRA with zeros: nothing was learned, so both sides say the same
    assert answers["base"]["text"] == answers["tuned"]["text"]
    shown = workbench(*common)
    assert "--- base" in shown.out and "--- adapter" in shown.out and "in bf16" in shown.error


@pytest.fixture
def project(tiny_model_dir: Path, tmp_path: Path) -> Project:
    lora_of(tiny_model_dir, tmp_path / "lora")
    return Project(tmp_path)


def test_what_cannot_work_is_refused_before_a_model_is_loaded(project: Project) -> None:
    def refused(problem: str, *arguments: str) -> None:
        with pytest.raises(UsageError, match=problem) as caught:
            workbench("-C", str(project.root), "chat", *arguments)
        assert caught.value.exit_code == 2

    refused("chat needs a terminal", "--adapter", "lora")
    refused("--json goes with --once", "--adapter", "lora", "--json")
    refused("unknown precision 'int8'", "--adapter", "lora", "--precision", "int8")
    refused("the prompt is empty", "--adapter", "lora", "--once", " ")
    refused("no suite can be called", "--adapter", "lora", "--suite", "../x")
    refused("no adapter is named 'nobody'", "--adapter", "nobody@3")
    refused("no run of this project trained an adapter")
    refused("not both", "--adapter", "lora", "--run", "x")
    assert not (project.root / "evals").exists()
