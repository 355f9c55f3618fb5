"""From a real run to production and back into a real run: train, gate, register, promote, score from the slot."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from test_ablate import write_project

from workbench.core.paths import Project
from workbench.loop.runs import read_run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def workbench(root: Path, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "workbench", "-C", str(root), *arguments, "--json"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=500)
    assert result.returncode == 0, result.stderr
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def losses(root: Path, run: str) -> list[float]:
    """What each document costs under the candidate, in nats."""
    node = read_run(Project(root), run).node("score:candidate")
    assert node is not None and node.fingerprint is not None
    rows = Project(root).artifacts / "score" / node.fingerprint / "samples.jsonl"
    return [json.loads(line)["value"] for line in rows.read_text().splitlines()]


def test_what_a_run_trained_is_promoted_and_scored_from_its_slot_with_the_same_numbers(
    tmp_path: Path, tiny_model_dir: Path
) -> None:
    root = tmp_path / "p"
    write_project(root, tiny_model_dir, bad_rows=0)
    workbench(root, "run", "--run-id", "first", "--quiet")
    (adapter,) = workbench(root, "adapters", "list")["adapters"]
    assert (adapter["reference"], adapter["gate"], adapter["run"]) == ("sums@1", "passed", "first")
    assert adapter["registration"]["metrics"]["steps"] == 12
    trained = read_run(Project(root), "first").node("train")
    assert trained is not None and adapter["registration"]["artifacts"]["train"] == trained.fingerprint
    assert workbench(root, "adapters", "promote", "sums@1")["after"] == 1

    config = yaml.safe_load((root / "workbench.yaml").read_text())
    arms = [{"name": "base@nf4"}, {"name": "candidate", "adapter": "sums@production"}]
    nightly = {key: config[key] for key in ("model", "compare")} | {"name": "nightly"}
    nightly["score"] = {"suites": ["more-sums"], "arms": arms}
    (root / "nightly.yaml").write_text(yaml.safe_dump(nightly))
    workbench(root, "run", str(root / "nightly.yaml"), "--run-id", "nightly", "--quiet")
    assert losses(root, "nightly") == losses(root, "first")
    status = {node.name: node.status for node in read_run(Project(root), "nightly").nodes}
    assert status["score:base@nf4"] == "cached" and status["score:candidate"] == "done" and "train" not in status
    judged = workbench(root, "adapters", "show", "sums@1")["judged"]
    assert [(line["run"], line["state"]) for line in judged] == [("first", "passed"), ("nightly", "passed")]
    assert judged[0]["suites"][0]["gain"] == pytest.approx(judged[1]["suites"][0]["gain"])
