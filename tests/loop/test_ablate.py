"""`workbench ablate` as a user runs it, on a tiny random model and a dataset in which bad rows are planted."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from loop_commands import command, kill_when, run, statuses

from workbench.core.ablation_results import Ablation
from workbench.core.paths import Project

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def write_project(root: Path, model: Path | str, *, bad_rows: int = 24) -> None:
    """Sixty-four sums, rows whose answer is one word over and over, and a clean target suite."""
    for name in ("datasets_cfg", "evals"):
        (root / name).mkdir(parents=True)
    good = [
        {"instruction": f"What is {a} plus {b}?", "output": f"{a} plus {b} makes {a + b}, as everybody knows."}
        for a in range(2, 10)
        for b in range(2, 10)
    ]
    bad = [{"instruction": f"What is {n} plus 1?", "output": f"number {n} " + "spam " * 30} for n in range(bad_rows)]
    (root / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*good, *bad]))
    card = "name: sums\nsource: {kind: file, path: sums.jsonl}\nheldout_fraction: 0\n"
    (root / "datasets_cfg" / "sums.yaml").write_text(card)
    documents = [
        {"prompt": f"What is {a} plus 11?", "text": f"{a} plus 11 makes {a + 11}, as everybody knows."}
        for a in range(10, 60)
    ]
    (root / "evals" / "more-sums.jsonl").write_text("".join(json.dumps(document) + "\n" for document in documents))
    suite = {
        "name": "more-sums",
        "kind": "perplexity",
        "role": "target",
        "documents": {"file": "more-sums.jsonl"},
        "primary_metric": "nll",
        "margin": 0.2,
    }
    (root / "evals" / "more-sums.yaml").write_text(yaml.safe_dump(suite))
    config = {
        "name": "sums",
        "model": {"ref": str(model), "max_length": 96},
        "data": ["sums"],
        "curate": {"near_duplicates": {"enabled": False}, "decontamination": {"enabled": False}},
        "train": {"max_steps": 12, "batch_size": 4, "checkpoint_steps": 4, "rank": 8, "learning_rate": 0.01},
        "score": {
            "suites": ["more-sums"],
            "arms": [{"name": "base@nf4"}, {"name": "candidate", "adapter": "train"}],
        },
        "compare": {"pairs": [{"before": "base@nf4", "after": "candidate", "purpose": "candidate"}]},
        "ablate": {"seeds": 2},
    }
    (root / "workbench.yaml").write_text(yaml.safe_dump(config))


def test_planted_rows_are_ablated_killed_and_taken_up_again(tmp_path: Path, tiny_model_dir: Path) -> None:
    root = tmp_path / "p"
    write_project(root, tiny_model_dir)
    process = subprocess.Popen(command(root, "ablate", "--quiet", "--run-id", "broken"))
    assert kill_when(
        root,
        "broken",
        process,
        lambda event: event.event == "node_metric" and event.node == "train:random-s0" and event.step >= 6,
    ), "the ablation ended before it could be killed"
    done = {name for name, status in statuses(root, "broken").items() if status in ("done", "cached")}
    assert {"mix:dropped", "compare:arms", "train:filtered-s0", "score:filtered-s0"} <= done

    resumed = run(root, "ablate", "--resume", "broken", "--json")
    assert resumed.returncode == 0, resumed.stderr
    document: dict[str, Any] = json.loads(resumed.stdout)
    assert set(document["cached"]) == done and "train:random-s0" in document["ran"]
    found = Ablation.model_validate(document["ablation"])
    assert document["message"] == found.headline and found.state in ("help", "no evidence")
    assert {size.arm: size.rows for size in found.arms} == {"all": 88, "filtered": 64, "random": 64, "dropped": 24} | {
        "random": next(size.rows for size in found.arms if size.arm == "random")
    }
    random, filtered = (next(size for size in found.arms if size.arm == arm) for arm in ("random", "filtered"))
    assert abs(random.trainable_tokens - filtered.trainable_tokens) < 0.05 * filtered.trainable_tokens
    (pair,) = (pair for pair in found.pairs if pair.before == "dropped")
    assert all(gain > 0 for gain in pair.suites[0].by_seed), "sums are not learned better from sums than from spam"
    trained = Project(root).artifacts / "train"
    assert len([path for path in trained.iterdir() if (path / "manifest.json").is_file()]) == 8
    page = (Project(root).reports / "broken" / "ablation.md").read_text()
    assert "Does it help?" in page and "more-sums" in page

    published = Project(root).reports / "broken" / "ablation.md"
    published.unlink()
    assert run(root, "report", "broken").stdout.strip() == str(published) and published.read_text() == page

    again = run(root, "ablate", "--run-id", "again")
    assert again.returncode == 0 and set(statuses(root, "again").values()) == {"cached"}
    assert f"answer: {found.headline}" in again.stdout and "random -> filtered" in again.stdout
    loop = run(root, "run", "--until", "train", "--quiet", "--run-id", "loop")
    assert loop.returncode == 0 and statuses(root, "loop")["train"] == "cached"


def test_data_in_which_nothing_is_dropped_is_not_trained_on(tmp_path: Path, tiny_model_dir: Path) -> None:
    root = tmp_path / "p"
    write_project(root, tiny_model_dir, bad_rows=0)
    shown = run(root, "ablate", "--quiet")
    assert shown.returncode == 3, shown.stderr
    assert "curation dropped nothing that training would read" in shown.stderr
    assert "next: look at the funnel" in shown.stderr and "Traceback" not in shown.stderr
    assert not (Project(root).artifacts / "train").exists() and not (Project(root).artifacts / "score").exists()
