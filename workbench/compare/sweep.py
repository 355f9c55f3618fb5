"""Which settings are worth having? Every arm of a sweep against the base and against the others, over several seeds.

sweep.json  rank=8 against the base on each suite, on python-docs +0.21 nats per token, 95% CI 0.15 to 0.27, ...;
            rank=16 within 0.02 of the best; recommended: rank=8
sweep.md    the same to read

The seeds of all arms are the same, so that two arms are compared in pairs of trainings, on the same documents.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from workbench.compare.pairs import Arm
from workbench.compare.seeded_suites import Rules, align, compare_seeds, named_arm
from workbench.compare.statistics.best import one_sided_confidence, split_half
from workbench.compare.statistics.estimates import Estimate
from workbench.compare.statistics.multiplicity import holm
from workbench.compare.suite import Scale
from workbench.compare.sweep_answer import Measured, answer, comparable_arms
from workbench.compare.sweep_text import render_sweep_markdown
from workbench.core.ablation_results import SeededSuite
from workbench.core.nodes import SweepNode, SweptArm
from workbench.core.parts import read_model, write_model, write_text
from workbench.core.results import TrainSummary
from workbench.core.stage import Cancelled, Context, Done, Inputs, Outcome
from workbench.core.suites import Suite
from workbench.core.sweep_results import SplitHalf

_SPLITS = 500


@dataclass(frozen=True, slots=True)
class _Scored:
    """What is compared."""

    arms: Mapping[str, Sequence[Arm]]
    """By name, one per seed."""
    base: Sequence[Arm]
    """The one base, as often as there are seeds."""
    target: Suite
    rules: Rules


def run_sweep(config: SweepNode, inputs: Inputs, ctx: Context) -> Outcome:
    """Compares all arms. IncompleteError if one was not scored, or one of its rows is no row."""
    scored: dict[str, Arm] = {}
    names = [*(name for arm in config.arms for name in arm.scored), config.base]
    for done, name in enumerate(names):
        if ctx.cancelled():
            return Cancelled()
        ctx.progress(done, len(names), "arms", f"reading {name}")
        scored[name] = named_arm(inputs, name, config.suites)
    found = _Scored(
        arms={arm.name: [scored[name] for name in arm.scored] for arm in config.arms},
        base=[scored[config.base]] * len(config.seeds),
        target=next(suite for suite in config.suites if suite.name == config.target),
        rules=Rules(config.compare, config.alpha, config.max_failed_fraction, config.purpose),
    )
    gains = _gains(config, found)
    measured = [_measured(arm, gains[arm.name], inputs) for arm in config.arms]
    comparable = [one.name for one in comparable_arms(measured, config.target)]
    sweep = answer(config, measured, _distances(found, comparable), lambda among: _split_half(found, among))
    sweep = sweep.model_copy(update={"limits": (*sweep.limits, *_cut(inputs, names))})
    write_model(ctx.out_dir / "sweep.json", sweep)
    write_text(ctx.out_dir / "sweep.md", render_sweep_markdown(sweep))
    return Done({"state": sweep.state, "arms": len(sweep.arms), "seeds": len(sweep.seeds)})


def _gains(config: SweepNode, found: _Scored) -> dict[str, tuple[SeededSuite, ...]]:
    """Every arm against the base on every suite, Holm-corrected over the arms, suite by suite."""
    by_suite = []
    for suite in config.suites:
        compared = [compare_seeds(found.rules, suite, found.base, found.arms[arm.name]) for arm in config.arms]
        corrected = holm([one.p_better for one in compared])
        by_suite.append(
            [
                one.model_copy(update={"p_better_holm": p_value})
                for one, p_value in zip(compared, corrected, strict=True)
            ]
        )
    return {arm.name: tuple(suites[place] for suites in by_suite) for place, arm in enumerate(config.arms)}


def _measured(arm: SweptArm, suites: tuple[SeededSuite, ...], inputs: Inputs) -> Measured:
    trained = [read_model(inputs[name].part("training.json"), TrainSummary) for name in arm.trained]
    return Measured(
        name=arm.name,
        settings=arm.settings,
        suites=suites,
        trainable_parameters=trained[0].trainable_parameters,
        answer_tokens=max(one.answer_tokens for one in trained),
        seconds=sum(one.seconds for one in trained) / len(trained),
    )


def _cut(inputs: Inputs, names: Sequence[str]) -> list[str]:
    """A sentence if scored documents were cut; the same documents are cut in every arm, and counted once."""
    most = max(int(inputs[name].manifest.summary.get("truncated") or 0) for name in names)
    if not most:
        return []
    counted = "1 document of the suites is" if most == 1 else f"{most} documents of the suites are"
    return [f"{counted} longer than the model reads (`model.max_length`) and scored without the end."]


def _distances(found: _Scored, names: Sequence[str]) -> dict[tuple[str, str], Estimate]:
    """Gain of the second over the first of every pair of arms on the target, as `best.shortfalls` takes it."""
    confidence = one_sided_confidence(found.rules.alpha, len(names))
    distances = {}
    for first, second in combinations(names, 2):
        gain = compare_seeds(found.rules, found.target, found.arms[first], found.arms[second], confidence)
        distances[first, second] = Estimate(gain.gain.value, gain.gain.low, gain.gain.high, gain.gain_se, gain.method)
    return distances


def _split_half(found: _Scored, names: Sequence[str]) -> SplitHalf | None:
    """What the highest estimate of these arms is worth; None with fewer than two arms or independent documents."""
    if len(names) < 2:
        return None
    flat = [arm for name in names for arm in found.arms[name]]
    aligned = align(found.target, found.base[:1], flat)
    scores, seeds = aligned.scores, len(found.base)
    scale = Scale.of(found.target, scores.before, scores.after)
    gains = scale.sign * (scores.after - scores.before)
    complete = ~np.isnan(gains).any(axis=1)
    gains, weights = gains[complete], scores.weights[complete]
    codes = np.unique(scores.clusters[complete], return_inverse=True)[1]
    clusters = int(codes.max()) + 1
    sums = np.zeros((clusters, gains.shape[1]))
    np.add.at(sums, codes, weights[:, None] * gains)
    sizes = np.bincount(codes, weights).astype(np.float64)
    halves = split_half(sums.reshape(clusters, len(names), seeds), sizes, _SPLITS, found.rules.compare.seed)
    if halves is None:
        return None
    return SplitHalf(
        arm=names[halves.arm],
        gain=halves.gain,
        gain_elsewhere=halves.gain_elsewhere,
        same_arm=halves.same_arm,
        splits=_SPLITS,
    )
