"""Does a filter help? Arms trained on other rows, several seeds each, compared over documents and seeds.

arms.json  from the training sets: filtered 412 rows, random 430, dropped 81 (each read 5.9 times)
ablation.json  filtered against random on each suite: python-docs +0.021 nats per token, 95% CI -0.004 to 0.046, ...
ablation.md    the same to read

The deciding arm `random` lost as many trainable tokens as the filters dropped, so that a smaller training set alone
explains nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.compare.ablation_answer import answer
from workbench.compare.ablation_text import render_ablation_markdown
from workbench.compare.conditions import arm_obstacles, suite_obstacles
from workbench.compare.gain import Settings
from workbench.compare.pairing import pair
from workbench.compare.pairs import Arm
from workbench.compare.rows import Column, column, primary_filter
from workbench.compare.run import read_arm
from workbench.compare.seeds import SeededGain, SeededScores, seeded_gain
from workbench.compare.statistics.multiplicity import holm
from workbench.compare.suite import LOWER_IS_BETTER, Scale
from workbench.core.errors import IncompleteError
from workbench.core.nodes import AblationArmsNode, AblationNode
from workbench.core.parts import read_model, write_model, write_text
from workbench.core.results import (
    AblationArms,
    AblationLevel,
    AblationPair,
    AblationRows,
    AblationSuite,
    ArmSize,
    Interval,
    MixSummary,
)
from workbench.core.stage import Cancelled, Context, Done, Inputs, Outcome
from workbench.core.suites import Suite

ARMS_NODE = "compare:arms"
_FEW_ROWS = 32
_MANY_PASSES = 20
_FEW_PASSES = 0.5
_RANDOM_OFF = 0.05
"""Share by which the random arm's tokens may differ from the filtered arm's before it is said."""


def size_arms(config: AblationArmsNode, inputs: Inputs, ctx: Context) -> Outcome:
    """Writes arms.json and warns of arms that are too small, before anything is trained."""
    sizes = [_size(arm.rows, [_mixed(inputs, name) for name in arm.mixed], config.rows_read) for arm in config.arms]
    found = AblationArms(arms=tuple(sizes), warnings=tuple(_warnings(sizes)))
    for warning in found.warnings:
        ctx.warn(warning)
    write_model(ctx.out_dir / "arms.json", found)
    return Done({f"{size.arm}.rows": size.rows for size in sizes})


def run_ablation(config: AblationNode, inputs: Inputs, ctx: Context) -> Outcome:
    """Compares `filtered` with every other arm. IncompleteError if an arm is missing or one of its rows is no row."""
    names = [*(name for arm in config.arms for name in arm.scored), config.base]
    scored: dict[str, Arm] = {}
    for done, name in enumerate(names):
        if ctx.cancelled():
            return Cancelled()
        ctx.progress(done, len(names), "arms", f"reading {name}")
        scored[name] = _arm(inputs, name, config.suites)
    arms = {arm.rows: [scored[name] for name in arm.scored] for arm in config.arms}
    before = [rows for rows in ("random", "all", "dropped") if rows in arms]
    pairs = tuple(AblationPair(before=rows, suites=_compared(config, arms[rows], arms["filtered"])) for rows in before)
    levels = {suite.name: _levels(suite, arms, scored[config.base]) for suite in config.suites}
    sizes = read_model(inputs[ARMS_NODE].part("arms.json"), AblationArms)
    ablation = answer(config, pairs, levels, sizes)
    write_model(ctx.out_dir / "ablation.json", ablation)
    write_text(ctx.out_dir / "ablation.md", render_ablation_markdown(ablation))
    return Done({"state": ablation.state, "seeds": len(config.seeds), "suites": len(config.suites)})


def _mixed(inputs: Inputs, name: str) -> MixSummary:
    return read_model(inputs[name].part("shares.json"), MixSummary)


def _size(rows: AblationRows, mixed: Sequence[MixSummary], rows_read: int) -> ArmSize:
    smallest = min(mixed, key=lambda summary: summary.rows)
    return ArmSize(
        arm=rows,
        rows=smallest.rows,
        trainable_tokens=smallest.trainable_tokens,
        passes=rows_read / smallest.rows,
    )


def _warnings(sizes: Sequence[ArmSize]) -> list[str]:
    """What a reader should know of the training sets."""
    filtered, random = (next(size for size in sizes if size.arm == rows) for rows in ("filtered", "random"))
    found = []
    off = abs(random.trainable_tokens - filtered.trainable_tokens) / filtered.trainable_tokens
    if off > _RANDOM_OFF:
        found.append(
            f"Arm random has {random.trainable_tokens} trainable tokens, filtered {filtered.trainable_tokens}: "
            f"{off:.0%} apart, so a difference may be the size's."
        )
    if filtered.passes < _FEW_PASSES:
        found.append(
            f"Training reads {round(filtered.passes * filtered.rows)} sequences, of {filtered.rows} rows in arm "
            "filtered: most dropped rows would never have been read, so their effect can hardly show. Raise "
            "train.max_steps."
        )
    for size in sizes:
        if size.rows < _FEW_ROWS or size.passes > _MANY_PASSES:
            found.append(
                f"Arm {size.arm} has {size.rows} rows, each read {size.passes:.3g} times: "
                "what it learned is those rows by heart."
            )
    return found


def _arm(inputs: Inputs, name: str, suites: Sequence[Suite]) -> Arm:
    artifact = inputs.get(name)
    if artifact is None:
        raise IncompleteError("an arm was not scored", where=name, next_step="start the ablation again")
    arm = read_arm(name, artifact, suites)
    # The scores may come from a loop in which the arm had another name.
    info = None if arm.info is None else arm.info.model_copy(update={"arm": name.removeprefix("score:")})
    return Arm(name.removeprefix("score:"), arm.columns, info)


def _compared(config: AblationNode, before: Sequence[Arm], after: Sequence[Arm]) -> tuple[AblationSuite, ...]:
    """Every suite, Holm-corrected over the target suites."""
    found = [_suite(config, suite, before, after) for suite in config.suites]
    targets = [place for place, suite in enumerate(found) if suite.role == "target" and not suite.obstacles]
    for place, p_better in zip(targets, holm([found[place].p_better for place in targets]), strict=True):
        found[place] = found[place].model_copy(update={"p_better_holm": p_better})
    return tuple(found)


def _suite(config: AblationNode, suite: Suite, before: Sequence[Arm], after: Sequence[Arm]) -> AblationSuite:
    aligned = _aligned(suite, before, after)
    scale = Scale.of(suite, aligned.scores.before, aligned.scores.after)
    obstacles = [*_conditions(suite, before, after), *_obstacles(suite, aligned, config.max_failed_fraction)]
    gain = None
    if aligned.n:
        settings = Settings(config.compare.confidence, config.compare.bootstrap_resamples, config.compare.seed)
        gain = seeded_gain(aligned.scores, scale, settings, config.alpha)
        if gain is None:
            obstacles.append("one independent document only, or none without a failure: no interval can be computed")
    return AblationSuite(
        suite=suite.name,
        metric=suite.primary_metric,
        role=suite.role,
        unit=scale.unit,
        gated=suite.gated,
        margin=suite.margin,
        higher_is_better=suite.primary_metric not in LOWER_IS_BETTER,
        n=aligned.n,
        failed=aligned.failed,
        obstacles=tuple(dict.fromkeys(obstacles)),
        **_numbers(gain),
    )


def _numbers(gain: SeededGain | None) -> dict[str, Any]:
    if gain is None:
        return {
            "gain": Interval(value=0, low=0, high=0),
            "method": "none",
            "by_seed": (),
            **dict.fromkeys(("gain_se", "seed_sd", "seed_share", "mde"), 0.0),
            **dict.fromkeys(("p_better", "p_better_holm", "p_worse"), 1.0),
        }
    estimate = gain.estimate
    return {
        "gain": Interval(value=estimate.value, low=estimate.low, high=estimate.high),
        "gain_se": estimate.se,
        "method": estimate.method,
        "by_seed": gain.by_seed,
        "seed_sd": gain.seed_sd,
        "seed_share": gain.seed_share,
        "mde": gain.mde,
        "p_better": gain.p_better,
        "p_better_holm": gain.p_better,
        "p_worse": gain.p_worse,
    }


@dataclass(frozen=True, slots=True)
class _Aligned:
    """A suite's documents in every arm and seed, paired by their keys."""

    scores: SeededScores
    n: int
    unpaired: int
    """Documents that some arm or seed lacks."""
    same_weights: bool

    @property
    def failed(self) -> int:
        """Documents without a value in some arm or seed."""
        return int(np.isnan(self.scores.before + self.scores.after).any(axis=1).sum())


def _aligned(suite: Suite, before: Sequence[Arm], after: Sequence[Arm]) -> _Aligned:
    filters = {name for arm in (*before, *after) for owner, name in arm.columns if owner == suite.name}
    key = (suite.name, primary_filter(suite, filters))
    columns = [arm.columns.get(key, column(())) for arm in (*before, *after)]
    shared = set(columns[0].keys).intersection(*(one.keys for one in columns[1:]))
    taken = [_only(one, shared) for one in columns]
    first, seeds = taken[0], len(before)
    values = np.stack([one.values for one in taken], axis=1)
    scores = SeededScores(values[:, :seeds], values[:, seeds:], first.weights, first.clusters)
    return _Aligned(
        scores,
        n=len(shared),
        unpaired=len(set().union(*(one.keys for one in columns))) - len(shared),
        same_weights=all(pair(first, one).same_weights for one in taken[1:]),
    )


def _only(one: Column, keys: set[tuple[str, str, int]]) -> Column:
    """The documents with these keys; columns are sorted, so equal keys give equal orders."""
    if len(one.keys) == len(keys):
        return one
    chosen = np.array([key in keys for key in one.keys], dtype=np.bool_)
    return Column(
        keys=[key for key in one.keys if key in keys],
        values=one.values[chosen],
        weights=one.weights[chosen],
        parsed=one.parsed[chosen],
        groups=one.groups[chosen],
        clusters=one.clusters[chosen],
        outputs=one.outputs[chosen],
        chances=one.chances[chosen],
    )


def _conditions(suite: Suite, before: Sequence[Arm], after: Sequence[Arm]) -> list[str]:
    """What differs between any two arms and must not; the adapter may."""
    reference = before[0].info
    found: list[str] = []
    for arm in (*before[1:], *after):
        if reference is not None and arm.info is not None:
            found += arm_obstacles(reference, arm.info, "other")
            found += suite_obstacles(reference, arm.info, suite.name)
    return found


def _obstacles(suite: Suite, aligned: _Aligned, max_failed_fraction: float) -> list[str]:
    if aligned.n == 0:
        return ["no document was scored in every arm and seed"]
    found = []
    if aligned.failed > max_failed_fraction * aligned.n:
        found.append(f"{aligned.failed} of {aligned.n} documents failed, more than {max_failed_fraction:.1%} may")
    if aligned.unpaired > max_failed_fraction * (aligned.n + aligned.unpaired):
        found.append(f"{aligned.unpaired} documents are missing in some arm or seed, {aligned.n} are in all")
    if suite.kind == "perplexity" and not aligned.same_weights:
        found.append("the arms count different numbers of tokens: nats per token are not comparable")
    return found


def _levels(suite: Suite, arms: Mapping[AblationRows, Sequence[Arm]], base: Arm) -> tuple[AblationLevel, ...]:
    """Score of every arm, for orientation; the differences have the intervals."""
    found = []
    for name, members in (*arms.items(), ("base", (base,))):
        by_seed = [value for arm in members if (value := _level(suite, arm)) is not None]
        if by_seed:
            found.append(AblationLevel(arm=name, value=sum(by_seed) / len(by_seed), by_seed=tuple(by_seed)))
    return tuple(found)


def _level(suite: Suite, arm: Arm) -> float | None:
    filters = {name for owner, name in arm.columns if owner == suite.name}
    found = arm.columns.get((suite.name, primary_filter(suite, filters)))
    if found is None or np.isnan(found.values).all():
        return None
    scored = ~np.isnan(found.values)
    return float(np.average(found.values[scored], weights=found.weights[scored]))

