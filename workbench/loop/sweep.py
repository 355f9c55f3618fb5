"""The plan of `workbench sweep`: the loop's own nodes for every combination and seed, what is common computed once.

    ingest:docs > curate > mix ------------> train:rank=8-s0  > score:rank=8-s0   \\
                                             train:rank=16-s0 > score:rank=16-s0   > compare:sweep-2x1
                           score:base@nf4    train:rank=8-s1  > score:rank=8-s1
                                             train:rank=16-s1 > score:rank=16-s1   > compare:sweep-2x2

Seeds are outermost: after every round all arms have been trained equally often, and the answer so far is there. Under
a budget there is one after every arm of the first round as well (of many arms, after a few each). The last answer that
was made is the sweep's.
"""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from workbench.core.commands import SWEEP
from workbench.core.config import LoopConfig
from workbench.core.errors import UsageError
from workbench.core.nodes import SweepNode, SweptArm
from workbench.core.stage import Artifact
from workbench.core.suites import Suite
from workbench.core.sweeps import axis_of
from workbench.loop.ablation import base_arm, limits_of, trained_arm
from workbench.loop.plan import Draft, Plan, curating, fingerprinted, ingesting, mixing, resolved, scoring, training
from workbench.loop.scene import Scene, read_scene, without_policy
from workbench.loop.sweep_arms import Combination, combinations

ANSWERS = "compare:sweep-"
"""Beginning of the names of nodes that answer in the plan of `workbench sweep`: arms `x` seeds follow."""
_FIRST_ANSWERS = 12
"""At most so many answers in the first round under a budget: each reads the scores of all arms so far."""
_OWN_OPTIONS = frozenset({"--seeds", "--random", "--budget", "--target"})


def build_sweep_plan(config: LoopConfig, project: Path, command: str = SWEEP) -> Plan:
    """The plan of a sweep. UsageError as for a loop and for `combinations`, and without a target suite."""
    found = combinations(config)
    scene = read_scene(_with_all_data(config, found.arms), project)
    suites = tuple(suite for suite in scene.suites if suite.kind != "judge")
    target = _target(config, suites)
    measured = tuple(without_policy(suite) for suite in suites)
    placed = _Placed(ingesting(scene, config))
    seeds = tuple(range(config.seed, config.seed + config.sweep.seeds))
    mixed = {
        (arm.name, seed): name
        for arm in found.arms
        for seed, name in _training_sets(arm, placed, scene, project, seeds).items()
    }
    base = placed.add(scoring(config, base_arm(config), measured))
    swept = {arm.name: SweptArm(name=arm.name, settings=arm.settings, trained=(), scored=()) for arm in found.arms}
    node = SweepNode(
        arms=(),
        axes=config.sweep.axes,
        seeds=(),
        suites=suites,
        target=target.name,
        compare=config.compare,
        alpha=config.gate.alpha,
        max_failed_fraction=config.gate.max_failed_fraction,
        purpose="precision sweep" if "model.precision" in config.sweep.axes else "other",
        base=base,
        command=command,
        apply=_loop_command(command),
        strict=config.gate.strict,
        planned_arms=len(found.arms),
        planned_seeds=len(seeds),
        left_out=found.left_out,
        limits=tuple(_limits(config, suites, scene)),
    )
    apart = math.ceil(len(found.arms) / _FIRST_ANSWERS)
    for count, seed in enumerate(seeds, start=1):
        for done, arm in enumerate(found.arms, start=1):
            train, score = _trained_and_scored(arm, placed, measured, mixed[arm.name, seed], seed)
            before = swept[arm.name]
            update = {"trained": (*before.trained, train), "scored": (*before.scored, score)}
            swept[arm.name] = before.model_copy(update=update)
            between = count == 1 and config.sweep.budget is not None and done % apart == 0
            if done == len(found.arms) or between:
                compared = tuple(swept[one.name] for one in found.arms[:done])
                placed.add(_answer(node, compared, seeds[:count]))
    return fingerprinted(placed.drafts, project)


def last_answer(artifacts: Mapping[str, Artifact]) -> Artifact | None:
    """The answer over the most arms and seeds among a run's artifacts, which stand in the plan's order."""
    return next((artifacts[name] for name in reversed(list(artifacts)) if name.startswith(ANSWERS)), None)


@dataclass(slots=True)
class _Placed:
    """The plan as it grows: a node with the same settings and inputs as another is that other one."""

    drafts: list[Draft]
    _names: dict[str, str] = field(default_factory=dict)
    _taken: set[str] = field(init=False)

    def __post_init__(self) -> None:
        self._taken = {draft.name for draft in self.drafts}

    def add(self, draft: Draft, found_as: Mapping[str, str] | None = None, label: str = "") -> str:
        """Adds the node and returns its name, which has `label` where its own is taken.

        `found_as` has the plan's names of inputs that it asks for by others."""
        renamed = found_as or {}
        inputs = tuple(renamed.get(name, name) for name in draft.inputs)
        asked = {renamed.get(name, name): draft.known_as.get(name, name) for name in draft.inputs}
        key = json.dumps([draft.stage, draft.config.model_dump(mode="json"), sorted(asked.items())], sort_keys=True)
        if key not in self._names:
            name = draft.name if draft.name not in self._taken else f"{draft.name}:{label}"
            known_as = {name: asked_for for name, asked_for in asked.items() if name != asked_for}
            self.drafts.append(replace(draft, name=name, inputs=inputs, known_as=known_as))
            self._names[key] = name
            self._taken.add(name)
        return self._names[key]


def _training_sets(
    arm: Combination, placed: _Placed, scene: Scene, project: Path, seeds: Sequence[int]
) -> dict[int, str]:
    """By seed the node with the arm's training set: one for all, unless chance has a part in what it holds."""
    config, found_as = arm.config, dict[str, str]()
    for draft in curating(config, project, _narrowed(scene, config)):
        found_as[draft.name] = placed.add(draft, found_as, arm.name)
    chance = bool(config.mix.shares or config.mix.max_rows is not None or config.mix.replay.datasets)
    sets = {}
    for seed in seeds:
        drawn = seed if chance else config.seed
        draft = mixing(config, "mix" if drawn == config.seed else f"mix-s{seed}", seed=drawn)
        sets[seed] = placed.add(draft, found_as, arm.name)
    return sets


def _trained_and_scored(
    arm: Combination, placed: _Placed, suites: tuple[Suite, ...], mixed: str, seed: int
) -> tuple[str, str]:
    name = f"{arm.name}-s{seed}"
    train = placed.add(training(arm.config, f"train:{name}", mixed=mixed, seed=seed))
    candidate = resolved(trained_arm(arm.config), arm.config)
    return train, placed.add(scoring(arm.config, candidate, suites, name, train))


def _answer(node: SweepNode, arms: tuple[SweptArm, ...], seeds: tuple[int, ...]) -> Draft:
    made = [name for arm in arms for name in (*arm.trained, *arm.scored)]
    filled = node.model_copy(update={"arms": arms, "seeds": seeds})
    return Draft(f"{ANSWERS}{len(arms)}x{len(seeds)}", "compare", filled, (*made, node.base))


def _with_all_data(config: LoopConfig, arms: Sequence[Combination]) -> LoopConfig:
    """The configuration with every arm's datasets: all arms are scored on the same suites, and kept clear of them."""
    data = dict.fromkeys(name for arm in arms for name in arm.config.data)
    replayed = dict.fromkeys(name for arm in arms for name in arm.config.mix.replay.datasets)
    replay = config.mix.replay.model_copy(update={"datasets": tuple(replayed)})
    return config.model_copy(update={"data": tuple(data), "mix": config.mix.model_copy(update={"replay": replay})})


def _narrowed(scene: Scene, config: LoopConfig) -> Scene:
    """What one arm's curation sees: its own datasets, and those behind the suites and decontamination."""
    data = tuple(dict.fromkeys((*config.data, *config.mix.replay.datasets)))
    behind = {suite.documents.dataset for suite in scene.suites} | {*config.curate.decontamination.datasets}
    cards = {name: card for name, card in scene.cards.items() if name in behind or name in data}
    return Scene(data, cards, scene.suites)


def _target(config: LoopConfig, suites: Sequence[Suite]) -> Suite:
    targets = [suite for suite in suites if suite.role == "target"]
    wanted = config.sweep.target
    if not targets:
        raise UsageError(
            "no suite of role `target` to decide on",
            where="score.suites",
            next_step="give one of the suites `role: target`, or let score.heldout make one",
        )
    found = next((suite for suite in targets if wanted in (None, suite.name)), None)
    if found is None:
        names = ", ".join(suite.name for suite in targets)
        raise UsageError(f"{wanted!r} is no suite of role `target`; these are: {names}", where="sweep.target")
    return found


def _limits(config: LoopConfig, suites: Sequence[Suite], scene: Scene) -> list[str]:
    limits = limits_of(scene.suites, scene.data)
    if "model.precision" in config.sweep.axes:
        limits.append(
            "Arms differ in the precision of the base, and all are compared with the base in "
            f"{base_arm(config).precision}: what quantisation costs is part of their gains and losses."
        )
    others = [suite.name for suite in suites if suite.role == "target"][1:]
    if others and config.sweep.target is None:
        limits.append(f"The first target suite decides; {', '.join(others)} is shown (`sweep.target` chooses).")
    return limits


def _loop_command(command: str) -> str:
    """`workbench run` with the file and settings of a sweep's command, without what makes it a sweep."""
    words = iter(shlex.split(command)[2:])
    kept: list[str] = []
    for word in words:
        if word in _OWN_OPTIONS:
            next(words, None)
        elif word == "--set":
            setting = next(words, "")
            if not setting.startswith("sweep.") and axis_of(setting) is None:
                kept += [word, setting]
        elif word != "--strict":
            kept.append(word)
    return shlex.join(["workbench", "run", *kept])
