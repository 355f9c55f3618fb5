from __future__ import annotations

import inspect
import math
import shutil
import statistics
import textwrap
from pathlib import Path
from types import ModuleType

import pytest

from workbench.core.config import EndpointConfig, JudgeConfig, ModelConfig
from workbench.core.fingerprints import short_id
from workbench.core.nodes import JudgeNode
from workbench.core.parts import read_model, read_rows, write_documents, write_rows
from workbench.core.records import Generation, Judgment, Manifest
from workbench.core.results import JudgeTrust
from workbench.core.stage import Artifact, Context, Done
from workbench.core.suites import Documents, Suite
from workbench.score.judge import run_judge

pytestmark = pytest.mark.slow


def documented(module: ModuleType) -> list[dict[str, str]]:
    found = []
    for name in sorted(vars(module)):
        text = inspect.getdoc(getattr(module, name)) if inspect.isfunction(getattr(module, name)) else None
        if text and not name.startswith("_"):
            prompt = f"What does the Python function `{module.__name__}.{name}` do?"
            found.append({"prompt": prompt, "reference": text.split("\n\n")[0]})
    return found


def test_the_base_model_as_its_own_judge_is_not_trusted_and_judges_nothing(tmp_path: Path) -> None:
    documents = [entry for module in (math, shutil, statistics, textwrap) for entry in documented(module)][:30]
    write_documents(tmp_path / "evals" / "prompts.jsonl", documents)
    manifest = Manifest(
        node="score:x", stage="score", stage_version=1, fingerprint="f", inputs={}, config={}, external={},
        libraries={}, parts=(), summary={}, created_at="", seconds=0,
    )  # fmt: skip
    inputs = {}
    for arm, answers in (("base", "It does something."), ("candidate", "")):
        rows = [
            Generation(
                arm=arm,
                suite="docs",
                doc_hash=short_id(entry),
                prompt=entry["prompt"],
                output=answers or entry["reference"],
                tokens=3,
                finish_reason="stop",
            )
            for entry in documents
        ]
        write_rows(tmp_path / arm / "generations.jsonl", rows)
        inputs[f"score:{arm}"] = Artifact(tmp_path / arm, manifest)
    suite = Suite(
        name="docs",
        kind="judge",
        role="target",
        documents=Documents(file="prompts.jsonl"),
        primary_metric="win_rate",
    )
    node = JudgeNode(
        judge=JudgeConfig(endpoint="self", suite="docs", golden_pairs=len(documents)),
        endpoint=EndpointConfig(kind="in_process"),
        model=ModelConfig(),
        suite=suite,
        suites_dir="evals",
        before="base",
        after="candidate",
        seed=0,
    )
    out = tmp_path / "out"
    context = Context(
        node="score:judge",
        out_dir=out,
        work_dir=tmp_path / "work",
        project=tmp_path,
        seed=0,
        emit=lambda event: None,
        clock=lambda: "",
        cancelled=lambda: False,
    )
    assert isinstance(run_judge(node, inputs, context), Done)
    trust = read_model(out / "trust.json", JudgeTrust)
    assert trust.pairs == len(documents)
    assert not trust.trusted
    assert trust.kappa.low < 0.4
    assert any("base model itself" in reason for reason in trust.reasons)
    assert list(read_rows(out / "judgments.jsonl", Judgment)) == []
    golden = list(read_rows(out / "golden.jsonl", Judgment))
    assert sum(row.preference is not None for row in golden) >= len(golden) / 2
