"""The plan of `workbench iterate`: the loop's own nodes once per round, between two rounds the search for weaknesses.

    ingest:docs > curate > curate:development > mix:round-0 > train:round-0 > score:round-0 > compare:, gate:round-0
      score:development-round-1 > compare:weaknesses-round-1 > synth:round-1 > mix:round-1 > train:round-1 > ...
                                    > compare:round-1 > gate:round-1, compare:gain-round-1 (against round 0)

All rounds are planned; which of them take place is decided while the plan runs (`iterate_course`). Each training starts
from the base: an adapter trained further on its own weaknesses would forget what it saw first, and its rounds could not
be told from longer training.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from workbench.core.commands import ITERATE
from workbench.core.config import ArmConfig, EndpointConfig, LoopConfig, PairConfig, StrategyConfig
from workbench.core.errors import UsageError
from workbench.core.iteration import DevelopmentNode, RoundGainNode, TargetedSynthNode, WeaknessNode
from workbench.core.nodes import CompareNode, GateNode, ScoreNode
from workbench.core.suites import Documents, Suite
from workbench.loop.plan import (
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
from workbench.loop.scene import Scene, read_scene, without_policy

SPLIT = "curate:development"
_DEVELOPMENT = "development"
ROUND_ARM = r"(?:development-)?round-(\d+)(?:-s\d+)?"
"""What the arms of rounds are called, and their scores on the development documents."""
_PROBE_REQUESTS = 2
"""A teacher is tried with so many requests before it is asked for pairs."""


def build_iterate_plan(config: LoopConfig, project: Path, command: str = ITERATE) -> Plan:
    """The plan of all rounds. UsageError as for a loop, without a target suite, and for settings under which a round
    could not learn from its pairs or the search would not be separate from the verdict."""
    own, config = config, corrected(config)
    scene = read_scene(config, project)
    suites = judged_suites(scene.suites)
    _refuse(config, suites)
    strategies, endpoints = _targeted(config)
    _refuse_lost_pairs(config, strategies)
    base, noise = _standing_arms(config)
    measured = tuple(without_policy(suite) for suite in suites)
    drafts = ingesting(scene, config) + [_after_split(draft) for draft in curating(config, project, scene)]
    drafts.insert([draft.name for draft in drafts].index("curate") + 1, _split(config, scene))
    drafts += [scoring(config, arm, measured) for arm in (base, *noise)]
    earlier = ["synth"] if config.synth.strategies else []
    for number in range(config.iterate.rounds + 1):
        if number:
            drafts += _searching(own, number)
            drafts.append(_synthesis(config, scene, number, strategies, endpoints, earlier))
            earlier.append(f"synth:{round_name(number)}")
        drafts += _training(config, number, measured, earlier)
        drafts += _verdict(config, number, suites, base, noise)
        drafts += _gain(own, number, suites)
    return fingerprinted(drafts, project)


def round_name(number: int) -> str:
    """Of the nodes and the arm of a round; the first training is round 0."""
    return f"round-{number}"


def corrected(config: LoopConfig) -> LoopConfig:
    """The configuration with confidence and level of the verdicts corrected for as many of them as may come.

    Bonferroni: with R rounds R + 1 adapters are held to the gate, each at (1 - confidence) / (R + 1) and
    alpha / (R + 1), so the chance that any of them passes wrongly is what it is for one adapter in a run."""
    verdicts = config.iterate.rounds + 1
    confidence = 1 - (1 - config.compare.confidence) / verdicts
    return config.model_copy(
        update={
            "compare": config.compare.model_copy(update={"confidence": confidence}),
            "gate": config.gate.model_copy(update={"alpha": config.gate.alpha / verdicts}),
        }
    )


def judged_suites(suites: Sequence[Suite]) -> tuple[Suite, ...]:
    """The suites of the rounds' verdicts: all but those that need a judge."""
    return tuple(suite for suite in suites if suite.kind != "judge")


def _refuse(config: LoopConfig, suites: Sequence[Suite]) -> None:
    if not any(suite.role == "target" for suite in suites):
        raise UsageError(
            "no suite of role `target` to see a gain on",
            where="score.suites",
            next_step="give one of the suites `role: target`, or let score.heldout make one",
        )
    actions = config.curate.actions
    if not config.curate.decontamination.enabled or actions.get("contaminated", "drop") != "drop":
        raise UsageError(
            "rounds train on what they find, so the suites' documents must be kept out of the data",
            where="curate.actions" if config.curate.decontamination.enabled else "curate.decontamination.enabled",
            next_step="leave decontamination on, and the reason `contaminated` dropping",
        )
    if config.train.objective != "sft":
        raise UsageError(
            f"rounds add questions with answers, which objective {config.train.objective} does not learn from",
            where="train.objective",
            next_step="set train.objective: sft",
        )


def _refuse_lost_pairs(config: LoopConfig, strategies: Sequence[StrategyConfig]) -> None:
    """UsageError if the mixture would leave out the pairs of the rounds."""
    made = {f"synth:{strategy.strategy}" for strategy in strategies}
    lost = sorted(made - {name for name, share in config.mix.shares.items() if share > 0})
    if config.mix.shares and lost:
        raise UsageError(
            f"the mixture has no share for {', '.join(lost)}, so the pairs made for weaknesses would not be trained on",
            where="mix.shares",
            next_step=f"give {lost[0]} a share, or take `mix.shares` out",
        )


def _targeted(config: LoopConfig) -> tuple[tuple[StrategyConfig, ...], dict[str, EndpointConfig]]:
    """How the rounds' pairs are made: by the loop's teachers, else by rule; and those teachers, within the budget."""
    teachers = tuple(one for one in config.synth.strategies if one.endpoint is not None)
    requests = config.iterate.limit.count
    if not teachers:
        if requests is not None:
            raise UsageError(
                "a budget of requests, but no teacher is configured: pairs are made by rule and cost none",
                where="iterate.budget",
                next_step="give a time (2h), or name a teacher under synth.strategies",
            )
        return (StrategyConfig(strategy="doc_pairs", count=config.iterate.pairs),), {}
    each = max(1, config.iterate.pairs // len(teachers))
    endpoints = {name: config.endpoints[name] for one in teachers if (name := one.endpoint) is not None}
    if requests is not None:
        share = requests // config.iterate.rounds // len(teachers)
        each = min(each, (share - _PROBE_REQUESTS) // 2)  # a reply that cannot be read is asked for once more
        if each < 1:
            raise UsageError(
                f"{requests} requests for {config.iterate.rounds} rounds of {len(teachers)} strategies make no pair",
                where="iterate.budget",
                next_step="raise the budget, or lower iterate.rounds",
            )
        endpoints = {
            name: one.model_copy(update={"max_requests": min(share, one.max_requests or share)})
            for name, one in endpoints.items()
        }
    return tuple(one.model_copy(update={"count": each}) for one in teachers), endpoints


def _standing_arms(config: LoopConfig) -> tuple[ArmConfig, tuple[ArmConfig, ...]]:
    """The arm that every round is compared with, and the A/A arm of the same where the loop has one."""
    arms = {arm.name: arm for arm in config.score.arms}
    before, after = deciding_pair(config)
    if arms[after].adapter != "train" or arms[before].adapter in ("train", "sham"):
        raise UsageError(
            f"the deciding pair must compare something that stands still with this run's adapter, not {before} "
            f"with {after}",
            where="compare.pairs",
            next_step="compare the base with an arm of adapter: train",
        )
    noise = tuple(
        arms[pair.after]
        for pair in config.compare.pairs
        if pair.purpose == "noise" and pair.before == before and arms[pair.after].adapter == arms[before].adapter
    )
    taken = (arms[before].name, *(arm.name for arm in noise))
    if clash := [name for name in taken if re.fullmatch(ROUND_ARM, name)]:
        raise UsageError(f"an arm is called {clash[0]}, as the rounds are", where="score.arms", next_step="rename it")
    return resolved(arms[before], config), tuple(resolved(arm, config) for arm in noise)


def _split(config: LoopConfig, scene: Scene) -> Draft:
    wanted = config.iterate
    node = DevelopmentNode(
        datasets=scene.data,
        replayed=config.mix.replay.datasets,
        by=wanted.by,
        share=wanted.development_share,
        most=wanted.development_max,
        min_documents=wanted.min_documents,
        seed=config.seed,
    )
    return Draft(SPLIT, "curate", node, ("curate",))


def _after_split(draft: Draft) -> Draft:
    """The loop's own node, with what was not set aside in the place of all curated rows."""
    if "curate" not in draft.inputs:
        return draft
    inputs = tuple(SPLIT if name == "curate" else name for name in draft.inputs)
    return replace(draft, inputs=inputs, known_as={**draft.known_as, SPLIT: "curate"})


def _searching(config: LoopConfig, number: int) -> list[Draft]:
    """Scores the adapter of the round before on the development documents, and finds its weak topics."""
    trained = f"train:{round_name(number - 1)}"
    suite = Suite(
        name=_DEVELOPMENT,
        description="Documents set aside to find weaknesses on.",
        kind="perplexity",
        role="target",
        documents=Documents(dataset=_DEVELOPMENT, part="development.jsonl"),
        primary_metric="nll",
        groups="group",
        cluster="cluster",
    )
    scores = Draft(
        f"score:development-{round_name(number)}",
        "score",
        ScoreNode(
            arm=_arm(config, round_name(number - 1)),
            model=config.model,
            suites=(without_policy(suite),),
            suites_dir=config.suites_dir,
            seed=config.seed,
        ),
        (trained, SPLIT),
        {trained: "train", SPLIT: f"ingest:{_DEVELOPMENT}"},
    )
    node = WeaknessNode(
        alpha=config.gate.alpha,
        confidence=config.compare.confidence,
        topics=config.iterate.topics,
        min_documents=config.iterate.min_documents,
    )
    found = Draft(
        f"compare:weaknesses-{round_name(number)}",
        "compare",
        node,
        (scores.name, SPLIT),
        {scores.name: "score", SPLIT: "development"},
    )
    return [scores, found]


def _synthesis(
    config: LoopConfig,
    scene: Scene,
    number: int,
    strategies: tuple[StrategyConfig, ...],
    endpoints: dict[str, EndpointConfig],
    earlier: Sequence[str],
) -> Draft:
    weak = f"compare:weaknesses-{round_name(number)}"
    node = TargetedSynthNode(
        synth=config.synth,
        strategies=strategies,
        endpoints=endpoints,
        model=config.model,
        decontamination=config.curate.decontamination,
        datasets=scene.data,
        suites=scene.measured,
        suites_dir=config.suites_dir,
        seed=config.seed,
        earlier=tuple(earlier),
        replayed=config.mix.replay.datasets,
    )
    inputs = (SPLIT, *(f"ingest:{name}" for name in scene.cards), weak, *earlier)
    return Draft(f"synth:{round_name(number)}", "synth", node, inputs, {SPLIT: "curate", weak: "weaknesses"})


def _training(
    config: LoopConfig, number: int, measured: tuple[Suite, ...], synthetic: Sequence[str]
) -> list[Draft]:
    """Mixes all data and all pairs so far, trains from the base once per seed, and scores."""
    name = round_name(number)
    mixed = replace(_after_split(mixing(config, f"mix:{name}")), inputs=(SPLIT, *synthetic))
    drafts = [mixed]
    targets = tuple(suite for suite in measured if suite.role == "target")
    for place, arm in enumerate(seed_names(config, number)):
        trained = training(config, f"train:{arm}", mixed=mixed.name, seed=config.seed + place)
        # Further seeds say whether the round beat the one before, which is decided on the target suites.
        suites = measured if place == 0 else targets
        drafts += [trained, scoring(config, _arm(config, arm), suites, arm, trained.name)]
    return drafts


def seed_names(config: LoopConfig, number: int) -> tuple[str, ...]:
    """Names of a round's arms, the one that is judged first: `round-1`, `round-1-s1`."""
    name = round_name(number)
    return (name, *(f"{name}-s{config.seed + place}" for place in range(1, config.iterate.seeds)))


def _arm(config: LoopConfig, name: str) -> ArmConfig:
    like = next(arm for arm in config.score.arms if arm.name == deciding_pair(config)[1])
    return resolved(like.model_copy(update={"name": name}), config)


def _verdict(
    config: LoopConfig, number: int, suites: tuple[Suite, ...], base: ArmConfig, noise: Sequence[ArmConfig]
) -> list[Draft]:
    """The gate's verdict on the round against the base."""
    name = round_name(number)
    pairs = (
        PairConfig(before=base.name, after=name, purpose="candidate"),
        *(PairConfig(before=base.name, after=arm.name, purpose="noise") for arm in noise),
    )
    node = CompareNode(
        compare=config.compare.model_copy(update={"pairs": pairs}),
        suites=suites,
        alpha=config.gate.alpha,
        max_failed_fraction=config.gate.max_failed_fraction,
        not_run=(),
    )
    arms = dict.fromkeys(arm for pair in pairs for arm in (pair.before, pair.after))
    compared = Draft(f"compare:{name}", "compare", node, tuple(f"score:{arm}" for arm in arms))
    gate = GateNode(gate=config.gate, suites=suites)
    return [compared, Draft(f"gate:{name}", "gate", gate, (compared.name,), {compared.name: "compare"})]


def _gain(config: LoopConfig, number: int, suites: tuple[Suite, ...]) -> list[Draft]:
    """What a round gained over the one before, on the target suites."""
    if number == 0:
        return []
    before, after = (tuple(f"score:{arm}" for arm in seed_names(config, each)) for each in (number - 1, number))
    node = RoundGainNode(
        before=before,
        after=after,
        suites=tuple(suite for suite in suites if suite.role == "target"),
        compare=config.compare,
        alpha=config.gate.alpha,
        max_failed_fraction=config.gate.max_failed_fraction,
    )
    return [Draft(f"compare:gain-{round_name(number)}", "compare", node, (*before, *after))]
