"""`workbench iterate` before anything is trained: the plan, the cost, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_runs import small_project, workbench


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return small_project(tmp_path)


def test_dry_run_shows_all_rounds_and_writes_nothing(project: Path) -> None:
    before = sorted(path.name for path in project.rglob("*"))
    shown = workbench("iterate", "--rounds", "1", "--seeds", "1", "--dry-run", "--json", cwd=project)
    assert shown.returncode == 0, shown.stderr
    document = json.loads(shown.stdout)
    assert (document["schema_version"], document["trainings"], document["expected_s"]) == (1, 2, None)
    names = [node["node"] for node in document["nodes"]]
    assert {"curate:development", "train:round-0", "synth:round-1", "gate:round-1"} <= set(names)
    assert "train:round-2" not in names
    assert sorted(path.name for path in project.rglob("*")) == before
    text = workbench("iterate", "--rounds", "2", "--dry-run", cwd=project)
    assert "compare:weaknesses-round-2" in text.stdout and "to do: 9 trainings" in text.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--rounds", "0"), ("--rounds",)),
        (("--seeds", "0"), ("--seeds",)),
        (("--budget", "soon"), ("--budget: 'soon'", "is no budget", "2h")),
        (("--seeds", "11"), ("--seeds", "less than or equal to 10")),
        (("--resume", "r", "--rounds", "2"), ("--resume", "which --rounds cannot change", "start a new run with it")),
        (("--budget", "50 requests"), ("no teacher is configured", "give a time")),
        (("--set", "iterate.development_max=9"), ("development_max 9 is not enough",)),
        (("--set", "curate.decontamination.enabled=false"), ("must be kept out of the data",)),
        (("--resume", "nothing"), ("no run named",)),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(project: Path, options: tuple[str, ...], words: tuple[str, ...]) -> None:
    shown = workbench("iterate", *options, cwd=project)
    assert shown.returncode == 2 and shown.stdout == "" and "Traceback" not in shown.stderr
    assert all(word in shown.stderr for word in words), shown.stderr


def test_data_without_documents_ends_before_anything_is_trained(project: Path) -> None:
    shown = workbench("iterate", "--quiet", "--set", "curate.count_tokens=false", cwd=project)
    assert shown.returncode == 3 and "conversations alone" in shown.stderr and "format: text" in shown.stderr
    assert "Traceback" not in shown.stderr and not (project / ".workbench" / "artifacts" / "train").exists()


def test_help_says_what_is_done_and_how_it_ends(project: Path) -> None:
    shown = workbench("iterate", "--help", cwd=project)
    assert shown.returncode == 0 and "find the topics known worst" in shown.stdout
    assert "Exit codes: 0 a round passed" in shown.stdout and "workbench iterate --rounds 2" in shown.stdout
