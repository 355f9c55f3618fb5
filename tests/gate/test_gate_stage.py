"""The stage and its sentences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from comparisons import at_chance, between, improved, judged, pair, regressed, suite, trust, unclear, verdict
from contexts import made_up_context
from manifests import made_up_manifest

from workbench.core.config import GateConfig
from workbench.core.errors import IncompleteError
from workbench.core.nodes import GateNode
from workbench.core.parts import read_model, write_model
from workbench.core.results import Comparison, Verdict
from workbench.core.stage import Artifact, Done
from workbench.gate.stage import STAGE


def run_gate(root: Path) -> tuple[Any, list[Any]]:
    events: list[Any] = []
    inputs = {"compare": Artifact(root, made_up_manifest("compare"))}
    node = GateNode(gate=GateConfig(), suites=())
    return STAGE.run(node, inputs, made_up_context("gate", root, emit=events.append)), events


def test_the_stage_writes_the_verdict_and_sums_it_up(tmp_path: Path) -> None:
    write_model(tmp_path / "comparison.json", Comparison(confidence=0.95, pairs=(pair(regressed(), improved()),)))
    outcome, events = run_gate(tmp_path)
    found = read_model(tmp_path / "verdict.json", Verdict)
    assert isinstance(outcome, Done)
    assert outcome.summary == {"state": "regressed", "exit_code": 1, "headline": found.headline}
    assert [(event.level, event.message) for event in events] == [("warning", found.headline)]


@pytest.mark.parametrize("content", [None, "", '{"confidence": 0.95, "pairs": []}', '{"confidence": NaN, "pairs": []}'])
def test_a_missing_empty_or_broken_comparison_never_passes(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "comparison.json").write_text(content, encoding="utf-8")
    with pytest.raises(IncompleteError):
        run_gate(tmp_path)
    assert not (tmp_path / "verdict.json").exists()


def test_the_headline_names_gains_losses_doubt_and_silence_with_their_numbers() -> None:
    found = verdict(
        pair(improved("python-docs-perplexity"), suite("copying"), unclear("agreement"), at_chance(gated=False))
    )
    assert found.headline == (
        "Improved on python-docs-perplexity (0.71 nats per token better, 95% CI 0.64 to 0.78); "
        "no gated suite regressed; "
        "inconclusive on agreement (-2.0 points, 95% CI -9.0 to 5.0); not informative: mmlu (not gated)."
    )


def test_the_headline_begins_with_what_broke() -> None:
    found = verdict(pair(improved("docs"), regressed("agreement"), regressed("style", gated=False)))
    assert found.headline == (
        "Regressed on agreement (-15.0 points, 95% CI -18.0 to -12.0); "
        "improved on docs (0.71 nats per token better, 95% CI 0.64 to 0.78); "
        "worse, but not gated: style (-15.0 points, 95% CI -18.0 to -12.0)."
    )


def test_frozen_items_and_win_rates_are_told_in_their_own_words() -> None:
    frozen = suite("frozen", kind="regression", n=60, forgotten=9)
    found = verdict(pair(frozen, judged(p_improved_holm=1e-4)), judge=trust(True))
    assert found.headline == (
        "Regressed on frozen (9 of 60 frozen items lost); improved on answers (win rate 65.0%, 95% CI 58.0 to 72.0)."
    )


def test_doubt_comes_with_the_detectable_effect_and_the_documents_that_would_decide() -> None:
    reason = verdict(pair(unclear())).decisive.suites[0].reason
    assert "10 points up (80% power); about 1200 documents would decide at this margin" in reason


def test_a_difference_near_the_margin_says_how_many_documents_would_tell_it_from_the_margin() -> None:
    # Half-width 3 points, 1 point from the margin: nine times the documents shrink it to 1 point.
    near = verdict(pair(suite(gain=between(-0.07, -0.01), n=300))).decisive.suites[0].reason
    assert "A loss is certain" in near and "about 2700 documents" in near
    on_it = verdict(pair(suite(gain=between(-0.08, -0.02)))).decisive.suites[0].reason
    assert "no number of documents can decide" in on_it


def test_a_changed_format_is_said_not_to_be_a_lost_ability() -> None:
    found = verdict(pair(regressed(unparsed_after=90))).decisive.suites[0]
    assert "Format, not only ability" in found.reason and "0 to 90 of 300" in found.reason
    assert "Format" not in verdict(pair(regressed(unparsed_after=50))).decisive.suites[0].reason
    readable = {"both_parsed": between(-0.02, 0.02), "both_parsed_n": 210}
    reason = verdict(pair(regressed(unparsed_after=90, **readable))).decisive.suites[0].reason
    assert "Among the 210 that both arms answered readably: 0.0 points, 95% CI -2.0 to 2.0." in reason


def test_names_from_data_cannot_reach_the_terminal_as_control_characters() -> None:
    found = verdict(pair(regressed(sign_reversals=("\x1b[2Jgroup",)))).decisive.suites[0]
    assert "\x1b" not in found.reason and "group" in found.reason
