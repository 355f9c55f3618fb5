"""`gc` and the score cache: kept unless asked for, and then only what nobody has scored in a while."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from typer.testing import CliRunner

from workbench.cli.main import app
from workbench.core.paths import Project
from workbench.loop.collect import find_garbage
from workbench.score.cache import ScoreCache


def aged(project: Project, model: str, days: float) -> Path:
    before = set(project.scores.glob("*"))
    ScoreCache(project.scores, {"model": model}).put("batch", [1.0])
    (path,) = set(project.scores.glob("*")) - before
    then = time.time() - days * 86_400
    os.utime(path, (then, then))
    return path


def test_cached_scores_are_collected_by_age_and_only_when_asked_for(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.scores.mkdir(parents=True)
    old, recent = aged(project, "old", 31), aged(project, "recent", 29)

    assert find_garbage(project).paths == ()
    assert find_garbage(project, 30).paths == (old,)
    assert find_garbage(project, 30).size_bytes == old.stat().st_size
    assert set(find_garbage(project, 0).paths) == {old, recent}

    ScoreCache(project.scores, {"model": "old"})
    assert find_garbage(project, 30).paths == (), "scoring an arm makes its cache young again"


def test_the_command_deletes_them_with_yes(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.scores.mkdir(parents=True)
    old, recent = aged(project, "old", 31), aged(project, "recent", 29)

    result = CliRunner().invoke(app, ["-C", str(tmp_path), "gc", "--scores", "30", "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["paths"] == [str(old)] and old.exists()
    assert CliRunner().invoke(app, ["-C", str(tmp_path), "gc", "--scores", "30", "--yes"]).exit_code == 0
    assert not old.exists() and recent.exists()
