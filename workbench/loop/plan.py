"""The plan: a DAG of named nodes with complete configurations and fingerprints.

    ingest:docs > curate > synth > mix > train > score:candidate \\
                                   score:base@nf4 ---------------- > compare > gate > report

A fingerprint depends on the node's config, its inputs' fingerprints, the stage's version, the libraries it names and
what it reads from outside: so the whole plan can be compared with the cache before anything runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from workbench.adapters.registry import check_base, names_registered, resolve
from workbench.core.cards import Card
from workbench.core.commands import RUN
from workbench.core.config import ArmConfig, LoopConfig
from workbench.core.errors import UsageError
from workbench.core.fingerprints import fingerprint, library_versions
from workbench.core.nodes import (
    CompareNode,
    CurateNode,
    GateNode,
    IngestNode,
    JudgeNode,
    MixNode,
    MixRows,
    ReportNode,
    ScoreNode,
    SynthNode,
    TrainNode,
)
from workbench.core.paths import Project
from workbench.core.stage import STAGES, StageName
from workbench.core.suites import Suite
from workbench.core.wire import Wire
from workbench.loop.decisions import restored_records
from workbench.loop.registry import stages
from workbench.loop.scene import (
    Scene,
    cards_behind,
    datasets_of,
    read_scene,
    refuse_unknown_shares,
    suite_of,
    without_policy,
)
from workbench.score.metrics.chosen import refuse_code
from workbench.train.refusals import refuse, refuse_arms

ABLATION = "compare:ablation"
"""The node that answers in the plan of `workbench ablate`."""


@dataclass(frozen=True, slots=True)
class Node:
    """One node of the plan."""

    name: str
    stage: StageName
    config: Wire
    inputs: tuple[str, ...]
    external: dict[str, str]
    libraries: dict[str, str]
    fingerprint: str
    known_as: dict[str, str] = field(default_factory=dict)
    """Input to the name by which its stage asks for it, where that is another: `{"mix:random-s1": "mix"}`."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Nodes in an order in which every input comes first."""

    nodes: tuple[Node, ...]

    def node(self, name: str) -> Node:
        """The node with this name."""
        return next(node for node in self.nodes if node.name == name)


@dataclass(frozen=True, slots=True)
class Draft:
    """A node before its fingerprint is known."""

    name: str
    stage: StageName
    config: Wire
    inputs: tuple[str, ...]
    known_as: dict[str, str] = field(default_factory=dict)


def build_plan(config: LoopConfig, project: Path, command: str = RUN) -> Plan:
    """The plan of a loop. Raises UsageError for cards, suites or files that are missing or wrong."""
    return fingerprinted(_drafts(config, project, command), project)


def build_curate_plan(config: LoopConfig, project: Path, card: Card, against: Sequence[Card] = ()) -> Plan:
    """The plan of `workbench curate FILE`: one dataset, decontaminated against suites and the datasets `against`."""
    return fingerprinted(_cleaning(config, project, card, against), project)


def build_train_plan(config: LoopConfig, project: Path, card: Card) -> Plan:
    """The plan of `workbench train --data FILE`: one dataset, cleaned as by `workbench curate`, and an adapter from it;
    nothing is scored."""
    drafts = _cleaning(config, project, card)
    drafts += [mixing(config, "mix"), training(config, "train", mixed="mix", seed=config.seed)]
    return fingerprinted(drafts, project)


def _cleaning(config: LoopConfig, project: Path, card: Card, against: Sequence[Card] = ()) -> list[Draft]:
    suites = tuple(without_policy(suite_of(config, project, entry)) for entry in config.score.suites)
    given = {known.name: known for known in (card, *against)}
    cards = given | cards_behind(suites, config, project, known=set(given))
    drafts = [_ingest(name, found, config.seed) for name, found in cards.items()]
    return [*drafts, _curate(config, project, (card.name,), tuple(cards), suites)]


def select(plan: Plan, *, only: str | None, first: str | None, last: str | None) -> set[str]:
    """Names of the nodes whose stage lies in the wanted range; UsageError for an unknown stage."""
    for option, value in (("--only", only), ("--from", first), ("--until", last)):
        if value is not None and value not in STAGES:
            raise UsageError(f"unknown stage {value!r}; stages: {', '.join(STAGES)}", where=option)
    if only is not None and (first is not None or last is not None):
        raise UsageError("--only cannot be combined with --from or --until")
    order = {name: position for position, name in enumerate(STAGES)}
    low = order[STAGES[0] if first is None else _stage(first)] if only is None else order[_stage(only)]
    high = order[STAGES[-1] if last is None else _stage(last)] if only is None else low
    return {node.name for node in plan.nodes if low <= order[node.stage] <= high}


def _stage(name: str) -> StageName:
    return next(stage for stage in STAGES if stage == name)


def _drafts(config: LoopConfig, project: Path, command: str) -> list[Draft]:
    scene = read_scene(config, project)
    arms = tuple(resolved(arm, config) for arm in config.score.arms)
    drafts = ingesting(scene, config)
    if any(arm.adapter in ("train", "sham") for arm in arms):
        drafts += curating(config, project, scene)
        drafts.append(mixing(config, "mix"))
        drafts.append(training(config, "train", mixed="mix", seed=config.seed))
    drafts += [scoring(config, arm, scene.measured) for arm in arms]
    drafts += _judging(config, scene.measured)
    return drafts + _verdict(config, scene.suites, drafts, command)


def ingesting(scene: Scene, config: LoopConfig) -> list[Draft]:
    """`ingest:NAME` for every dataset."""
    return [_ingest(name, card, config.seed) for name, card in scene.cards.items()]


def curating(config: LoopConfig, project: Path, scene: Scene) -> list[Draft]:
    """`curate` and, where there are strategies, `synth`; UsageError if there is no data."""
    if not scene.data:
        raise UsageError("an arm uses the adapter of this run, but there is no data to train on", where="data")
    refuse_unknown_shares(config, scene.data)
    drafts = [_curate(config, project, scene.data, tuple(scene.cards), scene.measured)]
    if config.synth.strategies:
        used = {strategy.endpoint for strategy in config.synth.strategies}
        drafts.append(
            Draft(
                "synth",
                "synth",
                SynthNode(
                    synth=config.synth,
                    strategies=config.synth.strategies,
                    endpoints={name: endpoint for name, endpoint in config.endpoints.items() if name in used},
                    model=config.model,
                    decontamination=config.curate.decontamination,
                    datasets=scene.data,
                    suites=scene.measured,
                    suites_dir=config.suites_dir,
                    seed=config.seed,
                ),
                ("curate", *_ingests(scene.cards)),
            )
        )
    return drafts


def mixing(config: LoopConfig, name: str, rows: MixRows = "filtered", seed: int | None = None) -> Draft:
    """A training set of some of the curated rows."""
    node = MixNode(
        mix=config.mix,
        model=config.model,
        max_length=_train_length(config),
        seed=config.seed if seed is None else seed,
        rows=rows,
        objective=config.train.objective,
    )
    return Draft(name, "mix", node, ("curate", "synth") if config.synth.strategies else ("curate",))


def training(config: LoopConfig, name: str, *, mixed: str, seed: int) -> Draft:
    """An adapter from the training set `mixed`. Raises as `refuse` for settings that cannot work."""
    refuse(config.train, config.model)
    judges = config.train.grpo.endpoints() if config.train.objective == "grpo" else ()
    node = TrainNode(
        train=config.train,
        model=config.model,
        seed=seed,
        endpoints={name: config.endpoints[name] for name in judges},
    )
    return Draft(name, "train", node, (mixed,), _known_as(mixed, "mix"))


def scoring(
    config: LoopConfig, arm: ArmConfig, suites: tuple[Suite, ...], name: str | None = None, trained: str = "train"
) -> Draft:
    """`score:NAME` (the arm's name unless told otherwise) of a resolved arm, with the adapter of the node `trained`.

    Raises as `refuse_arms` for an arm that what is trained cannot be scored in, and as `refuse_code` for suites that
    run what the model writes."""
    refuse_arms(config.train, (arm,))
    refuse_code(suites, allowed=config.score.allow_code)
    own = None if arm.model is None else config.model.model_copy(update={"ref": arm.model, "revision": None})
    node = ScoreNode(
        arm=arm,
        model=own or config.model,
        base=config.model if own else None,
        suites=suites,
        suites_dir=config.suites_dir,
        seed=config.seed,
    )
    uses_adapter = arm.adapter in ("train", "sham")
    inputs = _ingests(datasets_of(suites))
    return Draft(
        f"score:{name or arm.name}",
        "score",
        node,
        (trained, *inputs) if uses_adapter else inputs,
        _known_as(trained, "train") if uses_adapter else {},
    )


def _known_as(node: str, asked_for: str) -> dict[str, str]:
    return {} if node == asked_for else {node: asked_for}


def _judging(config: LoopConfig, suites: tuple[Suite, ...]) -> list[Draft]:
    if config.judge is None:
        return []
    suite = next((suite for suite in suites if suite.name == config.judge.suite), None)
    if suite is None or suite.kind != "judge":
        raise UsageError(f"{config.judge.suite!r} is no suite of kind `judge` under score.suites", where="judge.suite")
    pair = deciding_pair(config)
    node = JudgeNode(
        judge=config.judge,
        endpoint=config.endpoints[config.judge.endpoint],
        model=config.model,
        suite=suite,
        suites_dir=config.suites_dir,
        before=pair[0],
        after=pair[1],
        seed=config.seed,
    )
    inputs = (f"score:{pair[0]}", f"score:{pair[1]}", *_ingests(datasets_of((suite,))))
    return [Draft("score:judge", "score", node, inputs)]


def _verdict(config: LoopConfig, suites: tuple[Suite, ...], before: list[Draft], command: str) -> list[Draft]:
    """compare > gate > report."""
    before_arm, after_arm = deciding_pair(config)
    named = {arm for pair in config.compare.pairs for arm in (pair.before, pair.after)}
    scored = [draft.name for draft in before if draft.stage == "score"]
    compared = tuple(name for name in scored if name.removeprefix("score:") in named | {"judge"})
    compare = CompareNode(
        compare=config.compare,
        suites=suites,
        alpha=config.gate.alpha,
        max_failed_fraction=config.gate.max_failed_fraction,
        not_run=_not_run(config, suites),
    )
    report = ReportNode(
        report=config.report,
        name=config.name,
        command=command,
        generations=config.score.generations,
        before=before_arm,
        after=after_arm,
        price_per_hour=config.score.price_per_hour,
        judge_prices=config.endpoints[config.judge.endpoint].prices if config.judge else None,
    )
    everything = (*(draft.name for draft in before), "compare", "gate")
    return [
        Draft("compare", "compare", compare, compared),
        Draft("gate", "gate", GateNode(gate=config.gate, suites=suites), ("compare",)),
        Draft("report", "report", report, everything),
    ]


def _not_run(config: LoopConfig, suites: tuple[Suite, ...]) -> tuple[str, ...]:
    """What a reviewer might expect and will not find, each with its reason."""
    gaps = []
    purposes = {pair.purpose for pair in config.compare.pairs}
    if config.judge is None:
        gaps.append("LLM judge: none is configured (`judge`).")
    if "sham" not in purposes:
        gaps.append("Sham control: no arm with an all-zero adapter is compared.")
    if "noise" not in purposes:
        gaps.append("Noise floor: no A/A arm is compared, so flips cannot be told from batch noise.")
    if "quantisation" not in purposes:
        gaps.append("Quantisation: the base as published is not compared with the quantised base.")
    if not any(suite.role == "safety" for suite in suites):
        gaps.append("Safety: no suite of role `safety`.")
    if not any(strategy.endpoint for strategy in config.synth.strategies):
        gaps.append("Teacher-made pairs: no strategy with a teacher is configured (`synth.strategies`).")
    gaps.append(
        "Between-seed variance: one adapter was trained, so the verdict is about this adapter, not this recipe."
    )
    if "export" not in purposes:
        gaps.append("Exported model: merged or GGUF weights were not scored.")
    return tuple(gaps)


def _ingests(datasets: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"ingest:{name}" for name in datasets)


def _ingest(name: str, card: Card, seed: int) -> Draft:
    return Draft(f"ingest:{name}", "ingest", IngestNode(card=card, seed=seed), ())


def _curate(
    config: LoopConfig, project: Path, data: tuple[str, ...], cards: tuple[str, ...], suites: tuple[Suite, ...]
) -> Draft:
    rating = config.curate.rating.endpoint
    node = CurateNode(
        curate=config.curate,
        datasets=data,
        suites=suites,
        suites_dir=config.suites_dir,
        model=config.model,
        max_length=config.curate.max_length or _train_length(config),
        endpoint=None if rating is None else config.endpoints[rating],
        restored=restored_records(project),
        seed=config.seed,
    )
    return Draft("curate", "curate", node, _ingests(cards))


def _train_length(config: LoopConfig) -> int:
    return config.train.max_length or config.model.max_length


def resolved(arm: ArmConfig, config: LoopConfig) -> ArmConfig:
    """The arm with precision, batch size and system prompt filled in."""
    return arm.model_copy(
        update={
            "precision": arm.precision or config.model.precision,
            "batch_size": arm.batch_size or config.score.batch_size,
            "system_prompt": config.model.system_prompt if arm.system_prompt is None else arm.system_prompt,
        }
    )


def deciding_pair(config: LoopConfig) -> tuple[str, str]:
    """Names of the arms of the pair with `purpose: candidate`."""
    pair = next(pair for pair in config.compare.pairs if pair.purpose == "candidate")
    return pair.before, pair.after


def _with_segment(draft: Draft, done: dict[str, str]) -> Draft:
    """A curation with a saved index is told the name of its data's own segment in it."""
    node = draft.config
    if not isinstance(node, CurateNode) or node.curate.near_duplicates.index is None:
        return draft
    data = {name: done[f"ingest:{name}"] for name in node.datasets}
    return replace(draft, config=node.model_copy(update={"segment": fingerprint(data)}))


def _with_adapter(draft: Draft, project: Path) -> Draft:
    """An arm that names a registered adapter scores the files of that version, wherever a slot points later on.

    UsageError for an adapter that is not registered; IncompleteError if its files changed or it has another base."""
    node = draft.config
    if not isinstance(node, ScoreNode) or node.arm.adapter is None or not names_registered(node.arm.adapter):
        return draft
    adapter = resolve(Project(project), node.arm.adapter)
    check_base(adapter, node.model, project)
    if adapter.directory == (project / node.arm.adapter).resolve():
        return draft  # a directory with such a name
    arm = node.arm.model_copy(update={"adapter": str(adapter.directory.relative_to(project))})
    return replace(draft, config=node.model_copy(update={"arm": arm}))


def fingerprinted(drafts: list[Draft], project: Path) -> Plan:
    """The plan of drafts that stand in an order in which every input comes first. UsageError for two of one name: the
    artifact of one would be taken for the other's."""
    counted = Counter(draft.name for draft in drafts)
    if repeated := [name for name, times in counted.items() if times > 1]:
        raise UsageError(
            f"two nodes of the plan would be called {repeated[0]}",
            where="score.arms",
            next_step="give the arm or dataset behind one of them another name",
        )
    registry = stages()
    done: dict[str, str] = {}
    nodes = []
    for draft in drafts:
        draft = _with_adapter(_with_segment(draft, done), project)
        stage = registry[draft.stage]
        external = stage.external(draft.config, project)
        libraries = library_versions(stage.libraries)
        done[draft.name] = fingerprint(
            {
                "stage": stage.name,
                "version": stage.version,
                "config": draft.config.for_fingerprint(),
                "inputs": {draft.known_as.get(name, name): done[name] for name in draft.inputs},
                "external": external,
                "libraries": libraries,
            }
        )
        nodes.append(
            Node(
                name=draft.name,
                stage=draft.stage,
                config=draft.config,
                inputs=draft.inputs,
                external=external,
                libraries=libraries,
                fingerprint=done[draft.name],
                known_as=draft.known_as,
            )
        )
    return Plan(tuple(nodes))
