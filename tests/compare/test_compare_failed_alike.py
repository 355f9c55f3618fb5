"""Documents that failed alike in both arms are no change: a control is not accused of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from scored_arms import context, rows, scored, suite

from workbench.compare.stage import STAGE
from workbench.compare.text import render
from workbench.core.config import CompareConfig, GateConfig, PairConfig
from workbench.core.nodes import CompareNode
from workbench.core.parts import read_model
from workbench.core.results import Comparison, Verdict
from workbench.core.stage import Done
from workbench.gate.verdict import decide
from workbench.report.gaps import alarms
from workbench.report.rows import Control, Row, control
from workbench.report.states import NOTHING_CHANGED, SUITE_STATES

CAPITALS = suite()
PAIRS = (
    PairConfig(before="base@nf4", after="candidate", purpose="candidate"),
    PairConfig(before="base@nf4", after="sham", purpose="sham"),
)


def decided(root: Path, sham: list[float | None], allowed: float = 0.02) -> tuple[Comparison, Verdict]:
    """A base of which one document failed, and this sham arm."""
    base: list[float | None] = [None, *[1.0, 0.0] * 40]
    values = {"base@nf4": base, "candidate": base, "sham": sham}
    arms = {f"score:{name}": scored(root, name, rows(found, CAPITALS)) for name, found in values.items()}
    ctx, _ = context(root / "out")
    compare = CompareConfig(pairs=PAIRS, bootstrap_resamples=999)
    node = CompareNode(compare=compare, suites=(CAPITALS,), alpha=0.05, max_failed_fraction=allowed)
    assert isinstance(STAGE.run(node, arms, ctx), Done)
    comparison = read_model(ctx.out_dir / "comparison.json", Comparison)
    return comparison, decide(comparison, GateConfig(), suites=(CAPITALS,))


def shown(comparison: Comparison, verdict: Verdict) -> Control:
    """The sham pair as the report shows it."""
    return control(comparison.pairs[1], verdict.others[0])


def test_a_sham_that_fails_on_the_same_document_changed_nothing(tmp_path: Path) -> None:
    comparison, verdict = decided(tmp_path, [None, *[1.0, 0.0] * 40])
    sham = comparison.pairs[1].suites[0]

    assert sham.identical and "sham" not in verdict.headline
    assert sham.gain.low < 0 < sham.gain.high, "the failed document could have gone either way"
    assert Row(sham, None).look == NOTHING_CHANGED
    said = "Nothing changed: all 80 documents of 1 suites scored the same to the last bit; 1 failed in both arms."
    assert verdict.others[0].reasons[0] == said
    control = shown(comparison, verdict)
    assert control.outcome == NOTHING_CHANGED and control.quiet


def test_scores_that_are_equal_and_leave_doubt_look_like_doubt(tmp_path: Path) -> None:
    comparison, verdict = decided(tmp_path, [None, *[1.0, 0.0] * 40])
    suite, state = comparison.pairs[1].suites[0], verdict.others[0].suites[0]
    doubtful = state.model_copy(update={"state": "inconclusive"})

    assert Row(suite, doubtful).look == SUITE_STATES["inconclusive"]


def test_too_many_failures_are_no_quiet_result_however_alike(tmp_path: Path) -> None:
    comparison, verdict = decided(tmp_path, [None, *[1.0, 0.0] * 40], allowed=0.01)
    suite, state = comparison.pairs[0].suites[0], verdict.decisive.suites[0]

    assert suite.identical and Row(suite, state).look == SUITE_STATES["not comparable"]
    assert "Nothing changed" not in " ".join([verdict.headline, *verdict.decisive.reasons])
    assert "nothing changed" not in render(comparison, verdict)
    control = shown(comparison, verdict)
    assert control.outcome == SUITE_STATES["not comparable"] and not control.quiet
    assert list(alarms(verdict, None)) == [], "failing alike is no sign of a drift"


@pytest.mark.parametrize("other", [[0.0, *[1.0, 0.0] * 40], [1.0, None, *[0.0, 1.0] * 39, 0.0]])
def test_a_sham_that_fails_on_another_document_did(tmp_path: Path, other: list[float | None]) -> None:
    comparison, verdict = decided(tmp_path, other)

    assert not comparison.pairs[1].suites[0].identical
    assert "The sham adapter sham (all zeros) changed scores on capitals" in verdict.headline
