"""`workbench ablate` before anything is trained: the plan, the cost, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_runs import small_project, workbench


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return small_project(tmp_path, "train: {max_steps: 60}\n")


def test_dry_run_shows_nodes_and_what_is_to_be_done_and_writes_nothing(project: Path) -> None:
    before = sorted(path.name for path in project.rglob("*"))
    options = ("--seeds", "2", "--arms", "filtered, random", "--dry-run", "--json")
    shown = workbench("ablate", *options, cwd=project)
    assert shown.returncode == 0, shown.stderr
    document = json.loads(shown.stdout)
    assert (document["trainings"], document["scorings"], document["expected_s"]) == (4, 5, None)
    names = [node["node"] for node in document["nodes"]]
    assert names[-1] == "compare:ablation" and {"train:filtered-s1", "score:random-s0"} <= set(names)
    assert sorted(path.name for path in project.rglob("*")) == before
    text = workbench("ablate", "--seeds", "2", "--dry-run", cwd=project)
    assert "train:dropped-s1" in text.stdout and "to do: 8 trainings, 9 scorings" in text.stderr


def test_a_filter_may_be_asked_about_alone(project: Path) -> None:
    every, one = (
        {node["node"]: node["fingerprint"] for node in json.loads(shown.stdout)["nodes"]}
        for shown in (
            workbench("ablate", "--dry-run", "--json", *filters, cwd=project)
            for filters in ((), ("--filter", "repetition"))
        )
    )
    assert every["ingest:mine"] == one["ingest:mine"] and every["curate"] != one["curate"]


def test_arms_that_would_train_for_different_times_are_refused(tmp_path: Path) -> None:
    shown = workbench("ablate", "--dry-run", cwd=small_project(tmp_path))
    assert shown.returncode == 2 and "train.max_steps" in shown.stderr and "set train.max_steps" in shown.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--filter", "repetitoin"), ("no filter or reason 'repetitoin'", "repetition")),
        (("--arms", "filtered,all"), ("must be among the arms", "ablate.arms")),
        (("--arms", "filtered,random,best"), ("ablate.arms",)),
        (("--seeds", "0"), ("--seeds",)),
        (("--resume", "nothing"), ("no run named",)),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(project: Path, options: tuple[str, ...], words: tuple[str, ...]) -> None:
    shown = workbench("ablate", *options, cwd=project)
    assert shown.returncode == 2 and shown.stdout == "" and "Traceback" not in shown.stderr
    assert all(word in shown.stderr for word in words), shown.stderr


def test_help_says_what_is_asked_and_how_it_ends(tmp_path: Path) -> None:
    shown = workbench("ablate", "--help", cwd=tmp_path)
    assert shown.returncode == 0 and "Does a filter help?" in shown.stdout and "Exit codes: 0 done" in shown.stdout


def test_without_a_configuration_it_says_where_to_start(tmp_path: Path) -> None:
    shown = workbench("ablate", cwd=tmp_path)
    assert shown.returncode == 2 and "no workbench.yaml here" in shown.stderr and "workbench init" in shown.stderr
