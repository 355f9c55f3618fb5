"""`workbench sweep` as a user runs it, on a tiny random model: stopped by its budget, killed, taken up again."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from loop_commands import command, kill_when, run, statuses
from test_ablate import write_project

from workbench.core.paths import Project
from workbench.core.sweep_results import Sweep

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

AXIS = ("--set", "train.learning_rate=1e-2,1e-5")


def _project(root: Path, model: Path) -> None:
    """Sums to learn, and other texts that must not be unlearned."""
    write_project(root, model, bad_rows=0)
    texts = [{"prompt": f"Say the number {n}.", "text": f"The number is {n}."} for n in range(100, 112)]
    (root / "evals" / "numbers.jsonl").write_text("".join(json.dumps(text) + "\n" for text in texts))
    suite = {
        "name": "numbers",
        "kind": "perplexity",
        "role": "general",
        "documents": {"file": "numbers.jsonl"},
        "primary_metric": "nll",
        "margin": 5.0,
    }
    (root / "evals" / "numbers.yaml").write_text(yaml.safe_dump(suite))
    config = yaml.safe_load((root / "workbench.yaml").read_text())
    config["score"]["suites"].append("numbers")
    config["train"] |= {"max_steps": 6, "checkpoint_steps": 2}
    (root / "workbench.yaml").write_text(yaml.safe_dump(config))


def test_a_sweep_stops_at_its_budget_is_killed_and_goes_on(tmp_path: Path, tiny_model_dir: Path) -> None:
    root = tmp_path / "p"
    _project(root, tiny_model_dir)
    sweep = ("sweep", *AXIS, "--seeds", "1")

    stopped = run(root, *sweep, "--budget", "1 runs", "--json", "--run-id", "stopped")
    assert stopped.returncode == 0, stopped.stderr
    first: dict[str, Any] = json.loads(stopped.stdout)
    assert [arm["name"] for arm in first["sweep"]["arms"]] == ["learning_rate=0.01"]
    assert "the budget of 1 runs ends here" in first["message"]
    assert first["sweep"]["headline"].endswith("So far: 1 of 2 arms with 1 of 1 seeds.")

    process = subprocess.Popen(command(root, *sweep, "--quiet", "--run-id", "broken"))
    assert kill_when(
        root,
        "broken",
        process,
        lambda event: event.event == "node_metric" and event.node == "train:learning_rate=1e-05-s0" and event.step >= 3,
    ), "the sweep ended before it could be killed"
    assert statuses(root, "broken")["train:learning_rate=0.01-s0"] == "cached"

    resumed = run(root, "sweep", "--resume", "broken", "--json")
    assert resumed.returncode == 0, resumed.stderr
    document: dict[str, Any] = json.loads(resumed.stdout)
    found = Sweep.model_validate(document["sweep"])
    assert (len(found.arms), found.seeds) == (2, (0,)) and document["message"] == found.headline
    fast, slow = found.arms
    assert found.target_of(fast).gain.value > 5 * abs(found.target_of(slow).gain.value)
    assert (found.recommended, slow.state in ("no gain", "behind")) == (fast.name, True)
    trained = Project(root).artifacts / "train"
    assert len([path for path in trained.iterdir() if (path / "manifest.json").is_file()]) == 2

    page = Path(document["report"])
    assert page == Project(root).reports / "broken" / "sweep.html" and "<svg" in page.read_text()
    assert (page.parent / "sweep.md").is_file() and (page.parent / "sweep.json").is_file()
    shown = page.read_text()
    page.unlink()
    assert run(root, "report", "broken").stdout.strip() == str(page) and page.read_text() == shown
