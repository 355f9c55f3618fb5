"""`workbench sweep` before anything is trained: the plan, the cost, and what is refused."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from command_runs import small_project
from in_process import workbench

from workbench.core.errors import UsageError
from workbench.core.paths import Project
from workbench.loop.jobs import new_run_id
from workbench.loop.run import execute
from workbench.loop.settings import load_config
from workbench.loop.sweep import build_sweep_plan


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return small_project(tmp_path, "train: {max_steps: 60}\n")


def test_dry_run_shows_nodes_and_what_is_to_be_done_and_writes_nothing(project: Path) -> None:
    before = sorted(path.name for path in project.rglob("*"))
    axes = ("--set", "train.rank=4,8", "--set", "train.method=qlora,pissa", "--set", "train.max_steps=5")
    shown = workbench("-C", str(project), "sweep", *axes, "--seeds", "2", "--dry-run", "--json")
    assert shown.code == 0
    document = shown.document
    assert (document["trainings"], document["scorings"], document["expected_s"]) == (4, 5, None)
    names = [node["node"] for node in document["nodes"]]
    assert names[-1] == "compare:sweep-2x2" and "train:rank=8,method=qlora-s1" in names
    assert [one.partition(":")[0] for one in document["left_out"]] == ["rank=4,method=pissa", "rank=8,method=pissa"]
    assert sorted(path.name for path in project.rglob("*")) == before
    text = workbench("-C", str(project), "sweep", *axes, "--seeds", "2", "--dry-run")
    assert "to do: 4 trainings, 5 scorings" in text.error and "left out: rank=4,method=pissa" in text.error


def test_axes_of_the_file_are_joined_by_typed_ones(project: Path) -> None:
    with (project / "workbench.yaml").open("a") as config:
        config.write("sweep: {axes: {train.rank: [4, 8]}, seeds: 1}\n")
    shown = workbench("-C", str(project), "sweep", "--set", "train.alpha=8,16", "--dry-run", "--json").document
    assert shown["trainings"] == 4
    replaced = workbench("-C", str(project), "sweep", "--set", "train.rank=1,2,3", "--dry-run", "--json").document
    assert replaced["trainings"] == 3
    with pytest.raises(UsageError, match=r"train\.rank is swept by sweep.axes of the file"):
        workbench("-C", str(project), "sweep", "--set", "train.rank=4", "--dry-run")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--set", "train.rnak=1,2"), "did you mean 'rank'"),
        (("--set", "score.batch_size=1,2"), "score.batch_size"),
        (("--set", "gate.alpha=0.1,0.05"), r"gate.alpha: 'gate.alpha' is nothing that arms may differ in; these"),
        (("--set", "model.ref=a,b"), "nothing that arms may differ in"),
        (("--set", "seed=1,2"), "--seeds 3"),
        (("--set", "sweep.seeds=2,4"), "--seeds 3"),
        (("--set", "train.rank=1,2", "--set", "train.rank=4,8"), r"train\.rank is given twice"),
        (("--budget", "soon"), "^--budget: 'soon' is no budget: write a time"),
        (("--resume", "r", "--seeds", "2"), "which --seeds cannot change"),
        (("--target", "nothing"), "is no suite of role `target`"),
        (("--resume", "nothing"), "no run named"),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(project: Path, options: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        workbench("-C", str(project), "sweep", *options, "--dry-run")


def test_seeds_are_bounded(project: Path) -> None:
    shown = workbench("-C", str(project), "sweep", "--seeds", "1000000", "--dry-run")
    assert shown.code == 2 and "--seeds" in shown.error


def _begun(project: Path, *options: str) -> str:
    """A run of a sweep that was planned and not begun, and its id."""
    command = shlex.join(["workbench", "sweep", *options])
    settings = [f"sweep.{name}={value}" for name, value in zip(options[::2], options[1::2], strict=True)]
    config = load_config(project / "workbench.yaml", [one.replace("--", "") for one in settings], {})
    plan = build_sweep_plan(config, project, command)
    run = new_run_id(Project(project), "swept")
    stopped = execute(plan, config, Project(project), run, command=command, cancelled=lambda: True)
    assert stopped.status == "cancelled"
    return run


def test_a_sweep_is_taken_up_with_another_budget_and_by_its_own_command(project: Path) -> None:
    run = _begun(project, "--budget", "1 run", "--seeds", "2")
    shown = workbench("-C", str(project), "sweep", "--resume", run, "--budget", "5 runs", "--dry-run", "--json")
    assert shown.code == 0 and shown.document["trainings"] == 2
    with pytest.raises(UsageError, match=f"started by `workbench sweep`(?s:.*)next: workbench sweep --resume {run}"):
        workbench("-C", str(project), "iterate", "--resume", run)
    without = _begun(project, "--seeds", "2")
    with pytest.raises(UsageError, match="was planned without a budget"):
        workbench("-C", str(project), "sweep", "--resume", without, "--budget", "5 runs", "--dry-run")


def test_help_says_what_is_asked_and_how_it_ends() -> None:
    shown = workbench("sweep", "--help")
    assert shown.code == 0 and "learning against forgetting" in shown.out and "Exit codes: 0 done" in shown.out
    assert "workbench sweep --set train.rank=8,16,32" in shown.out
