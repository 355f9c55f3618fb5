"""Frozen items that must pass and were lost are named in the comparison; others are only counted."""

from __future__ import annotations

from pathlib import Path

from scored_arms import context, rows, scored, suite

from workbench.compare.stage import STAGE
from workbench.core.config import CompareConfig, PairConfig
from workbench.core.nodes import CompareNode
from workbench.core.parts import read_model
from workbench.core.results import Comparison
from workbench.core.stage import Done

FROZEN = suite("frozen", "regression")


def test_only_items_that_must_pass_and_were_right_before_are_named(tmp_path: Path) -> None:
    must_pass = [True, False, True, True] + [False] * 8
    prompts = [f"item {n}" for n in range(12)]
    before = rows([1, 1, 0, 1] + [1] * 8, FROZEN, must_pass=must_pass, prompt=prompts)
    after = rows([0, 0, 0, 1] + [1] * 8, FROZEN, must_pass=must_pass, prompt=prompts)
    arms = {"score:base": scored(tmp_path, "base", before), "score:candidate": scored(tmp_path, "candidate", after)}
    pair = PairConfig(before="base", after="candidate", purpose="candidate")
    node = CompareNode(
        compare=CompareConfig(pairs=(pair,), bootstrap_resamples=999),
        suites=(FROZEN,),
        alpha=0.05,
        max_failed_fraction=0.02,
    )
    ctx, _ = context(tmp_path / "out")

    assert isinstance(STAGE.run(node, arms, ctx), Done)

    [found] = read_model(ctx.out_dir / "comparison.json", Comparison).pairs[0].suites
    assert found.must_pass_lost == ("item 0",) and found.must_pass_right == 2 and found.forgotten == 2
