"""The stage on artifacts: what stands in comparison.json and flips.jsonl, recomputed from the rows."""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from scored_arms import context, judged, judgment, rows, scored, suite, trust

from workbench.compare.stage import STAGE
from workbench.core.config import CompareConfig, PairConfig
from workbench.core.errors import IncompleteError
from workbench.core.nodes import CompareNode
from workbench.core.parts import read_model, read_rows, write_model, write_rows
from workbench.core.records import Flip, ScoreRow
from workbench.core.results import Comparison, PairComparison, SuiteComparison
from workbench.core.stage import Artifact, Cancelled, Done
from workbench.core.suites import Suite
from workbench.score.golden import PairCalls
from workbench.score.judging.findings import Judged, findings

CAPITALS = suite()
PERPLEXITY = suite("docs", "perplexity", "nll", role="target", margin=0.02)
PAIRS = (
    PairConfig(before="base@nf4", after="candidate", purpose="candidate"),
    PairConfig(before="base@nf4", after="sham", purpose="sham"),
    PairConfig(before="base@nf4", after="noise", purpose="noise"),
)
DECIDING = PAIRS[:1]


def compare(
    root: Path,
    arms: dict[str, Artifact],
    suites: tuple[Suite, ...] = (CAPITALS,),
    pairs: tuple[PairConfig, ...] = DECIDING,
    **fields: Any,
) -> tuple[Comparison, list[Flip]]:
    node = CompareNode(
        compare=CompareConfig(pairs=pairs, bootstrap_resamples=999),
        suites=suites,
        alpha=0.05,
        max_failed_fraction=0.02,
        **fields,
    )
    ctx, _ = context(root / "out")
    outcome = STAGE.run(node, {f"score:{name}": artifact for name, artifact in arms.items()}, ctx)
    assert isinstance(outcome, Done)
    flips = list(read_rows(ctx.out_dir / "flips.jsonl", Flip))
    return read_model(ctx.out_dir / "comparison.json", Comparison), flips


def two_arms(root: Path, before: list[ScoreRow], after: list[ScoreRow], **fields: Any) -> dict[str, Artifact]:
    return {"base@nf4": scored(root, "base@nf4", before), "candidate": scored(root, "candidate", after, **fields)}


def measured(root: Path, before: list[ScoreRow], after: list[ScoreRow], of: Suite = CAPITALS) -> SuiteComparison:
    """The one suite of two arms, compared in a directory of its own."""
    directory = root / f"pair{len(list(root.iterdir()))}"
    return only(compare(directory, two_arms(directory, before, after), (of,))[0])


def only(comparison: Comparison) -> SuiteComparison:
    assert len(comparison.pairs) == 1 and len(comparison.pairs[0].suites) == 1
    return comparison.pairs[0].suites[0]


def pair_of(comparison: Comparison, purpose: str) -> PairComparison:
    return next(pair for pair in comparison.pairs if pair.purpose == purpose)


def test_a_binary_suite_is_what_scipy_makes_of_its_rows(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    before = (rng.random(300) < 0.7).astype(float)
    after = np.where(rng.random(300) < 0.15, 1 - before, before)
    groups = ["europe", "asia", "africa"] * 100
    left = rows(before.tolist(), CAPITALS, group=groups, prompt="The capital of Peru is", target="Lima")
    right = rows(after.tolist(), CAPITALS, group=groups)
    random.Random(0).shuffle(right)
    comparison, flips = compare(tmp_path, two_arms(tmp_path, left, right))
    found = only(comparison)
    test = stats.ttest_rel(after, before)
    limits = test.confidence_interval(0.95)
    assert found.gain.value == pytest.approx(after.mean() - before.mean())
    assert (found.gain.low, found.gain.high) == pytest.approx((limits.low, limits.high))
    assert found.gain_se == pytest.approx((after - before).std(ddof=1) / math.sqrt(300))
    wilson = stats.binomtest(int(before.sum()), 300).proportion_ci(method="wilson")
    assert (found.before.low, found.before.high) == pytest.approx((wilson.low, wilson.high))
    forgotten, learned = int(((before == 1) & (after == 0)).sum()), int(((before == 0) & (after == 1)).sum())
    assert (found.forgotten, found.learned) == (forgotten, learned)
    assert found.kept is not None and found.never is not None
    assert forgotten + learned + found.kept + found.never == found.n == 300
    assert found.p_value == pytest.approx(stats.binomtest(forgotten, forgotten + learned).pvalue)
    assert found.unit == "accuracy" and found.higher_is_better and not found.identical
    means = [after[index::3].mean() for index in (0, 1, 2)]
    assert found.macro_after == pytest.approx(np.mean(means))
    assert {entry.group: entry.after for entry in found.groups}["asia"] == pytest.approx(means[1])
    assert [flip.kind for flip in flips] == ["forgotten"] * forgotten + ["learned"] * learned
    assert flips[0].prompt == "The capital of Peru is" and flips[0].before_output != flips[0].after_output


def test_perplexity_is_weighted_by_tokens_and_a_fall_is_a_gain(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    tokens = rng.integers(10, 200, 80).astype(float)
    before, after = rng.normal(3.5, 0.3, 80), rng.normal(2.8, 0.3, 80)
    left = rows(before.tolist(), PERPLEXITY, weight=tokens.tolist())
    right = rows(after.tolist(), PERPLEXITY, weight=tokens.tolist())
    comparison, flips = compare(tmp_path, two_arms(tmp_path, left, right), (PERPLEXITY,))
    found = only(comparison)
    log_perplexity = [float((tokens * values).sum() / tokens.sum()) for values in (before, after)]
    assert (found.before.value, found.after.value) == pytest.approx(tuple(log_perplexity))
    assert found.gain.value == pytest.approx(log_perplexity[0] - log_perplexity[1]) and found.gain.low > 0
    draws = rng.integers(0, 80, size=(4000, 80))
    resampled = (tokens * (before - after))[draws].sum(1) / tokens[draws].sum(1)
    assert found.gain_se == pytest.approx(resampled.std(ddof=1), rel=0.1)
    assert found.unit == "nats_per_token" and not found.higher_is_better
    assert found.forgotten is None and flips == []
    assert found.p_improved < 1e-6


def test_swapping_the_arms_negates_every_gain_and_swaps_the_flips(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    suites = (CAPITALS, PERPLEXITY, suite("rouge", metric="rouge"))
    values = [[(rng.random(60) < 0.6).astype(float), rng.normal(3, 1, 60), rng.random(60)] for _ in range(2)]
    arms = [
        [
            row
            for of, scores in zip(suites, arm, strict=True)
            for row in rows(scores.tolist(), of, group=["a", "b"] * 30)
        ]
        for arm in values
    ]
    there, _ = compare(tmp_path / "there", two_arms(tmp_path / "there", arms[0], arms[1]), suites)
    back, _ = compare(tmp_path / "back", two_arms(tmp_path / "back", arms[1], arms[0]), suites)
    for one, other in zip(there.pairs[0].suites, back.pairs[0].suites, strict=True):
        assert other.gain.value == pytest.approx(-one.gain.value)
        assert (other.gain.low, other.gain.high) == pytest.approx((-one.gain.high, -one.gain.low))
        assert other.p_value == pytest.approx(one.p_value)
        assert (other.forgotten, other.learned) == (one.learned, one.forgotten)
        gains = [[entry.gain.value for entry in found.groups] for found in (one, other)]
        assert gains[1] == pytest.approx([-gain for gain in gains[0]])


def test_a_sham_arm_is_identical_and_the_noise_floor_stands_beside_the_candidate(tmp_path: Path) -> None:
    before = [1.0, 0.0] * 50
    noisy = [0.0, 1.0, *before[2:]]
    after = [0.0] * 10 + before[10:]
    arms = two_arms(tmp_path, rows(before, CAPITALS), rows(after, CAPITALS))
    arms["sham"] = scored(tmp_path, "sham", rows(before, CAPITALS))
    arms["noise"] = scored(tmp_path, "noise", rows(noisy, CAPITALS), batch_size=5)
    comparison, flips = compare(tmp_path, arms, pairs=PAIRS)
    sham = pair_of(comparison, "sham").suites[0]
    assert sham.identical and (sham.gain.low, sham.gain.high, sham.p_value) == (0.0, 0.0, 1.0)
    candidate = pair_of(comparison, "candidate").suites[0]
    assert candidate.noise_flips == 2
    assert candidate.noise_gain_sd == pytest.approx(np.std(np.subtract(noisy, before), ddof=1))
    assert pair_of(comparison, "noise").suites[0].noise_flips is None
    assert {(flip.after_arm, flip.kind) for flip in flips} == {
        ("candidate", "forgotten"),
        ("noise", "forgotten"),
        ("noise", "learned"),
    }


def test_equal_scores_of_other_outputs_leave_doubt_about_other_documents(tmp_path: Path) -> None:
    found = measured(tmp_path, rows([1.0] * 40, CAPITALS), rows([1.0] * 40, CAPITALS, output="another"))
    assert found.identical and found.gain.low < 0 < found.gain.high and found.p_value == 1.0


def test_a_sham_arm_with_equal_scores_leaves_no_doubt_whatever_the_last_digit_of_its_outputs(tmp_path: Path) -> None:
    arms = two_arms(tmp_path, rows([1.0, 0.0] * 20, CAPITALS), rows([0.0, 0.0] * 20, CAPITALS))
    arms["sham"] = scored(tmp_path, "sham", rows([1.0, 0.0] * 20, CAPITALS, output="another"))
    sham = pair_of(compare(tmp_path, arms, pairs=PAIRS[:2])[0], "sham").suites[0]
    assert sham.identical and (sham.gain.low, sham.gain.high) == (0.0, 0.0)


def test_failed_documents_are_counted_and_widen_the_interval_both_ways(tmp_path: Path) -> None:
    before = [1.0, 0.0] * 100
    after: list[float | None] = [None, None, *before[2:]]
    found = measured(tmp_path, rows(before, CAPITALS), rows(after, CAPITALS))
    assert (found.n, found.failed_before, found.failed_after, found.obstacles) == (200, 0, 2, ())
    whole = measured(tmp_path, rows(before, CAPITALS), rows(before, CAPITALS))
    assert whole.identical and not found.identical
    # Were the first document wrong and the second right, or the other way round:
    assert found.gain.low < -1 / 200 and found.gain.high > 1 / 200


def test_too_many_failures_or_missing_documents_are_obstacles(tmp_path: Path) -> None:
    before = [1.0, 0.0] * 50
    failed = measured(tmp_path, rows(before, CAPITALS), rows([*before[:97], None, None, None], CAPITALS))
    assert any("3 of 100 documents failed after" in obstacle for obstacle in failed.obstacles)
    short = measured(tmp_path, rows(before, CAPITALS), rows(before[:90], CAPITALS))
    assert (short.n, short.unpaired) == (90, 10)
    assert any("10 documents were scored in one arm alone" in obstacle for obstacle in short.obstacles)


@pytest.mark.parametrize("after", [[], [None, None]])
def test_nothing_scored_is_an_obstacle_and_not_a_number(tmp_path: Path, after: list[None]) -> None:
    found = measured(tmp_path, rows([1.0, 0.0], CAPITALS), rows(after, CAPITALS))
    assert found.obstacles and found.method == "none" and found.p_improved_holm == 1.0


def test_one_document_is_an_obstacle_only_where_its_scale_has_no_end(tmp_path: Path) -> None:
    graded = measured(tmp_path, rows([3.0], PERPLEXITY), rows([2.0], PERPLEXITY), PERPLEXITY)
    assert any("one independent document" in obstacle for obstacle in graded.obstacles)
    binary = measured(tmp_path, rows([0.0], CAPITALS), rows([1.0], CAPITALS))
    assert not binary.obstacles and binary.gain.low < 0


def test_other_token_counts_are_not_comparable(tmp_path: Path) -> None:
    left, right = rows([3.0, 2.0], PERPLEXITY, weight=[10.0, 20.0]), rows([3.0, 2.0], PERPLEXITY, weight=[9.0, 20.0])
    found = measured(tmp_path, left, right, PERPLEXITY)
    assert any("tokens" in obstacle for obstacle in found.obstacles)


def test_differing_conditions_make_the_pair_not_comparable_and_say_which(tmp_path: Path) -> None:
    arms = two_arms(tmp_path, rows([1.0, 0.0], CAPITALS), rows([1.0, 0.0], CAPITALS), batch_size=16)
    pair = compare(tmp_path, arms)[0].pairs[0]
    assert not pair.comparable and "batch_size differs: 8 in base@nf4, 16 in candidate" in pair.obstacles[0]


def test_unparsed_answers_are_told_apart_from_wrong_ones(tmp_path: Path) -> None:
    before = [1.0] * 60
    after = [0.0] * 20 + [1.0] * 40
    parsed = [False] * 20 + [True] * 40
    found = measured(tmp_path, rows(before, CAPITALS), rows(after, CAPITALS, parsed=parsed))
    assert found.gain.value == pytest.approx(-1 / 3) and found.unparsed_after == 20
    assert found.both_parsed is not None and found.both_parsed.value == 0 and found.both_parsed_n == 40


def test_a_category_that_goes_the_other_way_is_named(tmp_path: Path) -> None:
    before, after = [0.0] * 80 + [1.0] * 20, [1.0] * 80 + [0.0] * 20
    groups = ["common"] * 80 + ["rare"] * 20
    found = measured(tmp_path, rows(before, CAPITALS, group=groups), rows(after, CAPITALS, group=groups))
    assert found.gain.value > 0 and found.sign_reversals == ("rare",)
    assert (found.macro_before, found.macro_after) == (0.5, 0.5)


def test_chance_is_the_mean_of_one_over_the_choices(tmp_path: Path) -> None:
    outputs = [json.dumps({"choice": 0, "logprobs": [-1.0] * count}) for count in (2, 4)] * 20
    found = measured(tmp_path, rows([1.0, 0.0] * 20, CAPITALS, output=outputs), rows([0.0, 0.0] * 20, CAPITALS))
    assert found.chance == pytest.approx(0.375)


def test_holm_spans_the_suites_that_can_claim_an_improvement(tmp_path: Path) -> None:
    suites = (CAPITALS, suite("copying"), suite("frozen", "regression"))
    before = [0.0] * 40
    left = [row for of in suites for row in rows(before, of)]
    right = [row for of in suites for row in rows([1.0] * 7 + before[7:], of)]
    found = compare(tmp_path, two_arms(tmp_path, left, right), suites)[0].pairs[0].suites
    assert [entry.p_improved for entry in found] == [0.5**7, 0.5**7, 1.0]
    assert [entry.p_improved_holm for entry in found] == [0.5**6, 0.5**6, 1.0]
    assert "allowed failures" in found[2].test and found[2].p_value == 1.0


@pytest.mark.parametrize("trusted", [True, False])
def test_a_judge_that_does_not_count_makes_no_other_claim_harder(tmp_path: Path, trusted: bool) -> None:
    suites = (suite("one"), suite("answers", "judge", "win_rate"))
    before = [0.0] * 40
    arms = two_arms(tmp_path, rows(before, suites[0]), rows([1.0] * 7 + before[7:], suites[0]))
    calls = [judgment(document, order, 1.0) for document in range(9) for order in ("before_first", "after_first")]
    arms["judge"] = judged(tmp_path, calls, trust(trusted))
    of_scores, of_judge = compare(tmp_path, arms, suites)[0].pairs[0].suites
    assert (of_scores.p_improved, of_judge.p_improved) == (0.5**7, 0.5**9)
    assert of_scores.p_improved_holm == 0.5**7  # the larger of two, or the only one
    assert of_judge.p_improved_holm == (2 * 0.5**9 if trusted else 1.0)


def test_the_judge_suite_is_the_win_rate_of_both_orders(tmp_path: Path) -> None:
    answers = suite("answers", "judge", "win_rate")
    orders = ("before_first", "after_first")
    verdicts: list[tuple[float | None, float | None]] = [(1.0, 1.0)] * 30 + [(1.0, 0.0)] * 6 + [(0.0, 0.0)] * 4
    calls = [
        judgment(document, order, preference)
        for document, both in enumerate(verdicts)
        for order, preference in zip(orders, both, strict=True)
    ]
    arms = two_arms(tmp_path, [], [])
    arms["judge"] = judged(tmp_path, calls, trust(True))
    said = [
        Judged(PairCalls(first, 1 - second), (10, 10 + number))
        for number, (first, second) in enumerate(verdicts)
        if first is not None and second is not None
    ]
    judges_own = findings(said, before="base@nf4", after="candidate")
    assert judges_own is not None
    write_model(arms["judge"].part("findings.json"), judges_own)
    comparison, _ = compare(tmp_path, arms, (answers,))
    found = only(comparison)
    assert comparison.judged == judges_own
    assert judges_own.win_rate.value == pytest.approx(found.after.value)
    assert comparison.judge is not None and comparison.judge.trusted
    assert (found.unit, found.n, found.before.value) == ("win_rate", 40, 0.5)
    assert found.after.value == pytest.approx((30 + 3) / 40)
    assert found.gain.value == pytest.approx(found.after.value - 0.5)
    assert found.p_value == pytest.approx(stats.binomtest(4, 34).pvalue)


def test_unreadable_judgments_widen_the_win_rate_to_all_lost_and_all_won(tmp_path: Path) -> None:
    answers = suite("answers", "judge", "win_rate")
    readable = [judgment(document, order, 1.0) for document in range(40) for order in ("before_first", "after_first")]
    broken = [judgment(document, "before_first", None) for document in range(40, 50)]
    arms = two_arms(tmp_path, [], [])
    arms["judge"] = judged(tmp_path, [*readable, *broken], trust(True))
    found = only(compare(tmp_path, arms, (answers,))[0])
    assert (found.n, found.failed_after, found.after.value) == (50, 10, 1.0)
    assert found.after.low < 40 / 50 and "all-lost and all-won for 10 failed" in found.method


def test_answers_that_nobody_judged_are_named_as_not_run(tmp_path: Path) -> None:
    suites = (CAPITALS, suite("answers", "judge", "win_rate"))
    comparison, _ = compare(tmp_path, two_arms(tmp_path, rows([1.0], CAPITALS), rows([1.0], CAPITALS)), suites)
    assert any("answers" in gap and "not judged" in gap for gap in comparison.not_run)


def test_the_filter_that_does_not_decide_is_named(tmp_path: Path) -> None:
    both = [row for name in ("none", "flexible") for row in rows([1.0, 0.0], CAPITALS, filter=name)]
    comparison, _ = compare(tmp_path, two_arms(tmp_path, both, both))
    assert only(comparison).filter == "none"
    assert any("flexible" in gap for gap in comparison.not_run)


def test_the_same_rows_in_another_order_give_the_same_bytes(tmp_path: Path) -> None:
    rng = np.random.default_rng(9)
    graded = suite("rouge", metric="rouge")
    arms = [rows(rng.random(25).tolist(), graded, cluster=[f"c{index % 8}" for index in range(25)]) for _ in range(2)]
    first, _ = compare(tmp_path / "1", two_arms(tmp_path / "1", *arms), (graded,))
    shuffled = [random.Random(seed).sample(arm, len(arm)) for seed, arm in enumerate(arms)]
    second, _ = compare(tmp_path / "2", two_arms(tmp_path / "2", *shuffled), (graded,))
    assert first.model_dump_json() == second.model_dump_json()


def test_a_broken_row_is_named_with_its_line(tmp_path: Path) -> None:
    arms = two_arms(tmp_path, rows([1.0, 0.0], CAPITALS), rows([1.0, 0.0], CAPITALS))
    part = arms["candidate"].part("samples.jsonl")
    part.write_text(part.read_text() + '{"arm": "candidate", "val', encoding="utf-8")
    with pytest.raises(IncompleteError, match=r"samples\.jsonl:3"):
        compare(tmp_path, arms)


def test_an_arm_that_was_not_scored_is_named(tmp_path: Path) -> None:
    with pytest.raises(IncompleteError, match="candidate"):
        compare(tmp_path, {"base@nf4": scored(tmp_path, "base@nf4", rows([1.0], CAPITALS))})


def test_cancelling_leaves_no_comparison(tmp_path: Path) -> None:
    arms = two_arms(tmp_path, rows([1.0], CAPITALS), rows([1.0], CAPITALS))
    ctx, _ = context(tmp_path / "out", cancelled=True)
    node = CompareNode(compare=CompareConfig(pairs=DECIDING), suites=(CAPITALS,), alpha=0.05, max_failed_fraction=0.02)
    outcome = STAGE.run(node, {f"score:{name}": artifact for name, artifact in arms.items()}, ctx)
    assert isinstance(outcome, Cancelled) and not (ctx.out_dir / "comparison.json").exists()


def test_obstacles_are_warned_about(tmp_path: Path) -> None:
    arms = two_arms(tmp_path, rows([1.0], CAPITALS), rows([1.0], CAPITALS), precision="bf16")
    write_rows(arms["candidate"].part("samples.jsonl"), [])
    ctx, events = context(tmp_path / "out")
    node = CompareNode(compare=CompareConfig(pairs=DECIDING), suites=(CAPITALS,), alpha=0.05, max_failed_fraction=0.02)
    STAGE.run(node, {f"score:{name}": artifact for name, artifact in arms.items()}, ctx)
    warnings = [event.message for event in events if getattr(event, "level", "") == "warning"]
    assert any("precision differs" in message for message in warnings)
    assert any("no document was scored in both arms" in message for message in warnings)


def test_what_plan_and_command_line_import_brings_neither_numpy_nor_scipy() -> None:
    names = ("compare.stage", "compare.power", "compare.samples", "compare.text", "gate.stage")
    imports = ", ".join(f"workbench.{name}" for name in names)
    code = f"import sys, {imports}; print({{'numpy', 'scipy'}} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
