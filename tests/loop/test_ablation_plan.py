"""The plan of `workbench ablate`: the loop's own nodes per arm and seed, shared with the loop where they agree."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from manifests import made_up_manifest

from workbench.core.errors import ConfigErrors, UsageError
from workbench.core.nodes import AblationNode, CurateNode, MixNode, ScoreNode, TrainNode
from workbench.core.paths import Project
from workbench.loop.ablation import build_ablation_plan
from workbench.loop.artifacts import ArtifactStore
from workbench.loop.forecast import forecast
from workbench.loop.plan import ABLATION, Node, Plan, build_plan
from workbench.loop.settings import load_config
from workbench.loop.starter import create_project

WITHOUT_JUDGE = ("judge=null", "score.suites=[python-docs-perplexity, capitals]")


def starter_without_mix(directory: Path) -> Path:
    """The starter, with a mixture that takes every row once."""
    create_project(directory)
    file = directory / "workbench.yaml"
    values = yaml.safe_load(file.read_text())
    del values["mix"]
    file.write_text(yaml.safe_dump(values))
    return directory


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return starter_without_mix(tmp_path / "p")


def _plans(project: Path, *settings: str) -> tuple[Plan, Plan]:
    """The loop's and the ablation's."""
    config = load_config(project / "workbench.yaml", settings, {})
    return build_plan(config, project), build_ablation_plan(config, project)


def _names(plan: Plan, stage: str) -> list[str]:
    return [node.name for node in plan.nodes if node.stage == stage]


def test_every_arm_is_trained_and_scored_once_per_seed(project: Path) -> None:
    _, plan = _plans(project, *WITHOUT_JUDGE, "ablate.seeds=2")
    assert _names(plan, "mix") == ["mix:dropped", "mix:all", "mix:filtered", "mix:random-s0", "mix:random-s1"]
    trained = [f"train:{arm}-s{seed}" for seed in (0, 1) for arm in ("all", "filtered", "random", "dropped")]
    assert _names(plan, "train") == trained
    assert set(_names(plan, "score")) == {f"score:{name.partition(':')[2]}" for name in trained} | {"score:base@nf4"}
    assert plan.nodes[-1].name == ABLATION
    position = {node.name: place for place, node in enumerate(plan.nodes)}
    assert all(position[source] < position[node.name] for node in plan.nodes for source in node.inputs)


def test_training_sets_are_looked_at_before_anything_is_trained(project: Path) -> None:
    _, plan = _plans(project, *WITHOUT_JUDGE)
    names = [node.name for node in plan.nodes]
    first_costly = next(place for place, node in enumerate(plan.nodes) if node.stage in ("train", "score"))
    assert names.index("compare:arms") < first_costly
    assert set(plan.node("compare:arms").inputs) == set(_names(plan, "mix"))


def test_that_something_was_dropped_is_seen_first_even_without_that_arm(project: Path) -> None:
    shares = "mix.shares={python-docs: 0.6, 'synth:doc_pairs': 0.4}"
    _, plan = _plans(project, *WITHOUT_JUDGE, "ablate.arms=[filtered, random]", shares)
    first = plan.node(_names(plan, "mix")[0])
    assert first.name.startswith("mix:dropped") and "train:dropped-s0" not in _names(plan, "train")
    # Neither shares nor synthetic rows could hide that there is nothing: the node fails, and nothing is trained.
    assert isinstance(first.config, MixNode) and first.config.mix.shares == {} and first.inputs == ("curate",)
    assert plan.node("mix:random-s0").inputs == ("curate", "synth")


def test_what_the_loop_has_made_is_found_by_fingerprint(project: Path) -> None:
    loop, plan = _plans(project, *WITHOUT_JUDGE)
    same = {
        "curate": "curate",
        "synth": "synth",
        "mix": "mix:filtered",
        "train": "train:filtered-s0",
        "score:candidate": "score:filtered-s0",
        "score:base@nf4": "score:base@nf4",
        "ingest:python-docs": "ingest:python-docs",
    }
    for in_loop, in_ablation in same.items():
        assert loop.node(in_loop).fingerprint == plan.node(in_ablation).fingerprint, in_loop
    prints = [node.fingerprint for node in plan.nodes]
    assert len(set(prints)) == len(prints)


def test_seeds_differ_in_training_and_in_nothing_else(project: Path) -> None:
    _, plan = _plans(project, *WITHOUT_JUDGE, "seed=7", "ablate.seeds=2")
    first, second = plan.node("train:all-s7"), plan.node("train:all-s8")
    assert isinstance(first.config, TrainNode) and isinstance(second.config, TrainNode)
    assert (first.config.seed, second.config.seed) == (7, 8)
    assert first.config.train == second.config.train and first.inputs == second.inputs == ("mix:all",)
    scorings = [plan.node(name).config for name in _names(plan, "score") if name != "score:base@nf4"]
    assert all(isinstance(node, ScoreNode) for node in scorings)
    assert len({node.model_copy(update={"arm": None}).model_dump_json() for node in scorings}) == 1
    arms = {node.arm.model_copy(update={"name": "x"}).model_dump_json() for node in scorings}
    assert len(arms) == 1


def test_where_rows_are_drawn_each_seed_draws_its_own(project: Path) -> None:
    _, plan = _plans(project, *WITHOUT_JUDGE, "mix.max_rows=50", "ablate.seeds=2", "ablate.arms=[filtered, random]")
    drawn_names = ["mix:filtered-s0", "mix:filtered-s1", "mix:random-s0", "mix:random-s1"]
    assert _names(plan, "mix") == ["mix:dropped-s0", *drawn_names]
    drawn = [plan.node(name).config for name in drawn_names]
    assert [(node.rows, node.seed) for node in drawn if isinstance(node, MixNode)] == [
        ("filtered", 0),
        ("filtered", 1),
        ("random", 0),
        ("random", 1),
    ]


def test_suites_of_a_judge_are_left_out_and_named(project: Path) -> None:
    _, plan = _plans(project)
    node = plan.node(ABLATION).config
    assert isinstance(node, AblationNode)
    assert "python-docs-answers" not in {suite.name for suite in node.suites}
    assert any("python-docs-answers: left out" in limit for limit in node.limits)
    scored = plan.node("score:random-s0").config
    assert isinstance(scored, ScoreNode) and len(scored.suites) == len(node.suites)


def test_one_filter_alone_drops_and_the_others_flag(project: Path) -> None:
    settings = (*WITHOUT_JUDGE, "ablate.filters=[repetition]", "curate.actions={empty_output: drop}")
    loop, plan = _plans(project, *settings)
    narrowed, usual = plan.node("curate").config, loop.node("curate").config
    assert isinstance(narrowed, CurateNode) and isinstance(usual, CurateNode)
    actions = narrowed.curate.actions
    assert "repetition" not in actions and "contaminated" not in actions
    assert actions["empty_output"] == actions["exact_duplicate"] == actions["near_duplicate"] == "flag"
    assert usual.curate.actions == {"empty_output": "drop"}
    node = plan.node(ABLATION).config
    assert isinstance(node, AblationNode) and node.question.startswith("repetition")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["ablate.filters=[repetitoin]"], "no filter or reason 'repetitoin'"),
        (["score.suites=[capitals]", "score.heldout=false", "judge=null"], "no suite of role `target`"),
        (["data=[]", "judge=null"], "no data to train on"),
    ],
)
def test_ablations_that_make_no_sense_are_refused(project: Path, settings: list[str], message: str) -> None:
    config = load_config(project / "workbench.yaml", settings, {})
    with pytest.raises(UsageError, match=message):
        build_ablation_plan(config, project)


def test_the_deciding_arms_cannot_be_left_out(project: Path) -> None:
    with pytest.raises(ConfigErrors, match="must be among the arms"):
        load_config(project / "workbench.yaml", ["ablate.arms=[filtered, all]"], {})


def test_a_heldout_part_of_the_raw_data_is_named_as_a_limit(project: Path) -> None:
    data = ("data=[example-alpaca]", "synth.strategies=[]")
    _, plan = _plans(project, *data, "judge=null", "score.suites=[capitals]")
    node = plan.node(ABLATION).config
    assert isinstance(node, AblationNode) and any("defects included" in limit for limit in node.limits)


def commit_as_run(store: ArtifactStore, node: Node, seconds: float) -> None:
    """An artifact of the node, as if it had been run."""
    config = node.config.model_dump(mode="json")
    manifest = made_up_manifest(node.name, config, stage=node.stage, fingerprint=node.fingerprint, seconds=seconds)
    store.commit(store.fresh_output(node.stage, node.fingerprint), manifest)


def test_the_forecast_counts_what_is_left_and_goes_by_what_was_done(project: Path) -> None:
    _, plan = _plans(project, *WITHOUT_JUDGE, "ablate.seeds=2", "ablate.arms=[filtered, random]")
    place, names = Project(project), {node.name for node in plan.nodes}
    before = forecast(plan, names, place)
    assert (before.trainings, before.scorings, before.seconds) == (4, 5, None)
    commit_as_run(ArtifactStore(place), plan.node("train:filtered-s0"), 100.0)
    commit_as_run(ArtifactStore(place), plan.node("score:base@nf4"), 10.0)
    after = forecast(plan, names, place)
    assert (after.trainings, after.scorings, after.seconds) == (3, 4, 340.0)
    _, longer = _plans(project, *WITHOUT_JUDGE, "ablate.seeds=2", "train.max_steps=61")
    assert forecast(longer, {node.name for node in longer.nodes}, place).seconds is None


def test_the_suite_margins_do_not_train_or_score_again(project: Path) -> None:
    _, before = _plans(project, *WITHOUT_JUDGE)
    path = project / "evals" / "capitals.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"margin": 0.2}))
    _, after = _plans(project, *WITHOUT_JUDGE)
    changed = {node.name for node in before.nodes if after.node(node.name).fingerprint != node.fingerprint}
    assert changed == {ABLATION}
