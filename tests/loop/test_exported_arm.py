"""What ships is what is scored: a trained adapter is exported and compared with itself as arms of the same loop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from test_ablate import write_project

from workbench.adapters.export.make import export, plan_export
from workbench.adapters.registry import resolve
from workbench.core.config import LoopConfig
from workbench.core.parts import read_model, read_rows
from workbench.core.paths import Project
from workbench.core.records import ScoreRow
from workbench.core.results import ArmInfo, Comparison
from workbench.loop.plan import build_plan
from workbench.loop.run import RunResult, execute

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

TRAIN = {"method": "lora", "max_steps": 12, "batch_size": 4, "rank": 8, "learning_rate": 0.01, "samples": 0}


def run(root: Path, name: str, model: Path, **sections: Any) -> RunResult:
    written = yaml.safe_load((root / "workbench.yaml").read_text())
    base = {"ref": str(model), "max_length": 96, "precision": "bf16"}
    config = LoopConfig.model_validate(written | {"train": TRAIN, "model": base} | sections)
    result = execute(build_plan(config, root), config, Project(root), name, command="workbench run")
    assert result.status == "completed", result.message
    return result


def losses(result: RunResult, arm: str) -> list[float]:
    rows = read_rows(result.artifacts[f"score:{arm}"].part("samples.jsonl"), ScoreRow)
    return [row.value for row in rows if row.value is not None]


def test_the_merged_model_is_scored_beside_the_adapter_it_was_made_of(tmp_path: Path, tiny_model_dir: Path) -> None:
    root = tmp_path / "p"
    write_project(root, tiny_model_dir, bad_rows=0)
    run(root, "first", tiny_model_dir)
    plan = plan_export(resolve(Project(root), "sums@1"), {}, "sums", root / "merged", "merged", "full", root)
    export(plan, root, at="2026-01-01T00:00:00Z", say=lambda text: None)

    arms = [
        {"name": "base@nf4"},
        {"name": "candidate", "adapter": "train"},
        {"name": "exported", "model": "merged"},
    ]
    pairs = [
        {"before": "base@nf4", "after": "candidate", "purpose": "candidate"},
        {"before": "candidate", "after": "exported", "purpose": "export"},
    ]
    score = {"suites": ["more-sums"], "arms": arms}
    result = run(root, "second", tiny_model_dir, score=score, compare={"pairs": pairs})

    assert {"train", "score:base@nf4", "score:candidate"} <= set(result.cached)
    assert "score:exported" in result.ran
    infos = [
        read_model(result.artifacts[f"score:{arm}"].part("arm.json"), ArmInfo) for arm in ("candidate", "exported")
    ]
    assert (infos[1].model, infos[1].adapter) == ("merged", None)
    assert infos[0].model_fingerprint != infos[1].model_fingerprint
    assert infos[0].conditions == infos[1].conditions
    comparison = read_model(result.artifacts["compare"].part("comparison.json"), Comparison)
    decisive, exported = comparison.pairs
    assert decisive.suites[0].gain.low > 0.5, "the adapter learned something"
    assert exported.purpose == "export" and exported.comparable, exported.obstacles
    assert abs(exported.suites[0].gain.value) < 0.02 * decisive.suites[0].gain.value
    assert losses(result, "exported") != losses(result, "candidate"), "merging rounds"
    assert not any("Exported model" in gap for gap in comparison.not_run)
