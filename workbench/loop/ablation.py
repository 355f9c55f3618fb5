"""The plan of `workbench ablate`: the loop's own nodes, once per arm and seed.

    ingest:docs > curate > mix:filtered ---------------> train:filtered-s0 > score:filtered-s0 \\
                           mix:random-s0, mix:random-s1 > train:random-s0  > score:random-s0  -- > compare:ablation
                           mix:all, mix:dropped, ...      (as many seeds)
                           compare:arms                   looks at the training sets before anything is trained

What a loop has made already is found in the cache: `mix:filtered` is its `mix`, `train:filtered-s0` its `train`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from workbench.core.commands import ABLATE
from workbench.core.config import ArmConfig, LoopConfig, MixConfig, SynthConfig
from workbench.core.errors import UsageError
from workbench.core.nodes import AblationArm, AblationArmsNode, AblationNode, MixRows
from workbench.core.suites import Suite
from workbench.loop.plan import (
    ABLATION,
    Draft,
    Plan,
    curating,
    deciding_pair,
    fingerprinted,
    ingesting,
    mixing,
    resolved,
    scoring,
    training,
)
from workbench.loop.scene import read_scene, without_policy
from workbench.train.refusals import fixed_steps

_ARMS = "compare:arms"


def build_ablation_plan(config: LoopConfig, project: Path, command: str = ABLATE) -> Plan:
    """The plan of an ablation. UsageError as for a loop, for an unknown filter, and without a target suite."""
    config = narrowed(config)
    scene = read_scene(config, project)
    suites = tuple(suite for suite in scene.suites if suite.kind != "judge")
    if not any(suite.role == "target" for suite in suites):
        raise UsageError(
            "no suite of role `target` to decide on",
            where="score.suites",
            next_step="give one of the suites `role: target`, or let score.heldout make one",
        )
    measured = tuple(without_policy(suite) for suite in suites)
    seeds = tuple(range(config.seed, config.seed + config.ablate.seeds))
    base = scoring(config, base_arm(config), measured)
    arms = tuple(_arm(config, rows, seeds) for rows in config.ablate.arms)
    # First of all, and also where that arm is not asked for: it fails if nothing was dropped that training would read.
    mixes = [_mix(config, "dropped", seeds[0])]
    mixes += [_mix(config, rows, seed) for rows in config.ablate.arms for seed in seeds]
    drafts = [*ingesting(scene, config), *curating(config, project, scene)]
    drafts += {draft.name: draft for draft in mixes}.values()
    drafts += [_sizes(config, arms), base]
    for seed in seeds:
        for rows in config.ablate.arms:
            name = _name(rows, seed)
            drafts.append(training(config, f"train:{name}", mixed=_mix(config, rows, seed).name, seed=seed))
            drafts.append(scoring(config, _candidate(config, rows, seed), measured, name, f"train:{name}"))
    node = AblationNode(
        arms=arms,
        seeds=seeds,
        suites=suites,
        compare=config.compare,
        alpha=config.gate.alpha,
        max_failed_fraction=config.gate.max_failed_fraction,
        steps=fixed_steps(config.train),
        question=_question(config),
        command=command,
        strict=config.gate.strict,
        base=base.name,
        limits=tuple(limits_of(scene.suites, scene.data)),
    )
    scored = tuple(name for arm in arms for name in arm.scored)
    drafts.append(Draft(ABLATION, "compare", node, (_ARMS, *scored, base.name)))
    return fingerprinted(drafts, project)


def narrowed(config: LoopConfig) -> LoopConfig:
    """The configuration in which nothing but `ablate.filters` drops; UsageError for a filter that does not exist.

    Contaminated rows stay out of every arm: training on the documents of a suite would win any comparison on it. A
    filter that only repairs goes on repairing.
    """
    if not config.ablate.filters:
        return config
    from workbench.curate import decontaminate
    from workbench.curate.actions import known_reasons
    from workbench.curate.filters.registry import DATASET_FILTERS, FILTERS

    reasons = {one.name: set(one.reasons) for one in FILTERS}
    reasons |= {one.name: set(one.reasons) for one in DATASET_FILTERS}
    known = known_reasons()
    asked: set[str] = set()
    for name in config.ablate.filters:
        found = reasons.get(name, {name} & known)
        if not found:
            shown = ", ".join(sorted({*reasons, *known}))
            raise UsageError(f"no filter or reason {name!r}; there are: {shown}", where="ablate.filters")
        asked |= found
    repairs = {one.reasons[0] for one in FILTERS if one.repair is not None and len(one.reasons) == 1}
    others = known - asked - repairs - set(decontaminate.REASONS)
    actions = {**config.curate.actions, **dict.fromkeys(sorted(others), "flag")}
    return config.model_copy(update={"curate": config.curate.model_copy(update={"actions": actions})})


def _name(rows: MixRows, seed: int) -> str:
    return f"{rows}-s{seed}"


def _mix(config: LoopConfig, rows: MixRows, seed: int) -> Draft:
    """The training set of an arm: one for all seeds, unless chance has a part in what it holds.

    `dropped` has no shares and nothing synthetic or replayed: with them it would be another arm of kept rows."""
    if rows == "dropped":
        alone = MixConfig(max_rows=config.mix.max_rows)
        config = config.model_copy(update={"mix": alone, "synth": SynthConfig()})
    if rows == "random" or config.mix.shares or config.mix.max_rows is not None:
        return mixing(config, f"mix:{_name(rows, seed)}", rows, seed)
    return mixing(config, f"mix:{rows}", rows)


def _arm(config: LoopConfig, rows: MixRows, seeds: Sequence[int]) -> AblationArm:
    return AblationArm(
        rows=rows,
        mixed=tuple(dict.fromkeys(_mix(config, rows, seed).name for seed in seeds)),
        scored=tuple(f"score:{_name(rows, seed)}" for seed in seeds),
    )


def _sizes(config: LoopConfig, arms: tuple[AblationArm, ...]) -> Draft:
    train = config.train
    node = AblationArmsNode(arms=arms, rows_read=fixed_steps(train) * train.batch_size * train.gradient_accumulation)
    return Draft(_ARMS, "compare", node, tuple(name for arm in arms for name in arm.mixed))


def base_arm(config: LoopConfig) -> ArmConfig:
    """The base of the loop's deciding pair, as the loop scores it; without one, the model as it is."""
    name = deciding_pair(config)[0]
    arm = next(arm for arm in config.score.arms if arm.name == name)
    return resolved(ArmConfig(name="base") if arm.adapter in ("train", "sham") else arm, config)


def _candidate(config: LoopConfig, rows: MixRows, seed: int) -> ArmConfig:
    """How an adapter is scored: like the loop's own, under whose name the loop's scores are in the cache."""
    like = trained_arm(config)
    own = rows == "filtered" and seed == config.seed
    return resolved(like if own else like.model_copy(update={"name": _name(rows, seed)}), config)


def trained_arm(config: LoopConfig) -> ArmConfig:
    """How the loop scores its own adapter."""
    default = ArmConfig(name="candidate", adapter="train")
    return next((arm for arm in config.score.arms if arm.adapter == "train"), default)


def _question(config: LoopConfig) -> str:
    if not config.ablate.filters:
        return "curation, all filters together"
    return f"{', '.join(config.ablate.filters)} (every other reason only flags)"


def limits_of(suites: Sequence[Suite], data: Sequence[str]) -> list[str]:
    """What is left out where several seeds are compared, and which suites may reward what they should not."""
    limits = []
    for suite in suites:
        if suite.kind == "judge":
            limits.append(f"Suite {suite.name}: left out; a judge compares two arms, not several seeds.")
        elif suite.role == "target" and suite.documents.part == "heldout.jsonl" and suite.documents.dataset in data:
            limits.append(
                f"Suite {suite.name} is a held-out part of the same raw data, defects included: where defects follow a "
                "pattern, it rewards learning them. A target suite of clean documents says more."
            )
    return limits
