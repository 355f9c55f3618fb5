"""What a run leaves in the registry: its adapter, the gate's verdict on it, and what the collector must keep.

The stages here write small real parts through the real runner; the numbers of the verdict are written by hand.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from workbench.adapters.log import log_path
from workbench.adapters.promotion import archive, promote
from workbench.adapters.registry import read_registry
from workbench.adapters.versions import Training, register
from workbench.core.config import ArmConfig, LoopConfig, ModelConfig, TrainConfig
from workbench.core.errors import IncompleteError, UsageError
from workbench.core.events import Event, NodeMessage
from workbench.core.fingerprints import file_sha256, fingerprint, tree_sha256
from workbench.core.parts import write_model, write_text
from workbench.core.paths import Project
from workbench.core.results import (
    ArmInfo,
    Comparison,
    Interval,
    PairComparison,
    PairVerdict,
    RunState,
    SuiteComparison,
    SuiteVerdict,
    TrainSummary,
    Verdict,
)
from workbench.core.stage import Context, Done, Failed, Inputs, Outcome, Stage
from workbench.core.suites import Suite
from workbench.core.wire import Wire
from workbench.loop import run as runner
from workbench.loop.collect import find_garbage, remove
from workbench.loop.plan import Node, Plan, build_plan
from workbench.loop.registering import register_reference
from workbench.models.adapter_files import AdapterNote
from workbench.models.refs import model_fingerprint, resolve

AT = "2026-11-22T10:00:00+00:00"
CONFIG = LoopConfig(name="support")


class Small(Wire):
    """What the small stages need to know."""

    seed: int = 0
    adapter: str = ""
    state: RunState = "passed"


def _mix(config: Small, inputs: Inputs, ctx: Context) -> Outcome:
    write_text(ctx.out_dir / "train.jsonl", f'{{"row": {config.seed}}}\n')
    return Done({"rows": 1})


def _train(config: Small, inputs: Inputs, ctx: Context) -> Outcome:
    adapter = ctx.out_dir / "adapter"
    adapter.mkdir()
    weights = np.random.default_rng(config.seed).normal(size=(2, 4)).astype(np.float32)
    save_file({"base_model.model.up.lora_A.weight": weights}, adapter / "adapter_model.safetensors")
    write_text(adapter / "adapter_config.json", json.dumps({"peft_type": "LORA", "r": 2, "lora_alpha": 4}))
    note = AdapterNote(
        base="a-base", base_fingerprint="b" * 64, precision="nf4", template_hash="t", train=TrainConfig(), seed=7
    )
    write_model(adapter / "workbench_adapter.json", note)
    summary = TrainSummary(
        method="qlora",
        base="a-base",
        base_fingerprint="b" * 64,
        precision="nf4",
        trainable_parameters=8,
        total_parameters=100,
        steps=8,
        answer_tokens=640,
        first_loss=3.5,
        last_loss=2.5,
        gradient_check=1.0,
        seconds=1.5,
        adapter_sha256="",
    )
    write_model(ctx.out_dir / "training.json", summary)
    return Done({"steps": 8})


def _score(config: Small, inputs: Inputs, ctx: Context) -> Outcome:
    adapter = Path(config.adapter) if config.adapter else None
    if adapter is None and "train" in inputs:
        adapter = inputs["train"].part("adapter")
    info = ArmInfo(
        arm=ctx.node.removeprefix("score:"),
        model="a-base",
        model_fingerprint="b" * 64,
        adapter=None if adapter is None else "train",
        adapter_sha256=None if adapter is None else tree_sha256(adapter),
        precision="nf4",
        system_prompt=None,
        conditions={},
        batch_size=8,
    )
    write_model(ctx.out_dir / "arm.json", info)
    return Done({})


def _compare(config: Small, inputs: Inputs, ctx: Context) -> Outcome:
    gain = Interval(value=0.25, low=0.125, high=0.375)
    suite = SuiteComparison(
        suite="capitals",
        task="capitals",
        filter="none",
        metric="acc",
        kind="lm_eval",
        role="general",
        unit="accuracy",
        gated=True,
        margin=0.05,
        higher_is_better=True,
        n=40,
        unpaired=0,
        failed_before=0,
        failed_after=0,
        unparsed_before=0,
        unparsed_after=0,
        before=Interval(value=0.5, low=0.4, high=0.6),
        after=Interval(value=0.75, low=0.65, high=0.85),
        gain=gain,
        gain_se=0.0625,
        method="by hand",
        p_improved=0.01,
        p_improved_holm=0.01,
        p_value=0.02,
        test="by hand",
        forgotten=2,
        learned=12,
        identical=False,
        mde=0.04,
    )
    pair = PairComparison(before="base@nf4", after="candidate", purpose="candidate", comparable=True, suites=(suite,))
    write_model(ctx.out_dir / "comparison.json", Comparison(confidence=0.95, pairs=(pair,)))
    return Done({})


def _gate(config: Small, inputs: Inputs, ctx: Context) -> Outcome:
    suites = (
        SuiteVerdict(
            suite="capitals",
            metric="acc",
            role="general",
            gated=True,
            state="improved",
            nothing_changed=False,
            reason="above zero",
        ),
    )
    pair = PairVerdict(
        before="base@nf4",
        after="candidate",
        purpose="candidate",
        state=config.state,
        nothing_changed=False,
        suites=suites,
        reasons=(),
    )
    verdict = Verdict(state=config.state, headline="By hand.", decisive=pair, exit_code=0, strict=False)
    write_model(ctx.out_dir / "verdict.json", verdict)
    return Done({})


Behaviour = Callable[[Small, Inputs, Context], Outcome]


@pytest.fixture
def behaviours(monkeypatch: pytest.MonkeyPatch) -> dict[str, Behaviour]:
    table: dict[str, Behaviour] = {"mix": _mix, "train": _train, "score": _score, "compare": _compare, "gate": _gate}
    stages = {
        name: Stage(name=name, version=1, config=Small, run=lambda c, i, x, name=name: table[name](c, i, x))
        for name in table
    }
    monkeypatch.setattr(runner, "stages", lambda: stages)
    return table


@pytest.fixture
def project(tmp_path: Path, behaviours: dict[str, Behaviour]) -> Project:
    return Project(tmp_path)


def plan(*, seed: int = 0, adapter: str = "", state: RunState = "passed", trained: str = "train") -> Plan:
    """mix > train > score:candidate > compare > gate; without training where an adapter is named."""
    drafts = [("mix", "mix", ()), (trained, "train", ("mix",))] if not adapter else []
    scored = () if adapter else (trained,)
    drafts += [
        ("score:candidate", "score", scored),
        ("compare", "compare", ("score:candidate",)),
        ("gate", "gate", ("compare",)),
    ]
    nodes: list[Node] = []
    for name, stage, inputs in drafts:
        below = {other.name: other.fingerprint for other in nodes if other.name in inputs}
        config = Small(seed=seed, adapter=adapter, state=state)
        made = fingerprint([name, config.model_dump(), below])
        known = {trained: "train"} if stage == "score" and trained != "train" else {}
        nodes.append(Node(name, stage, config, inputs, {}, {}, made, known))
    return Plan(tuple(nodes))


def execute(project: Project, chosen: Plan, run: str, **options: Any) -> tuple[runner.RunResult, list[str]]:
    """Runs a plan; the result and what was said about adapters."""
    events: list[Event] = []
    result = runner.execute(chosen, CONFIG, project, run, command="test", on_event=events.append, **options)
    said = [event.message for event in events if isinstance(event, NodeMessage) and event.node == "adapters"]
    return result, said


def test_a_finished_run_registers_its_adapter_and_the_verdict_on_it(project: Project) -> None:
    result, said = execute(project, plan(seed=3), "first")
    assert said == ["registered as support@1", "the gate's verdict on support@1 is kept: passed"]
    found = read_registry(project).get("support@1")
    trained = result.artifacts["train"]
    assert found.sha256 == tree_sha256(trained.part("adapter")) and found.run == "first"
    assert (found.base, found.base_fingerprint, found.precision, found.method) == ("a-base", "b" * 64, "nf4", "qlora")
    made = found.registration
    assert made is not None and made.seed == 7 and made.train == TrainConfig().model_dump(mode="json")
    assert made.data_sha256 == file_sha256(result.artifacts["mix"].part("train.jsonl"))
    assert made.config_hash == json.loads((project.runs / "first" / "plan.json").read_text())["config_hash"]
    expected = {"first_loss": 3.5, "last_loss": 2.5, "steps": 8, "answer_tokens": 640, "trainable_parameters": 8}
    assert {key: made.metrics[key] for key in expected} == expected and "method" not in made.metrics
    assert made.artifacts == {name: artifact.manifest.fingerprint for name, artifact in result.artifacts.items()}
    (verdict,) = found.judged
    assert (verdict.state, verdict.run, verdict.headline, verdict.before) == (
        "passed",
        "first",
        "By hand.",
        "base@nf4",
    )
    (suite,) = verdict.suites
    assert (suite.gain, suite.low, suite.high, suite.forgotten, suite.learned) == (0.25, 0.125, 0.375, 2, 12)
    assert promote(project, "support@1", "production", who="ada", at=AT).after == 1


def test_the_same_run_once_more_adds_nothing_and_another_adapter_is_the_next_version(project: Project) -> None:
    execute(project, plan(seed=3), "first")
    before = log_path(project).read_bytes()
    assert execute(project, plan(seed=3), "again")[1] == [] and log_path(project).read_bytes() == before
    assert execute(project, plan(seed=4), "other")[1][0] == "registered as support@2"


def test_a_run_that_ends_with_training_is_registered_and_not_judged(project: Project) -> None:
    whole = plan()
    _, said = execute(project, whole, "short", selected={"mix", "train"})
    assert said == ["registered as support@1"] and read_registry(project).get("support@1").gate is None
    execute(project, whole, "long")
    assert read_registry(project).get("support@1").gate == "passed"


def test_a_later_run_that_scores_the_adapter_judges_the_same_version(project: Project) -> None:
    execute(project, plan(), "first")
    directory = str(read_registry(project).get("support@1").directory)
    _, said = execute(project, plan(adapter=directory, state="regressed"), "later")
    assert said == ["the gate's verdict on support@1 is kept: regressed"]
    assert [line.run for line in read_registry(project).get("support@1").judged] == ["first", "later"]
    with pytest.raises(IncompleteError, match="did not pass support@1: regressed in run later"):
        promote(project, "support@1", "production", who="ada", at=AT)


def test_a_verdict_goes_to_every_name_the_content_has(project: Project) -> None:
    execute(project, plan(), "first")
    assert register_reference(project, "first", "tenant", None, at=AT)[0].gate == "passed"
    directory = str(read_registry(project).get("support@1").directory)
    _, said = execute(project, plan(adapter=directory, state="regressed"), "later")
    assert len(said) == 2
    assert [read_registry(project).get(name).gate for name in ("support@1", "tenant@1")] == ["regressed"] * 2


def test_a_verdict_on_an_adapter_nobody_registered_is_not_kept(project: Project, tmp_path: Path) -> None:
    (tmp_path / "loose").mkdir()
    (tmp_path / "loose" / "file").write_text("x")
    assert execute(project, plan(adapter=str(tmp_path / "loose")), "loose")[1] == []
    assert read_registry(project).adapters == {}


def test_a_failed_run_registers_nothing_until_it_is_continued(
    project: Project, behaviours: dict[str, Behaviour]
) -> None:
    behaviours["score"] = lambda config, inputs, ctx: Failed("no memory")
    result, said = execute(project, plan(), "first")
    assert result.status == "failed" and said == [] and read_registry(project).adapters == {}
    behaviours["score"] = _score
    assert execute(project, plan(), "first")[1][0] == "registered as support@1"


def test_a_damaged_registry_costs_a_finished_run_a_warning(project: Project) -> None:
    project.adapters.mkdir(parents=True)
    log_path(project).write_text("nonsense\n")
    result, (said,) = execute(project, plan(), "first")
    assert result.status == "completed" and "log.jsonl:1" in said
    assert "workbench adapters register first" in said
    log_path(project).unlink()
    found, new = register_reference(project, "first", None, None, at=AT)
    assert (found.reference, found.gate, new) == ("support@1", "passed", True)
    assert register_reference(project, "first", None, None, at=AT) == (found, False)


def test_arms_of_an_experiment_are_registered_by_hand_alone(project: Project) -> None:
    assert execute(project, plan(trained="train:r16-s1"), "sweep")[1] == []
    with pytest.raises(UsageError, match=r"no adapter from 'train'; nodes with one: train:r16-s1"):
        register_reference(project, "sweep", None, None, at=AT)
    dry = register_reference(project, "sweep:train:r16-s1", "best", None, at=AT, dry_run=True)[0]
    assert dry.reference == "best@1" and read_registry(project).adapters == {}
    found, new = register_reference(project, "sweep:train:r16-s1", "best", None, at=AT)
    assert (found.reference, found.run, new) == ("best@1", "sweep", True)
    assert found.registration is not None and found.registration.data_sha256 is not None


def test_the_collector_keeps_what_an_adapter_in_use_refers_to(project: Project) -> None:
    execute(project, plan(), "first")
    execute(project, plan(seed=1, trained="train:x"), "experiment")
    for run in ("first", "experiment"):
        shutil.rmtree(project.runs / run)
    remove(find_garbage(project))
    registration = read_registry(project).get("support@1").registration
    assert registration is not None
    left = {path.name for path in project.artifacts.glob("*/*")}
    assert left == set(registration.artifacts.values())
    archive(project, "support@1", who="ada", at=AT)
    garbage = find_garbage(project)
    assert {path.name for path in garbage.paths if path.suffix != ".lock"} == left | {"1"}
    remove(garbage)
    assert not list(project.artifacts.glob("*/*")) and not read_registry(project).get("support@1").directory.exists()
    assert read_registry(project).get("support@1").archived


def test_weights_outlive_the_run_they_came_from(project: Project) -> None:
    result, _ = execute(project, plan(), "first")
    expected = tree_sha256(result.artifacts["train"].part("adapter"))
    shutil.rmtree(project.artifacts)
    found = read_registry(project).get("support@1")
    assert tree_sha256(found.directory) == expected


@pytest.fixture
def scoring(project: Project) -> LoopConfig:
    """A configuration that scores the adapter in production against its base."""
    base = project.root / "base"
    base.mkdir()
    (base / "config.json").write_text("{}")
    save_file({"w": np.zeros(1, dtype=np.float32)}, base / "model.safetensors")
    (project.root / "evals").mkdir()
    (project.root / "evals" / "capitals.jsonl").write_text(
        "".join(json.dumps({"question": f"{n}?", "choices": ["a", "b"], "answer": 0}) + "\n" for n in range(60))
    )
    suite = Suite.model_validate(
        {
            "name": "capitals",
            "kind": "lm_eval",
            "role": "general",
            "documents": {"file": "capitals.jsonl"},
            "primary_metric": "acc",
            "margin": 0.3,
        }
    )
    config = LoopConfig(name="nightly", model=ModelConfig(ref="base"))
    arms = (ArmConfig(name="base@nf4"), ArmConfig(name="candidate", adapter="support@production"))
    pairs = tuple(pair for pair in config.compare.pairs if pair.purpose == "candidate")
    return config.model_copy(
        update={
            "score": config.score.model_copy(update={"suites": (suite,), "arms": arms}),
            "compare": config.compare.model_copy(update={"pairs": pairs}),
        }
    )


def in_production(project: Project, seed: int, base_fingerprint: str) -> str:
    """Trains, registers and promotes an adapter for a base; its reference."""
    result, _ = execute(project, plan(seed=seed), f"run-{seed}")
    adapter = result.artifacts["train"].part("adapter")
    copy = project.root / f"adapter-{seed}"
    shutil.copytree(adapter, copy)
    note = json.loads((copy / "workbench_adapter.json").read_text()) | {"base_fingerprint": base_fingerprint}
    (copy / "workbench_adapter.json").write_text(json.dumps(note))
    found, _ = register(project, Training(copy, "base", base_fingerprint, "qlora"), "support", who="ada", at=AT)
    promote(project, found.reference, "production", who="ada", at=AT, force=True, reason="a test")
    return found.reference


def test_an_arm_scores_the_version_its_slot_held_when_the_run_was_planned(
    project: Project, scoring: LoopConfig
) -> None:
    base = model_fingerprint(resolve("base", None, project.root))
    first = in_production(project, 1, base)
    planned = build_plan(scoring, project.root).node("score:candidate")
    directory = f".workbench/adapters/versions/{first.replace('@', '/')}"
    assert planned.config.model_dump()["arm"]["adapter"] == directory
    assert planned.external[f"adapter:{directory}"] == read_registry(project).get(first).sha256
    second = in_production(project, 2, base)
    moved = build_plan(scoring, project.root).node("score:candidate")
    assert moved.fingerprint != planned.fingerprint
    assert moved.config.model_dump()["arm"]["adapter"].endswith(second.replace("@", "/"))


def test_an_arm_with_an_adapter_that_cannot_be_scored_is_refused_when_planned(
    project: Project, scoring: LoopConfig
) -> None:
    with pytest.raises(UsageError, match="no adapter is named 'support'"):
        build_plan(scoring, project.root)
    reference = in_production(project, 1, "c" * 64)
    with pytest.raises(IncompleteError, match=rf"{reference} was trained on base \(cccccccccccc\), not on base"):
        build_plan(scoring, project.root)
    (read_registry(project).get(reference).directory / "more.json").write_text("{}")
    with pytest.raises(IncompleteError, match="was changed after it was registered"):
        build_plan(scoring, project.root)
    missing = replace_arm(scoring, "support@staging")
    with pytest.raises(UsageError, match="nothing stands in slot 'staging'"):
        build_plan(missing, project.root)


def replace_arm(config: LoopConfig, adapter: str) -> LoopConfig:
    arms = (config.score.arms[0], config.score.arms[1].model_copy(update={"adapter": adapter}))
    return config.model_copy(update={"score": config.score.model_copy(update={"arms": arms})})
