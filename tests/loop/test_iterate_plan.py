"""The plan of `workbench iterate`: what each round sees, what the verdict never sees, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from workbench.core.errors import ConfigErrors, UsageError
from workbench.core.iteration import RoundGainNode, TargetedSynthNode, WeaknessNode
from workbench.core.nodes import CompareNode, GateNode, MixNode, ScoreNode, TrainNode
from workbench.loop.iterate import build_iterate_plan
from workbench.loop.plan import Draft, Plan, build_plan, fingerprinted
from workbench.loop.settings import load_config
from workbench.loop.starter import create_project

TEACHER = (
    "endpoints={big: {base_url: 'http://127.0.0.1:9/v1', model: m}}",
    "synth.strategies=[{strategy: qa_from_docs, count: 900, endpoint: big}]",
    "mix={}",
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    create_project(tmp_path / "p")
    file = tmp_path / "p" / "workbench.yaml"
    values = yaml.safe_load(file.read_text())
    values |= {"judge": None, "mix": {}, "iterate": {"seeds": 1}}
    values["score"]["suites"] = ["python-docs-perplexity", "capitals", "python-docs-answers"]
    file.write_text(yaml.safe_dump(values))
    return tmp_path / "p"


def plan_of(project: Path, *settings: str) -> Plan:
    return build_iterate_plan(load_config(project / "workbench.yaml", settings, {}), project)


def behind(plan: Plan, name: str) -> set[str]:
    """A node and everything it was made from."""
    found = {name}
    for source in plan.node(name).inputs:
        found |= behind(plan, source)
    return found


def test_every_round_finds_makes_mixes_trains_scores_and_judges(project: Path) -> None:
    plan = plan_of(project, "iterate.rounds=2")
    own = [node.name for node in plan.nodes if node.name.endswith("round-2")]
    assert own == [
        "score:development-round-2", "compare:weaknesses-round-2", "synth:round-2", "mix:round-2", "train:round-2",
        "score:round-2", "compare:round-2", "gate:round-2", "compare:gain-round-2",
    ]  # fmt: skip
    position = {node.name: place for place, node in enumerate(plan.nodes)}
    assert all(position[source] < position[node.name] for node in plan.nodes for source in node.inputs)
    assert "train:round-3" not in position and len({node.fingerprint for node in plan.nodes}) == len(plan.nodes)


def test_what_is_learned_is_decided_without_a_score_of_any_suite(project: Path) -> None:
    plan = plan_of(project, "iterate.rounds=2")
    before = behind(plan, "train:round-2")
    assert {"score:development-round-1", "score:development-round-2", "train:round-0"} <= before
    judged = {f"{stage}:round-{number}" for stage in ("score", "compare", "gate") for number in (0, 1)}
    assert not before & (judged | {"score:base@nf4", "score:noise", "compare:gain-round-1"})
    found = plan.node("score:development-round-2").config
    assert isinstance(found, ScoreNode) and [suite.documents.dataset for suite in found.suites] == ["development"]


def test_no_verdict_sees_a_development_document(project: Path) -> None:
    plan = plan_of(project, "iterate.rounds=1", "iterate.seeds=2")
    scored = ("score:round-1", "score:round-1-s1", "score:base@nf4", "score:noise")
    for node in (plan.node(name) for name in scored):
        assert isinstance(node.config, ScoreNode)
        assert not [suite for suite in node.config.suites if suite.documents.dataset == "development"]
        assert "curate:development" not in node.inputs
    for name in ("compare:round-1", "compare:gain-round-1"):
        assert {source.split(":")[1] for source in plan.node(name).inputs} <= {
            "base@nf4", "noise", "round-0", "round-0-s1", "round-1", "round-1-s1",
        }  # fmt: skip


def test_nothing_but_the_split_reads_all_curated_rows(project: Path) -> None:
    plan = plan_of(project, "iterate.rounds=1")
    assert [node.name for node in plan.nodes if "curate" in node.inputs] == ["curate:development"]
    for name in ("synth", "synth:round-1", "mix:round-0", "mix:round-1"):
        assert plan.node(name).known_as["curate:development"] == "curate"


def test_each_round_trains_from_the_base_on_all_pairs_so_far(project: Path) -> None:
    plan = plan_of(project, "iterate.rounds=2", "seed=5")
    assert plan.node("mix:round-0").inputs == ("curate:development", "synth")
    assert plan.node("mix:round-2").inputs == ("curate:development", "synth", "synth:round-1", "synth:round-2")
    trained = [plan.node(f"train:round-{number}") for number in range(3)]
    assert [node.inputs for node in trained] == [("mix:round-0",), ("mix:round-1",), ("mix:round-2",)]
    assert len({node.config.model_dump_json() for node in trained}) == 1
    assert isinstance(trained[0].config, TrainNode) and trained[0].config.seed == 5
    node = plan.node("synth:round-2").config
    assert isinstance(node, TargetedSynthNode) and node.earlier == ("synth", "synth:round-1")
    assert [(one.strategy, one.count) for one in node.strategies] == [("doc_pairs", 200)], "no teacher: by rule"


def test_verdicts_are_corrected_for_their_number_and_gains_are_not(project: Path) -> None:
    plan = plan_of(project, "iterate.rounds=3", "gate.alpha=0.04", "compare.confidence=0.9")
    verdict, gate = plan.node("compare:round-2").config, plan.node("gate:round-2").config
    assert isinstance(verdict, CompareNode) and isinstance(gate, GateNode)
    assert verdict.compare.confidence == pytest.approx(0.975) and verdict.alpha == gate.gate.alpha == 0.01
    gain, weak = plan.node("compare:gain-round-2").config, plan.node("compare:weaknesses-round-2").config
    assert isinstance(gain, RoundGainNode) and isinstance(weak, WeaknessNode)
    assert (gain.compare.confidence, gain.alpha, weak.alpha, weak.confidence) == (0.9, 0.04, 0.04, 0.9)
    assert [suite.role for suite in gain.suites] == ["target"]
    assert "python-docs-answers" not in {suite.name for suite in verdict.suites}, "a judge compares no rounds"
    pairs = {(pair.before, pair.after, pair.purpose) for pair in verdict.compare.pairs}
    assert pairs == {("base@nf4", "round-2", "candidate"), ("base@nf4", "noise", "noise")}


def test_further_seeds_train_on_the_same_rows_and_are_compared_in_pairs(project: Path) -> None:
    plan = plan_of(project, "iterate.rounds=1", "iterate.seeds=3", "seed=7")
    trained = [node for node in plan.nodes if node.stage == "train"]
    found = [(node.name, node.config.seed) for node in trained if isinstance(node.config, TrainNode)]
    names = (("", 7), ("-s8", 8), ("-s9", 9))
    assert found == [(f"train:round-{number}{suffix}", seed) for number in (0, 1) for suffix, seed in names]
    assert {node.inputs for node in trained[:3]} == {("mix:round-0",)}
    gain = plan.node("compare:gain-round-1").config
    assert isinstance(gain, RoundGainNode)
    assert gain.before == ("score:round-0", "score:round-0-s8", "score:round-0-s9")
    assert gain.after == ("score:round-1", "score:round-1-s8", "score:round-1-s9")


def test_what_the_loop_made_is_found_by_fingerprint(project: Path) -> None:
    config = load_config(project / "workbench.yaml", (), {})
    loop, plan = build_plan(config, project), build_iterate_plan(config, project)
    for name in ("ingest:python-docs", "curate"):
        assert loop.node(name).fingerprint == plan.node(name).fingerprint
    longer = plan_of(project, "iterate.rounds=5")
    for name in ("train:round-3", "score:round-3", "synth:round-3"):
        assert plan.node(name).fingerprint == longer.node(name).fingerprint, "more rounds make nothing again"


def test_teachers_share_the_budget_of_requests(project: Path) -> None:
    plan = plan_of(project, *TEACHER, "iterate.budget=90 requests", "iterate.rounds=3")
    node = plan.node("synth:round-1").config
    assert isinstance(node, TargetedSynthNode)
    assert node.endpoints["big"].max_requests == 30, "a third of the budget, whatever happens"
    assert node.strategies[0].count == 14, "each pair may be asked for twice, and the server is tried first"
    unlimited = plan_of(project, *TEACHER).node("synth:round-1").config
    assert isinstance(unlimited, TargetedSynthNode) and unlimited.endpoints["big"].max_requests is None
    assert isinstance(plan.node("mix:round-1").config, MixNode)


def _arm_called(name: str) -> tuple[str, ...]:
    return (
        f"score.arms=[{{name: {name}}}, {{name: candidate, adapter: train}}]",
        f"compare.pairs=[{{before: {name}, after: candidate, purpose: candidate}}]",
        "judge=null",
    )


def test_an_arm_may_be_called_like_a_round_in_part(project: Path) -> None:
    plan = plan_of(project, *_arm_called("base-round-1"))
    assert "score:base-round-1" in plan.node("compare:round-0").inputs


def test_two_nodes_of_one_name_are_refused(project: Path) -> None:
    node = plan_of(project).node("train:round-0")
    draft = Draft("ingest:twice", "ingest", node.config, ())
    with pytest.raises(UsageError, match="two nodes of the plan would be called ingest:twice"):
        fingerprinted([draft, draft], project)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("curate.decontamination.enabled=false",), "must be kept out of the data"),
        (("curate.actions={contaminated: flag}",), "must be kept out of the data"),
        (("mix.shares={python-docs: 1.0}",), "no share for synth:doc_pairs"),
        (("train.objective=dpo",), "objective dpo does not learn from"),
        (("iterate.budget=10 requests",), "no teacher is configured"),
        ((*TEACHER, "iterate.budget=9 requests"), "make no pair"),
        (("score.suites=[capitals]",), "no suite of role `target`"),
        (("data=[]",), "no data to train on"),
        ((*_arm_called("round-7"),), "is called round-7, as the rounds are"),
        ((*_arm_called("round-0-s1"),), "is called round-0-s1, as the rounds are"),
        ((*_arm_called("development-round-1"),), "is called development-round-1"),
        (("compare.pairs=[{before: base, after: base@nf4, purpose: candidate}]",), "stands still"),
    ],
)
def test_rounds_that_could_not_work_are_refused_before_anything_runs(
    project: Path, settings: tuple[str, ...], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        plan_of(project, *settings)


@pytest.mark.parametrize("budget", ["2 weeks", "0h", "1.5 requests", "-1h"])
def test_a_budget_that_says_nothing_is_refused_with_its_key(project: Path, budget: str) -> None:
    with pytest.raises(ConfigErrors, match=r"iterate\.budget.*is no budget"):
        plan_of(project, f"iterate.budget={budget}")
