"""Ablations: intervals over documents and seeds against other libraries and simulation, and the answer they lead to."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from scored_arms import context, rows, scored, suite

from workbench.compare.ablation import run_ablation, size_arms
from workbench.compare.ablation_text import render_ablation, render_ablation_markdown
from workbench.compare.gain import Settings
from workbench.compare.seeds import SeededScores, seeded_gain
from workbench.compare.statistics.crossed import crossed_mean, mean_squares
from workbench.compare.statistics.mean import weighted_mean
from workbench.compare.suite import Scale
from workbench.core.ablation_results import Ablation, AblationArms, ArmSize
from workbench.core.config import CompareConfig
from workbench.core.errors import IncompleteError
from workbench.core.nodes import AblationArm, AblationArmsNode, AblationNode
from workbench.core.parts import read_model, write_model
from workbench.core.results import MixSummary
from workbench.core.stage import Artifact, Done
from workbench.core.suites import Suite

SETTINGS = Settings(confidence=0.95, resamples=999, seed=0)
NATS = Scale("nats_per_token", False, -1, None)
RIGHT = Scale("accuracy", True, 1, 1.0)


def _table(rng: np.random.Generator, n: int, seeds: int, sd_seed: float = 0.2, sd_doc: float = 1.0) -> Any:
    """Differences with a mean of 0: documents, seeds and the rest all vary."""
    documents, by_seed = rng.normal(0, sd_doc, (n, 1)), rng.normal(0, sd_seed, (1, seeds))
    return documents + by_seed + rng.normal(0, 1, (n, seeds))


def test_mean_squares_are_those_of_statsmodels() -> None:
    import pandas as pd
    from statsmodels.formula.api import ols
    from statsmodels.stats.anova import anova_lm

    table = _table(np.random.default_rng(0), 20, 4)
    frame = pd.DataFrame([{"d": table[i, j], "doc": f"d{i}", "seed": f"s{j}"} for i in range(20) for j in range(4)])
    expected = anova_lm(ols("d ~ C(doc) + C(seed)", frame).fit())["mean_sq"]
    assert mean_squares(table) == pytest.approx([expected["C(doc)"], expected["C(seed)"], expected["Residual"]])


def test_the_standard_error_is_that_of_a_mixed_model_with_crossed_effects() -> None:
    import pandas as pd
    from statsmodels.regression.mixed_linear_model import MixedLM

    table = _table(np.random.default_rng(3), 25, 5, sd_seed=0.6)
    frame = pd.DataFrame([{"d": table[i, j], "doc": i, "seed": j, "one": 1} for i in range(25) for j in range(5)])
    effects = {"doc": "0 + C(doc)", "seed": "0 + C(seed)"}
    fitted = MixedLM.from_formula("d ~ 1", frame, groups="one", vc_formula=effects, re_formula="0").fit(reml=True)
    found = crossed_mean(table, np.ones(25), np.arange(25), 0.95)
    assert found.estimate.value == pytest.approx(fitted.fe_params["Intercept"])
    assert found.estimate.se == pytest.approx(fitted.bse_fe["Intercept"], rel=2e-3)
    assert found.seed_sd**2 == pytest.approx(fitted.vcomp[1], rel=2e-2)


def test_documents_that_agree_leave_a_t_test_over_seeds() -> None:
    by_seed = np.array([0.3, 0.1, 0.5])
    table = np.tile(by_seed, (40, 1))
    found = crossed_mean(table, np.ones(40), np.arange(40), 0.95)
    expected = stats.ttest_1samp(by_seed, 0).confidence_interval(0.95)
    assert (found.estimate.low, found.estimate.high) == pytest.approx((expected.low, expected.high))
    assert found.p_values()[0] == pytest.approx(stats.ttest_1samp(by_seed, 0, alternative="greater").pvalue)
    assert found.degrees == pytest.approx(2) and found.seed_share == pytest.approx(1)


def test_seeds_that_agree_leave_the_error_of_the_documents_with_clusters_and_weights() -> None:
    rng = np.random.default_rng(5)
    values, weights, codes = rng.normal(size=60), rng.integers(1, 50, 60).astype(float), rng.integers(0, 15, 60)
    codes = np.unique(codes, return_inverse=True)[1].astype(np.int64)
    alone = weighted_mean(values, weights, codes, 0.95)
    found = crossed_mean(np.tile(values[:, None], (1, 3)), weights, codes, 0.95)
    assert (found.estimate.value, found.estimate.se) == pytest.approx((alone.value, alone.se))
    assert found.seed_share == pytest.approx(0)


def test_degrees_of_freedom_follow_hillis() -> None:
    table = _table(np.random.default_rng(7), 30, 4)
    ms_doc, ms_seed, ms_rest = mean_squares(table)
    whole = ms_seed + max(ms_doc - ms_rest, 0)
    found = crossed_mean(table, np.ones(30), np.arange(30), 0.95)
    assert found.degrees == pytest.approx(3 * whole**2 / ms_seed**2)
    assert found.estimate.se == pytest.approx(math.sqrt(whole / (30 * 4)))


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("sd_seed", [0.0, 0.1, 0.5])
def test_the_interval_covers_the_truth_however_much_seeds_differ(seeds: int, sd_seed: float) -> None:
    rng = np.random.default_rng([11, seeds, round(100 * sd_seed)])
    n, tries, covered, alone = 210, 400, 0, 0
    ones, codes = np.ones(n), np.arange(n)
    for _ in range(tries):
        table = _table(rng, n, seeds, sd_seed)
        gain = seeded_gain(SeededScores(table, np.zeros_like(table), ones, codes), NATS, SETTINGS, 0.05)
        assert gain is not None
        covered += gain.estimate.low <= 0 <= gain.estimate.high
        documents = weighted_mean(table.mean(axis=1), ones, codes, 0.95)
        alone += documents.low <= 0 <= documents.high
    assert covered / tries > 0.925  # 95% less 2.3 standard errors of 400 tries
    if sd_seed == 0.5:
        assert alone / tries < 0.6  # what documents alone would have claimed


def test_an_effect_of_the_detectable_size_is_found_in_about_80_percent_of_cases() -> None:
    rng = np.random.default_rng(13)
    n, seeds, found, effects = 210, 5, 0, []
    ones, codes = np.ones(n), np.arange(n)
    for _ in range(200):
        table = _table(rng, n, seeds, 0.1)
        gain = seeded_gain(SeededScores(np.zeros_like(table), -table - 0.25, ones, codes), NATS, SETTINGS, 0.05)
        assert gain is not None
        found += gain.estimate.low > 0
        effects.append(gain.mde)
    assert np.median(effects) == pytest.approx(0.25, rel=0.1)
    assert 0.7 < found / 200 < 0.9


def test_one_seed_gives_the_interval_of_the_documents() -> None:
    rng = np.random.default_rng(17)
    before, after = (rng.integers(0, 2, (300, 1)).astype(float) for _ in range(2))
    gain = seeded_gain(SeededScores(before, after, np.ones(300), np.arange(300)), RIGHT, SETTINGS, 0.05)
    assert gain is not None and gain.by_seed == pytest.approx((gain.estimate.value,))
    expected = stats.ttest_1samp((after - before)[:, 0], 0).confidence_interval(0.95)
    assert (gain.estimate.low, gain.estimate.high) == pytest.approx((expected.low, expected.high))


def test_no_flip_in_any_seed_is_not_certainty() -> None:
    same = np.ones((50, 3))
    gain = seeded_gain(SeededScores(same, same, np.ones(50), np.arange(50)), RIGHT, SETTINGS, 0.05)
    assert gain is not None and gain.estimate.value == 0
    assert gain.estimate.high == pytest.approx(0.0714, abs=1e-3) and gain.estimate.low == -gain.estimate.high


def test_a_failed_document_could_have_been_lost_or_won() -> None:
    rng = np.random.default_rng(19)
    before, after = (rng.integers(0, 2, (100, 3)).astype(float) for _ in range(2))
    whole = seeded_gain(SeededScores(before, after, np.ones(100), np.arange(100)), RIGHT, SETTINGS, 0.05)
    after[4, 1] = math.nan
    torn = seeded_gain(SeededScores(before, after, np.ones(100), np.arange(100)), RIGHT, SETTINGS, 0.05)
    assert whole is not None and torn is not None
    assert torn.estimate.low < whole.estimate.low and torn.estimate.high > whole.estimate.high
    assert "1 failed" in torn.estimate.method


# From training sets and scored arms to an answer.

TARGET = suite("docs", "perplexity", "nll", role="target", margin=0.1)
GENERAL = suite("capitals", role="general", margin=0.05)
ARMS = ("filtered", "random", "all")


def _node(
    seeds: int = 3, suites: tuple[Suite, ...] = (TARGET, GENERAL), arms: Sequence[str] = ARMS, **fields: Any
) -> AblationNode:
    values: dict[str, Any] = {
        "arms": tuple(_arm(name, seeds) for name in arms),
        "seeds": tuple(range(seeds)),
        "suites": suites,
        "compare": CompareConfig(bootstrap_resamples=999),
        "alpha": 0.05,
        "max_failed_fraction": 0.02,
        "steps": 60,
        "question": "curation, all filters together",
        "command": "workbench ablate",
        "strict": False,
        "base": "score:base",
    }
    return AblationNode.model_validate(values | fields)


def _arm(name: str, seeds: int) -> AblationArm:
    scores = tuple(f"score:{name}-s{seed}" for seed in range(seeds))
    return AblationArm.model_validate({"rows": name, "mixed": (f"mix:{name}",), "scored": scores})


def _inputs(
    root: Path,
    means: Mapping[str, float],
    *,
    seeds: int = 3,
    sd_seed: float = 0.01,
    right: Mapping[str, float] | None = None,
    suites: tuple[Suite, ...] = (TARGET, GENERAL),
    **info: Any,
) -> dict[str, Artifact]:
    """Scored arms whose nats per token and share of right answers are as told."""
    rng = np.random.default_rng(23)
    hardness, luck = rng.normal(3, 0.5, 300), rng.uniform(0, 1, 300)
    inputs = {}
    for name in (*ARMS, "base"):
        for seed in range(seeds if name != "base" else 1):
            label = name if name == "base" else f"{name}-s{seed}"
            nats = hardness + means.get(name, 0) + rng.normal(0, sd_seed) + rng.normal(0, 0.05, 300)
            found = []
            for one in suites:
                binary = one.kind == "lm_eval"
                values = (luck < (right or {}).get(name, 0.8)).astype(float) if binary else nats
                found += rows(list(values), one, arm=label)
            inputs[f"score:{label}"] = scored(root, label, found, **info)
    sizes = [ArmSize.model_validate({"arm": arm, "rows": 400, "trainable_tokens": 9000, "passes": 1.2}) for arm in ARMS]
    made = scored(root, "arms", [])
    write_model(made.part("arms.json"), AblationArms(arms=tuple(sizes)))
    return inputs | {"compare:arms": made}


def _ablation(root: Path, node: AblationNode, inputs: Mapping[str, Artifact]) -> Ablation:
    ctx, _ = context(root / "out", "compare:ablation")
    outcome = run_ablation(node, inputs, ctx)
    assert isinstance(outcome, Done), outcome
    found = read_model(ctx.out_dir / "ablation.json", Ablation)
    assert (ctx.out_dir / "ablation.md").read_text() == render_ablation_markdown(found)
    return found


def test_filters_that_beat_a_random_drop_help(tmp_path: Path) -> None:
    found = _ablation(tmp_path, _node(strict=True), _inputs(tmp_path, {"filtered": -0.2}))
    assert (found.state, found.exit_code) == ("help", 0) and "The filters help: filtered beats" in found.headline
    target = found.pairs[0].suites[0]
    assert found.pairs[0].before == "random" and [pair.before for pair in found.pairs] == ["random", "all"]
    assert target.gain.low > 0 and target.gain.value == pytest.approx(0.2, abs=0.03) and len(target.by_seed) == 3
    levels = {level.arm: level for level in found.levels["docs"]}
    assert set(levels) == {"filtered", "random", "all", "base"} and len(levels["base"].by_seed) == 1
    gains = [b - a for a, b in zip(levels["filtered"].by_seed, levels["random"].by_seed, strict=True)]
    assert gains == pytest.approx(list(target.by_seed))


def test_a_gain_smaller_than_the_spread_between_seeds_is_no_evidence(tmp_path: Path) -> None:
    inputs = _inputs(tmp_path, {"filtered": -0.02}, sd_seed=0.1)
    found = _ablation(tmp_path, _node(), inputs)
    assert (found.state, found.exit_code) == ("no evidence", 0)
    target = found.pairs[0].suites[0]
    assert target.gain.low < 0 < target.gain.high and target.seed_share > 0.9
    assert "would be found" in found.headline and any("more seeds would narrow" in reason for reason in found.reasons)
    # Each pair of adapters by itself, on its 300 documents, would have been sure of something.
    alone = weighted_mean(np.array(target.by_seed), np.ones(3), np.arange(3), 0.95)
    assert max(map(abs, target.by_seed)) > 5 * 0.05 * math.sqrt(2 / 300) and alone.low < 0 < alone.high


def test_filters_that_lose_to_a_random_drop_hurt_and_strict_says_so(tmp_path: Path) -> None:
    inputs = _inputs(tmp_path, {"filtered": 0.2})
    assert _ablation(tmp_path, _node(), inputs).exit_code == 0
    found = _ablation(tmp_path, _node(strict=True), inputs)
    assert (found.state, found.exit_code) == ("hurt", 1) and "The filters hurt" in found.headline


@pytest.mark.parametrize("worse_than", ["random", "all"])
def test_a_gated_suite_that_loses_more_than_its_margin_withholds_the_acceptance(
    tmp_path: Path, worse_than: str
) -> None:
    right = {"filtered": 0.7, "random": 0.7, "all": 0.7} | {worse_than: 0.9}
    found = _ablation(tmp_path, _node(), _inputs(tmp_path, {"filtered": -0.2}, right=right))
    assert found.state == "mixed" and "capitals" in found.headline
    assert any("lost more than the margin of 5 points" in reason for reason in found.reasons)


def test_a_loss_that_cannot_be_ruled_out_is_named(tmp_path: Path) -> None:
    right = {"filtered": 0.76, "random": 0.8, "all": 0.8}
    found = _ablation(tmp_path, _node(), _inputs(tmp_path, {"filtered": -0.2}, right=right))
    assert found.state == "help" and any("cannot be ruled out" in reason for reason in found.reasons)


def test_one_seed_speaks_of_its_adapters_only(tmp_path: Path) -> None:
    found = _ablation(tmp_path, _node(seeds=1), _inputs(tmp_path, {"filtered": -0.2}, seeds=1))
    assert found.state == "help" and "in these two adapters (one seed)" in found.headline
    assert any("about these adapters only" in reason for reason in found.reasons)


def test_several_target_suites_pay_for_their_number(tmp_path: Path) -> None:
    suites = tuple(suite(f"t{k}", "perplexity", "nll", role="target") for k in range(6))
    inputs = _inputs(tmp_path, {"filtered": -0.012}, suites=suites)
    alone = _ablation(tmp_path, _node(suites=suites[:1]), inputs).pairs[0].suites[0]
    among = _ablation(tmp_path, _node(suites=suites), inputs).pairs[0].suites[0]
    assert among.p_better == alone.p_better and alone.p_better_holm == alone.p_better
    assert among.p_better_holm == pytest.approx(min(1, 6 * alone.p_better))


def test_arms_scored_under_other_conditions_are_not_comparable(tmp_path: Path) -> None:
    inputs = _inputs(tmp_path, {"filtered": -0.2})
    info = inputs["score:random-s1"].part("arm.json")
    info.write_text(info.read_text().replace('"512"', '"256"'))
    found = _ablation(tmp_path, _node(), inputs)
    assert (found.state, found.exit_code) == ("not comparable", 3)
    assert any("max_length differs" in reason for reason in found.reasons)


def test_too_many_failed_documents_are_not_comparable(tmp_path: Path) -> None:
    inputs = _inputs(tmp_path, {"filtered": -0.2})
    path = inputs["score:filtered-s2"].part("samples.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    failed = [line | {"value": None, "error": "gone"} if line["doc_id"] < 10 else line for line in lines]
    path.write_text("".join(json.dumps(line) + "\n" for line in failed))
    found = _ablation(tmp_path, _node(), inputs)
    assert found.state == "not comparable" and found.pairs[0].suites[0].failed == 10


def test_a_missing_arm_is_incomplete(tmp_path: Path) -> None:
    inputs = _inputs(tmp_path, {})
    del inputs["score:random-s2"]
    ctx, _ = context(tmp_path / "out")
    with pytest.raises(IncompleteError, match="was not scored"):
        run_ablation(_node(), inputs, ctx)


def test_names_are_no_markup_and_no_control_sequence(tmp_path: Path) -> None:
    node = _node(question="a|b <script> \x1b[2J `x`")
    found = _ablation(tmp_path, node, _inputs(tmp_path, {"filtered": -0.2}))
    page, text = render_ablation_markdown(found), render_ablation(found)
    assert "<script>" not in page and "a|b" not in page and "\x1b" not in page + text
    assert "random -> filtered" in text and "95% CI" in text


def _sized(root: Path, rows_and_tokens: Mapping[str, tuple[int, int]]) -> tuple[AblationArms, list[str]]:
    arms = tuple(
        AblationArm.model_validate({"rows": name, "mixed": (f"mix:{name}",), "scored": ()}) for name in rows_and_tokens
    )
    inputs = {}
    for name, (count, tokens) in rows_and_tokens.items():
        made = scored(root, name, [])
        summary = MixSummary(shares=(), rows=count, trainable_tokens=tokens, token_counter="words")
        write_model(made.part("shares.json"), summary)
        inputs[f"mix:{name}"] = made
    ctx, events = context(root / "out", "compare:arms")
    assert isinstance(size_arms(AblationArmsNode(arms=arms, rows_read=480), inputs, ctx), Done)
    return read_model(ctx.out_dir / "arms.json", AblationArms), [event.message for event in events]


def test_arms_too_small_to_say_much_are_named(tmp_path: Path) -> None:
    found, said = _sized(
        tmp_path, {"filtered": (400, 9000), "random": (401, 9010), "all": (420, 9500), "dropped": (20, 500)}
    )
    assert {size.arm: size.passes for size in found.arms}["dropped"] == 24
    assert said == list(found.warnings) and len(said) == 1 and "Arm dropped has 20 rows, each read 24 times" in said[0]


def test_training_that_reads_little_of_the_data_is_named(tmp_path: Path) -> None:
    _, said = _sized(tmp_path, {"filtered": (5000, 90000), "random": (5010, 90000)})
    assert len(said) == 1 and "reads 480 sequences, of 5000 rows" in said[0]


def test_a_random_arm_of_another_size_is_named(tmp_path: Path) -> None:
    _, said = _sized(tmp_path, {"filtered": (400, 9000), "random": (450, 9900), "all": (500, 11000)})
    assert len(said) == 1 and "10% apart" in said[0]
