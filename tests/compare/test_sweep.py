"""Sweeps: which arm may be the best, what a highest estimate is worth, and the recommendation they lead to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scored_arms import arm_info, context, rows, scored, suite

from workbench.compare.pairs import Arm
from workbench.compare.rows import Column
from workbench.compare.seeded_suites import Rules, compare_seeds
from workbench.compare.statistics.best import one_sided_confidence, shortfalls, split_half
from workbench.compare.statistics.estimates import Estimate
from workbench.compare.statistics.multiplicity import holm
from workbench.compare.sweep import run_sweep
from workbench.compare.sweep_answer import Measured, answer
from workbench.compare.sweep_text import plot, render_sweep, render_sweep_markdown
from workbench.core.config import CompareConfig
from workbench.core.errors import IncompleteError
from workbench.core.nodes import SweepNode, SweptArm
from workbench.core.parts import read_model, read_rows, write_model, write_rows
from workbench.core.records import ScoreRow
from workbench.core.results import TrainSummary
from workbench.core.stage import Artifact, Done
from workbench.core.suites import Suite
from workbench.core.sweep_results import Sweep

TARGET = suite("docs", "perplexity", "nll", role="target", margin=0.1)
GENERAL = suite("capitals", role="general", margin=0.05)
PARAMETERS = {"small": 1000, "middle": 2000, "large": 4000}


def _estimate(value: float, low: float, high: float) -> Estimate:
    return Estimate(value, low, high, (high - low) / 4, "given")


# Which arm may be the best


def test_an_arm_is_as_far_from_the_best_as_from_the_arm_furthest_ahead() -> None:
    distances = {
        ("a", "b"): _estimate(0.3, 0.1, 0.5),
        ("a", "c"): _estimate(0.25, -0.1, 0.6),
        ("b", "c"): _estimate(-0.05, -0.2, 0.1),
    }
    found = shortfalls(["a", "b", "c"], distances)
    assert found["a"] == pytest.approx((0.3, 0.1, 0.6))
    assert found["b"] == pytest.approx((0.0, 0.0, 0.1))
    assert found["c"] == pytest.approx((0.05, 0.0, 0.2))
    assert shortfalls(["a"], distances) == {"a": (0.0, 0.0, 0.0)}


def test_the_level_is_shared_by_all_other_arms() -> None:
    assert one_sided_confidence(0.05, 2) == pytest.approx(0.90)
    assert one_sided_confidence(0.05, 6) == pytest.approx(1 - 2 * 0.05 / 5)


def _means(rng: np.random.Generator, gains: Sequence[float], clusters: int, seeds: int) -> np.ndarray:
    """Gains [clusters, arms, seeds] with noise of documents and, where there are several, of trainings."""
    arms = len(gains)
    noise = rng.normal(0, 0.5, (clusters, arms, seeds)) + rng.normal(0, 0.05 * (seeds > 1), (1, arms, seeds))
    return np.asarray(gains)[None, :, None] + noise


@pytest.mark.parametrize("seeds", [1, 4])
def test_the_highest_of_equal_arms_is_worth_no_more_than_the_others(seeds: int) -> None:
    rng = np.random.default_rng(3)
    found = [split_half(_means(rng, [0.2] * 6, 60, seeds), np.ones(60), 20, 0) for _ in range(150)]
    highest = np.array([one.gain for one in found if one])
    elsewhere = np.array([one.gain_elsewhere for one in found if one])
    assert highest.mean() - 0.2 > 5 * highest.std() / np.sqrt(150)
    assert abs(elsewhere.mean() - 0.2) < 3 * elsewhere.std() / np.sqrt(150)


def test_an_arm_far_ahead_loses_nothing_by_being_chosen_on_one_half() -> None:
    sums = _means(np.random.default_rng(5), [0.0, 2.0, 0.1], 80, 3)
    found = split_half(sums, np.ones(80), 50, 0)
    assert found is not None and (found.arm, found.same_arm) == (1, 1.0)
    assert found.gain_elsewhere == pytest.approx(found.gain, abs=0.02)


def test_two_documents_are_each_others_half() -> None:
    # Document 0 favours arm 0 by 1, document 1 favours arm 1 by 3; three tokens against one.
    sums = np.array([[[3.0], [0.0]], [[0.0], [3.0]]])
    found = split_half(sums, np.array([3.0, 1.0]), 10, 0)
    # Chosen on document 0: arm 0, which has 0 / 1 on the other. Chosen on document 1: arm 1, which has 0 / 3.
    assert found is not None and found.gain_elsewhere == 0.0 and found.gain == pytest.approx(3 / 4)
    assert split_half(sums[:1], np.ones(1), 10, 0) is None


# From arms in memory: does the procedure keep its level?


def _in_memory(name: str, values: np.ndarray) -> Arm:
    n = len(values)
    column = Column(
        keys=[("docs", f"{index:04}", 0) for index in range(n)],
        values=values,
        weights=np.ones(n),
        parsed=np.ones(n, dtype=np.bool_),
        groups=np.full(n, None, dtype=np.object_),
        clusters=np.arange(n),
        outputs=np.arange(n),
        chances=np.full(n, np.nan),
        sides=np.full(n, None, dtype=np.object_),
    )
    return Arm(name, {("docs", "none"): column}, None)


def _swept(rng: np.random.Generator, gains: Sequence[float], seed_sds: Sequence[float], seeds: int = 3) -> Sweep:
    """The answer to a sweep whose arms have these true gains, in nats, and differ this much between seeds."""
    n, rules = 210, Rules(CompareConfig(), 0.05, 0.02)
    hardness = rng.normal(3, 0.5, n)
    base = [_in_memory("base", hardness)] * seeds
    shared = rng.normal(0, 0.02, seeds)
    arms: dict[str, list[Arm]] = {}
    for number, (gain, sd) in enumerate(zip(gains, seed_sds, strict=True)):
        own = rng.normal(0, 0.3, n)
        arms[f"arm{number}"] = [
            _in_memory("arm", hardness - gain + own + shared[seed] + rng.normal(0, sd) + rng.normal(0, 0.3, n))
            for seed in range(seeds)
        ]
    compared = [compare_seeds(rules, TARGET, base, found) for found in arms.values()]
    corrected = holm([one.p_better for one in compared])
    measured = [
        Measured(name, {}, (one.model_copy(update={"p_better_holm": p_value}),), 1000, 100, 1.0)
        for (name, one, p_value) in zip(arms, compared, corrected, strict=True)
    ]
    confidence = one_sided_confidence(0.05, len(arms))
    distances = {}
    for first, second in combinations(arms, 2):
        gain_of = compare_seeds(rules, TARGET, arms[first], arms[second], confidence)
        found = gain_of.gain
        distances[first, second] = Estimate(found.value, found.low, found.high, gain_of.gain_se, gain_of.method)
    return answer(_node(arms=tuple(arms), seeds=seeds, suites=(TARGET,)), measured, distances, lambda names: None)


@pytest.mark.slow
def test_a_sweep_of_arms_that_gain_nothing_recommends_one_in_at_most_five_percent() -> None:
    rng = np.random.default_rng(11)
    states = [_swept(rng, [0.0] * 4, [0.02, 0.02, 0.1, 0.1]).state for _ in range(250)]
    assert states.count("recommended") / 250 < 0.05 + 2.3 * np.sqrt(0.05 * 0.95 / 250)


@pytest.mark.slow
def test_the_best_arm_is_said_to_be_behind_in_at_most_five_percent() -> None:
    """Every arm is a best one here, and the arms differ in how much their seeds differ."""
    rng = np.random.default_rng(13)
    tries, behind = 250, np.zeros(4)
    for _ in range(tries):
        found = _swept(rng, [0.5] * 4, [0.02, 0.02, 0.1, 0.1])
        behind += [arm.state == "behind" for arm in found.arms]
    assert (behind / tries).max() < 0.05 + 2.3 * np.sqrt(0.05 * 0.95 / tries)


@pytest.mark.slow
def test_the_distance_to_the_best_is_inside_its_bounds_for_all_arms_together() -> None:
    rng = np.random.default_rng(17)
    gains = [0.5, 0.48, 0.4, 0.3]
    tries, covered, excluded = 150, 0, 0
    for _ in range(tries):
        found = _swept(rng, gains, [0.03] * 4, seeds=5)
        bounds = [(arm.shortfall, 0.5 - gain) for arm, gain in zip(found.arms, gains, strict=True)]
        assert all(bound is not None for bound, _ in bounds), [arm.state for arm in found.arms]
        covered += all(bound.low <= true <= bound.high + 1e-9 for bound, true in bounds if bound is not None)
        excluded += found.arms[3].state == "behind"
    assert covered / tries > 0.95 - 2.3 * np.sqrt(0.05 * 0.95 / tries)
    assert excluded / tries > 0.8


# From scored arms to a recommendation


def _node(arms: Sequence[str] = tuple(PARAMETERS), seeds: int = 3, **fields: Any) -> SweepNode:
    def made(stage: str, name: str) -> tuple[str, ...]:
        return tuple(f"{stage}:{name}-s{seed}" for seed in range(seeds))

    values: dict[str, Any] = {
        "arms": tuple(
            SweptArm(name=name, settings={"train.rank": name}, trained=made("train", name), scored=made("score", name))
            for name in arms
        ),
        "axes": {"train.rank": tuple(arms)},
        "seeds": tuple(range(seeds)),
        "suites": (TARGET, GENERAL),
        "target": "docs",
        "compare": CompareConfig(bootstrap_resamples=999),
        "alpha": 0.05,
        "max_failed_fraction": 0.02,
        "purpose": "other",
        "base": "score:base",
        "command": "workbench sweep --set train.rank=small,middle,large",
        "apply": "workbench run",
        "strict": False,
        "planned_arms": len(arms),
        "planned_seeds": seeds,
    }
    return SweepNode.model_validate(values | fields)


def _inputs(
    root: Path,
    gains: Mapping[str, float],
    *,
    seeds: int = 3,
    sd_seed: float = 0.01,
    right: Mapping[str, float] | None = None,
    sd: float = 0.05,
    also: Suite | None = None,
) -> dict[str, Artifact]:
    """Adapters with these gains over the base in nats per token, and shares of right answers (0.8 unless told)."""
    rng = np.random.default_rng(23)
    hardness, luck = rng.normal(3, 0.5, 300), rng.uniform(0, 1, 300)
    inputs = {}
    for name in (*gains, "base"):
        for seed in range(seeds if name != "base" else 1):
            label = name if name == "base" else f"{name}-s{seed}"
            nats = hardness - gains.get(name, 0) + rng.normal(0, sd_seed) + rng.normal(0, sd, 300)
            correct = (luck < (right or {}).get(name, 0.8)).astype(float)
            found = [*rows(list(nats), TARGET, arm=label), *rows(list(correct), GENERAL, arm=label)]
            found += rows(list(correct), also, arm=label) if also else []
            inputs[f"score:{label}"] = scored(root, label, found)
            if name != "base":
                inputs[f"train:{label}"] = _trained(root / f"train-{label}", PARAMETERS[name])
    return inputs


def _trained(directory: Path, parameters: int) -> Artifact:
    made = scored(directory, "train", [])
    summary = TrainSummary(
        method="qlora",
        base="pypi:tiny",
        base_fingerprint="f" * 64,
        precision="nf4",
        trainable_parameters=parameters,
        total_parameters=100_000,
        steps=20,
        answer_tokens=5000,
        first_loss=3.0,
        last_loss=2.0,
        gradient_check=1.0,
        seconds=40.0,
        adapter_sha256="0" * 64,
    )
    write_model(made.part("training.json"), summary)
    return made


def _sweep(root: Path, node: SweepNode, inputs: Mapping[str, Artifact]) -> Sweep:
    ctx, _ = context(root / "out", "compare:sweep-3x3")
    outcome = run_sweep(node, inputs, ctx)
    assert isinstance(outcome, Done), outcome
    found = read_model(ctx.out_dir / "sweep.json", Sweep)
    assert (ctx.out_dir / "sweep.md").read_text() == render_sweep_markdown(found)
    return found


def _states(found: Sweep) -> dict[str, str]:
    return {arm.name: arm.state for arm in found.arms}


def test_of_arms_that_cannot_be_told_apart_the_cheapest_is_recommended(tmp_path: Path) -> None:
    found = _sweep(tmp_path, _node(strict=True), _inputs(tmp_path, {"small": 0.298, "middle": 0.311, "large": 0.315}))
    assert (found.state, found.exit_code, found.recommended) == ("recommended", 0, "small")
    assert _states(found) == {"small": "recommended", "middle": "among the best", "large": "among the best"}
    assert "cannot be told apart from middle, large" in found.headline
    assert any("trains the fewest parameters: 1,000 of up to 4,000" in reason for reason in found.reasons)
    assert any("It may be up to" in reason for reason in found.reasons)
    assert found.next_step == "workbench run --set train.rank=small"
    split = found.split_half
    assert split is not None and split.gain_elsewhere == pytest.approx(0.3, abs=0.02)


def test_a_cheap_arm_that_is_certainly_behind_is_not_recommended(tmp_path: Path) -> None:
    found = _sweep(tmp_path, _node(), _inputs(tmp_path, {"small": 0.1, "middle": 0.4, "large": 0.3}))
    assert _states(found) == {"small": "behind", "middle": "recommended", "large": "behind"}
    shortfall = found.arm("small").shortfall
    assert shortfall is not None and shortfall.low > 0 and shortfall.value == pytest.approx(0.3, abs=0.03)
    best = found.arm("middle").shortfall
    assert best is not None and best.high == 0


def test_with_two_seeds_a_cheap_arm_far_behind_is_named_but_not_recommended(tmp_path: Path) -> None:
    inputs = _inputs(tmp_path, {"small": 0.2, "large": 0.5}, seeds=2, sd_seed=0.06)
    found = _sweep(tmp_path, _node(arms=("small", "large"), seeds=2), inputs)
    assert found.recommended == "large" and _states(found)["small"] == "among the best"
    assert any("2 seeds: the spread between seeds is hardly known" in reason for reason in found.reasons)


def test_an_arm_that_loses_more_than_a_margin_elsewhere_forgets(tmp_path: Path) -> None:
    gains = {"small": 0.2, "middle": 0.3, "large": 0.6}
    found = _sweep(tmp_path, _node(), _inputs(tmp_path, gains, right={"large": 0.6}))
    assert (found.recommended, found.arm("large").state) == ("middle", "forgets")
    large = found.arm("large")
    assert large.forgets == ("capitals",) and large.worst_suite == "capitals"
    suite_found = next(one for one in large.suites if one.suite == "capitals")
    assert large.worst_loss == pytest.approx(-suite_found.gain.value / 0.05) and large.shortfall is None
    # It gains most and loses most; middle gains more than small and loses as little: small is beaten in both.
    assert {arm.name for arm in found.arms if arm.pareto} == {"middle", "large"}


ELSEWHERE = suite("tone", role="safety", margin=0.05)


def _without_scores(inputs: Mapping[str, Artifact], arms: Sequence[str], on: Suite, seeds: int = 3) -> None:
    """Half of these arms' documents of a suite fail, as when a server goes away: too many to compare them."""
    for name in arms:
        for seed in range(seeds):
            part = inputs[f"score:{name}-s{seed}"].part("samples.jsonl")
            found = list(read_rows(part, ScoreRow))
            failed = {"value": None, "error": "gone"}
            changed = [
                row.model_copy(update=failed) if row.suite == on.name and number % 2 else row
                for number, row in enumerate(found)
            ]
            part.unlink()
            write_rows(part, changed)


def test_an_arm_whose_forgetting_could_not_be_checked_is_not_recommended(tmp_path: Path) -> None:
    """It is the cheapest and gains most, and it may have lost everything where it could not be compared."""
    inputs = _inputs(tmp_path, {"small": 0.6, "middle": 0.3, "large": 0.29})
    _without_scores(inputs, ["small"], GENERAL)
    found = _sweep(tmp_path, _node(), inputs)
    small = found.arm("small")
    assert found.recommended == "middle" and small.state == "not comparable"
    assert small.unchecked == ("capitals",) and small.not_shown_safe == ("capitals",) and not small.pareto
    assert found.arm("middle").pareto, "an arm that could not lose anything beats none"
    assert any(reason.startswith("Arm small is not comparable on capitals: ") for reason in found.reasons)


def test_a_check_that_no_arm_had_is_named_in_the_headline(tmp_path: Path) -> None:
    inputs = _inputs(tmp_path, {"small": 0.298, "middle": 0.311, "large": 0.315})
    _without_scores(inputs, list(PARAMETERS), GENERAL)
    found = _sweep(tmp_path, _node(), inputs)
    assert found.recommended == "small"
    assert found.headline.endswith("Nothing is known about forgetting on capitals: no arm could be compared there.")
    assert all(arm.not_shown_safe == ("capitals",) and not arm.pareto for arm in found.arms)
    assert any("cannot be ruled out on capitals" in reason for reason in found.reasons)


def test_arms_that_each_lack_another_check_are_no_choice(tmp_path: Path) -> None:
    inputs = _inputs(tmp_path, {"small": 0.3, "large": 0.3}, also=ELSEWHERE)
    _without_scores(inputs, ["small"], GENERAL)
    _without_scores(inputs, ["large"], ELSEWHERE)
    found = _sweep(tmp_path, _node(arms=("small", "large"), suites=(TARGET, GENERAL, ELSEWHERE)), inputs)
    assert (found.state, found.recommended, found.exit_code) == ("not comparable", None, 3)
    assert "on all of the gated suites" in found.headline


def test_documents_cut_to_the_models_length_are_said_once(tmp_path: Path) -> None:
    inputs = _inputs(tmp_path, {"small": 0.3, "large": 0.3})
    for name in ("score:small-s0", "score:large-s2"):
        manifest = inputs[name].manifest
        counted = manifest.model_copy(update={"summary": manifest.summary | {"truncated": 7}})
        inputs[name] = replace(inputs[name], manifest=counted)
    found = _sweep(tmp_path, _node(arms=("small", "large")), inputs)
    assert [limit for limit in found.limits if "model.max_length" in limit] == [
        "7 documents of the suites are longer than the model reads (`model.max_length`) and scored without the end."
    ]


def test_an_optimism_that_does_not_show_is_not_talked_about(tmp_path: Path) -> None:
    found = _sweep(tmp_path, _node(), _inputs(tmp_path, dict.fromkeys(PARAMETERS, 0.3)))
    assert found.split_half is not None
    said = "The highest of several estimates tends to be too high"
    assert any(said in reason for reason in found.reasons)
    inputs = _inputs(tmp_path / "b", {"small": 0.1, "large": 0.9}, sd_seed=0.0, sd=0.0)
    plain = _sweep(tmp_path / "b", _node(arms=("small", "large")), inputs)
    assert plain.split_half is not None and not any(said in reason for reason in plain.reasons)


def test_without_a_margin_only_a_certain_loss_is_forgetting(tmp_path: Path) -> None:
    strict = GENERAL.model_copy(update={"margin": 0.0})
    for right, state in ((0.787, "recommended"), (0.6, "forgets")):
        root = tmp_path / state
        inputs = _inputs(root, {"small": 0.3}, right={"small": right})
        found = _sweep(root, _node(arms=("small",), suites=(TARGET, strict)), inputs)
        lost = next(one for one in found.arm("small").suites if one.suite == "capitals").gain
        assert lost.value < 0 and found.arm("small").state == state


def test_no_arm_is_recommended_if_all_forget_or_none_gains(tmp_path: Path) -> None:
    gains = dict.fromkeys(PARAMETERS, 0.3)
    all_forget = _inputs(tmp_path, gains, right=dict.fromkeys(PARAMETERS, 0.6))
    found = _sweep(tmp_path, _node(), all_forget)
    assert (found.state, found.recommended, found.exit_code) == ("forgets", None, 0)
    assert "every arm lost more than the margin on capitals" in found.headline
    assert _sweep(tmp_path, _node(strict=True), all_forget).exit_code == 1
    none = _sweep(tmp_path / "b", _node(), _inputs(tmp_path / "b", dict.fromkeys(PARAMETERS, 0.0)))
    assert (none.state, none.next_step) == ("no gain", None) and "no arm is shown to beat the base" in none.headline


def test_one_seed_says_that_the_spread_between_seeds_is_unknown(tmp_path: Path) -> None:
    found = _sweep(tmp_path, _node(seeds=1), _inputs(tmp_path, dict.fromkeys(PARAMETERS, 0.3), seeds=1))
    assert "in these adapters (one seed)" in found.headline
    assert any("spread between seeds is unknown" in reason for reason in found.reasons)


def test_a_sweep_that_is_not_finished_says_how_far_it_came(tmp_path: Path) -> None:
    node = _node(planned_arms=6, planned_seeds=5, left_out=("method=pissa: not on NF4",))
    found = _sweep(tmp_path, node, _inputs(tmp_path, dict.fromkeys(PARAMETERS, 0.3)))
    assert found.headline.endswith("So far: 3 of 6 arms with 3 of 5 seeds.")
    assert "Left out: method=pissa: not on NF4." in found.reasons


def test_arms_scored_under_other_conditions_are_not_comparable(tmp_path: Path) -> None:
    inputs = _inputs(tmp_path, {"small": 0.3, "middle": 0.3, "large": 0.3})
    info = inputs["score:large-s1"].part("arm.json")
    info.write_text(info.read_text().replace('"512"', '"256"'))
    found = _sweep(tmp_path, _node(), inputs)
    assert _states(found)["large"] == "not comparable" and found.recommended == "small"
    assert any("max_length differs" in reason for reason in found.reasons)


def test_precision_may_differ_where_it_is_swept_and_nowhere_else(tmp_path: Path) -> None:
    inputs = _inputs(tmp_path, {"small": 0.3, "middle": 0.3})
    for seed in range(3):
        write_model(inputs[f"score:middle-s{seed}"].part("arm.json"), arm_info(f"middle-s{seed}", precision="bf16"))
    two = ("small", "middle")
    assert _states(_sweep(tmp_path, _node(arms=two), inputs))["middle"] == "not comparable"
    assert _states(_sweep(tmp_path, _node(arms=two, purpose="precision sweep"), inputs))["middle"] == "among the best"


def test_a_missing_arm_is_incomplete(tmp_path: Path) -> None:
    inputs = _inputs(tmp_path, dict.fromkeys(PARAMETERS, 0.3))
    del inputs["score:large-s2"]
    ctx, _ = context(tmp_path / "out")
    with pytest.raises(IncompleteError, match="was not scored"):
        run_sweep(_node(), inputs, ctx)


def test_the_plot_has_every_arm_where_it_belongs(tmp_path: Path) -> None:
    gains = {"small": 0.2, "middle": 0.3, "large": 0.6}
    found = _sweep(tmp_path, _node(), _inputs(tmp_path, gains, right={"large": 0.6}))
    places = {
        mark: (line.index(mark), number)
        for number, line in enumerate(plot(found)[1:-1])
        for mark in "abc"
        if mark in line
    }
    assert places["a"][0] < places["b"][0] < places["c"][0], "gains go to the right"
    assert places["c"][1] < places["a"][1], "losses go upwards"
    margin = next(number for number, line in enumerate(plot(found)[1:-1]) if "----" in line)
    assert places["c"][1] < margin < places["a"][1], "only the arm that forgets is above the line"


def test_names_are_no_markup_and_no_control_sequence(tmp_path: Path) -> None:
    limits = ("a|b <script> \x1b[2J `x`",)
    found = _sweep(tmp_path, _node(limits=limits), _inputs(tmp_path, dict.fromkeys(PARAMETERS, 0.3)))
    page, text = render_sweep_markdown(found), render_sweep(found)
    assert "<script>" not in page and "a|b" not in page and "\x1b" not in page + text
