"""Does a filter help? Arms trained on other rows, several seeds each, compared over documents and seeds.

arms.json  from the training sets: filtered 412 rows, random 430, dropped 81 (each read 5.9 times)
ablation.json  filtered against random on each suite: python-docs +0.021 nats per token, 95% CI -0.004 to 0.046, ...
ablation.md    the same to read

The deciding arm `random` lost as many trainable tokens as the filters dropped, so that a smaller training set alone
explains nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from workbench.compare.ablation_answer import answer
from workbench.compare.ablation_text import render_ablation_markdown
from workbench.compare.pairs import Arm
from workbench.compare.rows import primary_filter
from workbench.compare.seeded_suites import Rules, compare_seeds, named_arm
from workbench.compare.statistics.multiplicity import holm
from workbench.core.ablation_results import (
    AblationArms,
    AblationLevel,
    AblationPair,
    AblationRows,
    ArmSize,
    SeededSuite,
)
from workbench.core.nodes import AblationArmsNode, AblationNode
from workbench.core.parts import read_model, write_model, write_text
from workbench.core.results import MixSummary
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
        scored[name] = named_arm(inputs, name, config.suites)
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


def _compared(config: AblationNode, before: Sequence[Arm], after: Sequence[Arm]) -> tuple[SeededSuite, ...]:
    """Every suite, Holm-corrected over the target suites."""
    rules = Rules(config.compare, config.alpha, config.max_failed_fraction)
    found = [compare_seeds(rules, suite, before, after) for suite in config.suites]
    targets = [place for place, suite in enumerate(found) if suite.role == "target" and not suite.obstacles]
    for place, p_better in zip(targets, holm([found[place].p_better for place in targets]), strict=True):
        found[place] = found[place].model_copy(update={"p_better_holm": p_better})
    return tuple(found)


def _levels(suite: Suite, arms: Mapping[AblationRows, Sequence[Arm]], base: Arm) -> tuple[AblationLevel, ...]:
    """Score of every arm, for orientation; the differences have the intervals."""
    found = []
    for name, members in (*arms.items(), ("base", (base,))):
        by_seed = [value for arm in members if (value := _level(suite, arm)) is not None]
        if by_seed:
            found.append(AblationLevel(arm=name, value=sum(by_seed) / len(by_seed), by_seed=tuple(by_seed)))
    return tuple(found)


def _level(suite: Suite, arm: Arm) -> float | None:
    """The arm's score on the suite in the metric's own direction; None if nothing was scored."""
    filters = {name for owner, name in arm.columns if owner == suite.name}
    found = arm.columns.get((suite.name, primary_filter(suite, filters)))
    if found is None or np.isnan(found.values).all():
        return None
    scored = ~np.isnan(found.values)
    return float(np.average(found.values[scored], weights=found.weights[scored]))
