"""Detached jobs: they outlive whoever started them, can be followed, and a failed start is visible."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from workbench.core.errors import UsageError
from workbench.core.events import Event
from workbench.core.paths import Project
from workbench.core.records import Decision
from workbench.loop.attach import follow
from workbench.loop.collect import find_garbage, remove
from workbench.loop.decisions import append_decision
from workbench.loop.jobs import cancel, new_run_id
from workbench.loop.runs import list_runs, read_run
from workbench.store.queries import query


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "datasets_cfg").mkdir()
    rows = [{"instruction": f"Name a number above {n}", "output": f"{n + 1}"} for n in range(40)]
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "datasets_cfg" / "mine.yaml").write_text("name: mine\nsource: {kind: file, path: mine.jsonl}\n")
    (tmp_path / "workbench.yaml").write_text("data: [mine]\n")
    return Project(tmp_path)


def _spawn_and_leave(project: Project, arguments: list[str]) -> str:
    """Starts a job from a process that ends at once, as a terminal that is closed does."""
    script = (
        "import sys\nfrom pathlib import Path\nfrom workbench.core.paths import Project\n"
        "from workbench.loop.jobs import spawn\n"
        f"print(spawn(Project(Path({str(project.root)!r})), {arguments!r}, name='job'))"
    )
    started = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return started.stdout.strip()


def _follow(project: Project, run: str) -> list[Event]:
    seen: list[Event] = []
    follow(project, run, seen.append)
    return seen


def test_a_job_goes_on_after_its_starter_is_gone_and_can_be_followed(project: Project) -> None:
    run = _spawn_and_leave(project, ["run", "--until", "curate"])
    assert read_run(project, run).status in ("running", "completed")
    events = _follow(project, run)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    view = read_run(project, run)
    assert (view.status, view.exit_code) == ("completed", 0)
    assert {node.name: node.status for node in view.nodes}["curate"] == "done"
    assert query(project.index, f"select status from runs where run = '{run}'").rows == (("completed",),)


def test_a_killed_run_is_taken_up_in_the_background_under_its_own_name(project: Project) -> None:
    run = _spawn_and_leave(project, ["run", "--until", "ingest"])
    ended = len(_follow(project, run))
    events = project.runs / run / "events.jsonl"
    lines = events.read_text().splitlines(keepends=True)
    events.write_text("".join(line for line in lines if '"run_finished"' not in line))
    assert read_run(project, run).status == "killed"
    command = [sys.executable, "-m", "workbench", "-C", str(project.root), "run", "--resume", run, "--detach"]
    started = subprocess.run(command, capture_output=True, text=True, check=True)
    assert started.stdout.strip() == run
    assert len(_follow(project, run)) > ended - 1
    assert [view.run for view in list_runs(project)] == [run] and read_run(project, run).status == "completed"


def test_a_job_that_cannot_start_is_listed_with_its_reason(project: Project) -> None:
    (project.root / "workbench.yaml").write_text("data: [mien]\n")
    run = _spawn_and_leave(project, ["run"])
    assert _follow(project, run) == []
    (view,) = list_runs(project)
    assert view.run == run and view.status == "failed" and "did you mean 'mine'" in view.message


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("workbench run", "continue with: workbench run --resume gone"),
        ("workbench train --data a", "the same command again goes on where it was: workbench train --data a"),
        ("workbench curate a.jsonl", "the same command again goes on where it was: workbench curate a.jsonl"),
    ],
)
def test_a_killed_run_says_what_continues_it(project: Project, command: str, said: str) -> None:
    directory = project.runs / "gone"
    directory.mkdir(parents=True)
    (directory / "plan.json").write_text(json.dumps({"nodes": [], "command": command}))
    (view,) = list_runs(project)
    assert (view.status, view.message) == ("killed", f"the process is gone; {said}")


def test_only_a_running_job_can_be_cancelled(project: Project) -> None:
    run = _spawn_and_leave(project, ["run", "--until", "ingest"])
    _follow(project, run)
    with pytest.raises(UsageError, match="not running"):
        cancel(project, run)


def test_run_ids_never_collide(project: Project) -> None:
    ids = {new_run_id(project, "same") for _ in range(5)}
    assert len(ids) == 5 and all((project.runs / run).is_dir() for run in ids)


def test_garbage_is_what_no_run_refers_to(project: Project) -> None:
    run = _spawn_and_leave(project, ["run", "--until", "curate"])
    _follow(project, run)
    assert find_garbage(project).paths == ()
    orphan = project.artifacts / "curate" / ("0" * 64)
    orphan.mkdir()
    (orphan / "part").write_bytes(b"12345")
    garbage = find_garbage(project)
    assert garbage.paths == (orphan,) and garbage.size_bytes == 5
    remove(garbage)
    assert not orphan.exists() and _referenced_artifacts(project) == 2


def _referenced_artifacts(project: Project) -> int:
    return len(list(project.artifacts.glob("*/*/manifest.json")))


def test_decisions_are_appended_and_reach_the_index(project: Project) -> None:
    for number in range(3):
        append_decision(
            project,
            Decision(
                id=str(number), at="2026-01-01T00:00:00Z", who="ann", kind="sign_off", target="f", verdict="approved"
            ),
        )
    lines = (project.decisions / "sign_off.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["0", "1", "2"]
    assert query(project.index, "select count(*) from decisions").rows == ((3,),)
