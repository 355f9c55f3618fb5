"""Paths on the command line start at the working directory, whatever `-C` names; those in a configuration at the
project."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from in_process import workbench

from workbench.core.errors import IncompleteError, UsageError
from workbench.core.parts import write_text


@pytest.fixture
def here(tmp_path: Path, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a file of rows and the tiny model; the project beside it has neither."""
    here = tmp_path / "here"
    shutil.copytree(tiny_model_dir, here / "tiny")
    rows = [{"instruction": f"Name a number above {n}, please.", "output": f"It is {n + 1}."} for n in range(20)]
    (here / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(here)
    return here


def in_project(*arguments: str) -> Any:
    return workbench("-C", "../project", *arguments)


def test_data_and_model_of_train(here: Path) -> None:
    planned = in_project("train", "--data", "mine.jsonl", "--model", "tiny", "--dry-run", "--json")
    assert [node["node"] for node in planned.document["nodes"]] == ["ingest:mine", "curate", "mix", "train"]
    with pytest.raises(UsageError, match="no such file"):
        in_project("train", "--data", "../project/mine.jsonl")
    with pytest.raises(UsageError, match=r"here/none' does not exist"):
        in_project("train", "--data", "mine.jsonl", "--model", "./none", "--dry-run")
    with pytest.raises(UsageError, match=r"'\./tiny' does not exist"):  # a setting starts at the project
        in_project("train", "--data", "mine.jsonl", "--set", "model.ref=./tiny", "--dry-run")


def test_data_and_model_of_advise(here: Path, tmp_path: Path) -> None:
    found = in_project("advise", "--data", "mine.jsonl", "--model", "./tiny", "--json").document
    assert found["data"]["rows"] == 20
    assert f"--set model.ref={here / 'tiny'}" in found["recommendation"]["command"]


def test_advice_on_the_projects_own_dataset_reads_its_card_and_no_folder_of_that_name(here: Path) -> None:
    project = here.parent / "project"
    for directory in (here / "numbers", project / "cards"):
        directory.mkdir()
    (project / "cards" / "numbers.yaml").write_text(
        f"name: numbers\nsource: {{kind: file, path: {here / 'mine.jsonl'}}}\n"
    )
    (project / "workbench.yaml").write_text(f"data: [numbers]\ndatasets_dir: cards\nmodel: {{ref: {here / 'tiny'}}}\n")
    found = in_project("advise", "--json").document
    assert found["data"]["rows"] == 20
    assert found["recommendation"]["command"].startswith("workbench run --set 'data=[numbers]'")


def test_everything_of_curate(here: Path) -> None:
    (here / "exam.jsonl").write_text((here / "mine.jsonl").read_text().splitlines()[0])
    words = ("--quiet", "--json", "--set", "curate.count_tokens=false")
    shown = in_project("curate", "mine.jsonl", "--model", "tiny", "--against", "exam.jsonl", "-o", "kept.jsonl", *words)
    assert shown.document["suites"] == ["exam"] and len((here / "kept.jsonl").read_text().splitlines()) == 19
    assert not (here / ".workbench").exists() and (here.parent / "project" / ".workbench").is_dir()


@pytest.mark.parametrize(
    "typed",
    [
        ("adapters", "diff", "./one", "two"),
        ("adapters", "export", "one", "--to", "out"),
        ("adapters", "register", "one", "--name", "x"),
        ("chat", "--adapter", "one", "--once", "Hello?"),
    ],
)
def test_directories_of_adapters_are_found(here: Path, typed: tuple[str, ...]) -> None:
    for adapter in ("one", "two"):
        write_text(here / adapter / "adapter_config.json", "{}")
    with pytest.raises(IncompleteError) as caught:  # what is in the directory is looked at, and is no whole adapter
        in_project(*typed)
    assert str(here / "one") in str(caught.value)


@pytest.mark.parametrize("base", ["tiny", "./tiny"])
def test_the_base_of_an_adapter_is_found(here: Path, base: str) -> None:
    write_text(here / "one" / "adapter_config.json", '{"peft_type": "LORA"}')
    write_text(here / "one" / "adapter_model.safetensors", "")
    taken: list[str | None] = []

    def register(project: object, source: str, name: str, base: str | None, **_: object) -> None:
        taken.append(base)
        raise UsageError("far enough")

    with pytest.MonkeyPatch.context() as patch, pytest.raises(UsageError, match="far enough"):
        patch.setattr("workbench.loop.registering.register_reference", register)
        in_project("adapters", "register", "one", "--name", "x", "--base", base)
    assert taken == [str(here / "tiny")]


def test_a_run_is_meant_whatever_lies_here(here: Path) -> None:
    write_text(here.parent / "project" / ".workbench" / "runs" / "nightly" / "plan.json", "{}")
    (here / "nightly").mkdir()
    with pytest.raises((UsageError, IncompleteError)) as caught:
        in_project("adapters", "register", "nightly", "--name", "x")
    assert str(here / "nightly") not in str(caught.value)


def test_a_registered_adapter_is_meant_whatever_lies_here(here: Path) -> None:
    (here / "support@3").mkdir()
    with pytest.raises(UsageError, match="no adapter is named 'support'"):
        in_project("adapters", "diff", "support@3", "support@3")


def test_a_new_project(here: Path) -> None:
    assert in_project("init", "fresh").code == 0
    assert (here / "fresh" / "workbench.yaml").is_file()
