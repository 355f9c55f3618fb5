"""The plan of `workbench sweep`: every combination and seed once, what is common shared, arms kept even by a budget."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_ablation_plan import WITHOUT_JUDGE, commit_as_run, starter_without_mix

from workbench.core.errors import ConfigErrors, IncompleteError, UsageError
from workbench.core.nodes import CurateNode, ScoreNode, SweepNode, TrainNode
from workbench.core.paths import Project
from workbench.core.sweeps import SweepConfig, axis_of
from workbench.loop.artifacts import ArtifactStore
from workbench.loop.plan import Plan, build_plan
from workbench.loop.settings import load_config
from workbench.loop.sweep import ANSWERS, build_sweep_plan
from workbench.loop.sweep_arms import combinations
from workbench.loop.sweep_budget import Budget, groups_of

AXES = "sweep.axes={train.rank: [8, 16], train.learning_rate: [1.0e-4, 2.0e-4]}"
LARGE_GRID = f"sweep.axes={{train.rank: {list(range(1, 12))}, train.alpha: {list(range(1, 11))}}}"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return starter_without_mix(tmp_path / "p")


def _plan(project: Path, *settings: str, command: str = "workbench sweep") -> Plan:
    config = load_config(project / "workbench.yaml", (*WITHOUT_JUDGE, *settings), {})
    return build_sweep_plan(config, project, command)


def _names(plan: Plan, stage: str) -> list[str]:
    return [node.name for node in plan.nodes if node.stage == stage]


def _last(plan: Plan) -> SweepNode:
    node = plan.nodes[-1].config
    assert isinstance(node, SweepNode)
    return node


def test_every_combination_is_trained_once_per_seed_in_even_rounds(project: Path) -> None:
    plan = _plan(project, AXES, "sweep.seeds=2")
    arms = [f"rank={rank},learning_rate={rate}" for rank in (8, 16) for rate in ("0.0001", "0.0002")]
    assert _names(plan, "train") == [f"train:{arm}-s{seed}" for seed in (0, 1) for arm in arms]
    assert _names(plan, "score") == ["score:base@nf4", *(f"score:{arm}-s{seed}" for seed in (0, 1) for arm in arms)]
    assert _names(plan, "compare") == [f"{ANSWERS}4x1", f"{ANSWERS}4x2"]
    assert _names(plan, "mix") == ["mix"] and _names(plan, "curate") == ["curate"]
    position = {node.name: place for place, node in enumerate(plan.nodes)}
    assert all(position[source] < position[node.name] for node in plan.nodes for source in node.inputs)
    assert position[f"{ANSWERS}4x1"] < position[f"train:{arms[0]}-s1"], "the answer so far comes before the next round"


def test_arms_differ_in_what_is_swept_and_in_nothing_else(project: Path) -> None:
    plan = _plan(project, AXES, "sweep.seeds=2")
    trained = [plan.node(name).config for name in _names(plan, "train")]
    assert all(isinstance(node, TrainNode) for node in trained)
    rest = {
        node.model_copy(
            update={"seed": 0, "train": node.train.model_copy(update={"rank": 1, "learning_rate": 1.0})}
        ).model_dump_json()
        for node in trained
        if isinstance(node, TrainNode)
    }
    assert len(rest) == 1
    scored = [plan.node(name).config for name in _names(plan, "score")[1:]]
    assert len({node.model_dump_json() for node in scored}) == 1
    prints = [node.fingerprint for node in plan.nodes]
    assert len(set(prints)) == len(prints)


def test_what_a_loop_with_an_arms_settings_makes_is_the_arms_first_seed(project: Path) -> None:
    plan = _plan(project, AXES)
    settings = (*WITHOUT_JUDGE, "train.rank=8", "train.learning_rate=1.0e-4")
    loop = build_plan(load_config(project / "workbench.yaml", settings, {}), project)
    arm = "rank=8,learning_rate=0.0001-s0"
    same = {"mix": "mix", "train": f"train:{arm}", "score:candidate": f"score:{arm}"}
    for in_loop, in_sweep in same.items():
        assert loop.node(in_loop).fingerprint == plan.node(in_sweep).fingerprint, in_loop


def test_variants_of_the_data_share_the_suites_and_what_keeps_clear_of_them(project: Path) -> None:
    plan = _plan(project, "sweep.axes={data: [[python-docs], [python-docs, example-alpaca]]}", "sweep.seeds=1")
    assert _names(plan, "curate") == ["curate", "curate:data=python-docs+example-alpaca"]
    first, second = (plan.node(name).config for name in _names(plan, "curate"))
    assert isinstance(first, CurateNode) and isinstance(second, CurateNode)
    assert first.datasets == ("python-docs",) and second.datasets == ("python-docs", "example-alpaca")
    assert first.suites == second.suites
    suites = [plan.node(name).config for name in _names(plan, "score")]
    assert len({tuple(s.name for s in node.suites) for node in suites if isinstance(node, ScoreNode)}) == 1
    larger = plan.node("train:data=python-docs+example-alpaca-s0")
    assert larger.inputs == ("mix:data=python-docs+example-alpaca",) and larger.known_as == {larger.inputs[0]: "mix"}


def test_without_axes_the_one_recipe_is_trained_with_several_seeds(project: Path) -> None:
    plan = _plan(project, "sweep.seeds=3")
    assert _names(plan, "train") == ["train:recipe-s0", "train:recipe-s1", "train:recipe-s2"]


def test_where_rows_are_drawn_each_seed_draws_its_own(project: Path) -> None:
    plan = _plan(project, "sweep.axes={train.rank: [8, 16]}", "mix.max_rows=50", "sweep.seeds=2")
    assert _names(plan, "mix") == ["mix", "mix-s1"]
    assert plan.node("train:rank=16-s1").inputs == ("mix-s1",)


def test_combinations_that_cannot_work_are_left_out_and_named(project: Path) -> None:
    plan = _plan(project, "sweep.axes={train.method: [qlora, pissa], model.precision: [nf4, bf16]}", "sweep.seeds=1")
    assert _names(plan, "train") == ["train:method=qlora,precision=nf4-s0", "train:method=pissa,precision=bf16-s0"]
    node = _last(plan)
    assert len(node.left_out) == 2 and "NF4 does not hold" in " ".join(node.left_out)
    assert node.purpose == "precision sweep" and any("what quantisation costs" in limit for limit in node.limits)


def test_some_combinations_may_be_drawn_always_the_same(project: Path) -> None:
    grid = "sweep.axes={train.rank: [1, 2, 4, 8, 16], train.alpha: [1, 2, 4, 8, 16]}"
    drawn = [_names(_plan(project, grid, "sweep.random=6", "sweep.seeds=1"), "train") for _ in range(2)]
    assert len(set(drawn[0])) == 6 and drawn[0] == drawn[1]
    assert drawn[0] != _names(_plan(project, grid, "sweep.random=6", "sweep.seeds=1", "seed=1"), "train")
    left_out = _last(_plan(project, grid, "sweep.random=6")).left_out
    assert left_out == ("19 of 25 combinations were not drawn (`sweep.random`)",)


def test_values_are_those_the_configuration_understands(project: Path) -> None:
    config = load_config(project / "workbench.yaml", ('sweep.axes={"train.learning_rate": ["1e-4", null]}',), {})
    first, second = combinations(config).arms
    assert first.settings == {"train.learning_rate": 1e-4} and first.config.train.learning_rate == 1e-4
    assert (first.name, second.name) == ("learning_rate=0.0001", "learning_rate=default")


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("train.rank=8,16", ("train.rank", [8, 16])),
        ("data=[a],[a, b]", ("data", [["a"], ["a", "b"]])),
        ("data=[a, b]", None),
        ("mix.shares={a: 0.5, b: 0.5}", None),
        ("train.rank=8", None),
        ("report.title=one, two", None),
        ("train.rank=[8", None),
    ],
)
def test_commas_outside_of_brackets_part_values(typed: str, expected: object) -> None:
    assert axis_of(typed) == expected


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["sweep.axes={train.rnak: [1, 2]}"], "train.rnak: unknown key; did you mean 'rank'"),
        (["sweep.axes={train.rank: [0, 8]}"], "train.rank: Input should be greater"),
        (["sweep.axes={score.batch_size: [1, 2]}"], "nothing that arms may differ in"),
        (["sweep.axes={train.epochs: [1, 2]}"], "train.epochs: `max_steps` and `epochs` are both set"),
        (["sweep.axes={train.learning_rate: [1.0e-4, '1e-4']}"], "settings, learning_rate=0.0001\n  next: leave"),
        (["sweep.axes={curate.decontamination.drop_at: [0.5, 0.9]}"], "most of them would win"),
        (["sweep.axes={mix.replay.share: [0, 0.1]}"], "no data is replayed"),
        (["sweep.axes={train.method: [pissa, olora]}"], "no combination can be trained: method=.*next: "),
        ([LARGE_GRID], "110 combinations are more than the 100"),
        ([LARGE_GRID, "sweep.random=105"], "105 combinations are more than the 100"),
        (["sweep.seeds=1000000"], "sweep.seeds: Input should be less than or equal to 20"),
        (["sweep.budget=2 weeks"], "write a time"),
        (["sweep.target=capitals"], "is no suite of role `target`"),
        (["score.suites=[capitals]", "score.heldout=false"], "no suite of role `target`"),
    ],
)
def test_sweeps_that_make_no_sense_are_refused(project: Path, settings: list[str], message: str) -> None:
    with pytest.raises((UsageError, ConfigErrors), match="(?s)" + message.replace("(", r"\(")):
        _plan(project, *settings)


def test_the_recommended_settings_go_into_the_loops_command(project: Path) -> None:
    command = "workbench sweep f.yaml --set train.rank=8,16 --set 'data=[a, b]' --seeds 2 --budget '8 runs' --strict"
    assert _last(_plan(project, command=command)).apply == "workbench run f.yaml --set 'data=[a, b]'"


# Budgets


def _run_within(project: Path, plan: Plan, budget: str, seconds: float = 60.0) -> tuple[list[str], str | None]:
    """Names of the trainings that are done until the budget ends, each training and scoring taking `seconds`."""
    store = ArtifactStore(Project(project))
    now = [0.0]
    found = Budget(SweepConfig(budget=budget), store, groups_of(plan), clock=lambda: now[0])
    done: list[str] = []
    for node in plan.nodes:
        if store.find(node.stage, node.fingerprint) is not None:
            continue
        if (said := found(node)) is not None:
            return done, said
        if node.stage in ("train", "score"):
            now[0] += seconds
            done += [node.name] if node.stage == "train" else []
            commit_as_run(store, node, seconds)
    return done, None


def test_a_budget_of_trainings_stops_after_whole_rounds_and_goes_on_the_next_time(project: Path) -> None:
    plan = _plan(project, AXES, "sweep.seeds=3", "sweep.budget=6 runs")
    first = _names(plan, "train")
    assert _names(plan, "compare") == [f"{ANSWERS}{size}" for size in ("1x1", "2x1", "3x1", "4x1", "4x2", "4x3")]
    done, said = _run_within(project, plan, "6 runs")
    assert done == first[:4] and said is not None and "the budget of 6 runs ends here: 4 more trainings" in said
    done, said = _run_within(project, plan, "6 runs")
    assert done == first[4:8] and said is not None
    assert _run_within(project, plan, "6 runs") == (first[8:], None)


def test_the_first_round_stops_after_any_arm(project: Path) -> None:
    plan = _plan(project, AXES, "sweep.seeds=3", "sweep.budget=2 runs")
    assert _run_within(project, plan, "2 runs")[0] == _names(plan, "train")[:2]


def test_of_many_arms_the_first_round_has_few_answers(project: Path) -> None:
    grid = "sweep.axes={train.rank: [1, 2, 4, 8, 16], train.alpha: [1, 2, 4, 8, 16]}"
    plan = _plan(project, grid, "sweep.seeds=1", "sweep.budget=1h")
    assert _names(plan, "compare") == [f"{ANSWERS}{arms}x1" for arms in (3, 6, 9, 12, 15, 18, 21, 24, 25)]


def test_a_budget_of_time_goes_by_what_this_sweep_has_measured(project: Path) -> None:
    plan = _plan(project, AXES, "sweep.seeds=3", "sweep.budget=20min")
    # 9 minutes for the base and the first round; the second would take 8 more, the third another 8.
    done, said = _run_within(project, plan, "20min")
    assert done == _names(plan, "train")[:8]
    assert said is not None and "17 min 00 s are used, and 4 more trainings would take about 8 min 00 s" in said


def test_a_budget_that_covers_no_arm_is_an_error_before_it_is_spent(project: Path) -> None:
    plan = _plan(project, AXES, "sweep.budget=1min")
    longer = _plan(project, "sweep.axes={train.rank: [8]}", "seed=5", "train.learning_rate=1.0e-4", "sweep.seeds=1")
    store = ArtifactStore(Project(project))
    commit_as_run(store, longer.node("train:rank=8-s5"), 500.0)
    with pytest.raises(IncompleteError, match="does not cover the first arm"):
        _run_within(project, plan, "1min")


def test_a_budget_too_small_for_the_next_round_leaves_the_answer_so_far(project: Path) -> None:
    plan = _plan(project, AXES, "sweep.seeds=2", "sweep.budget=4 runs")
    assert _run_within(project, plan, "4 runs")[0] == _names(plan, "train")[:4]
    done, said = _run_within(project, plan, "2 runs")
    assert done == [] and said is not None and said.endswith("a larger budget goes on (--budget)")


def test_short_times_are_said_in_seconds(project: Path) -> None:
    plan = _plan(project, AXES, "sweep.seeds=1", "sweep.budget=5s")
    _, said = _run_within(project, plan, "5s", seconds=2.0)
    assert said is not None and "6.0 s are used, and 1 more training would take about 4.0 s" in said


def test_another_budget_trains_nothing_again(project: Path) -> None:
    with_budget, without = _plan(project, AXES, "sweep.budget=5 runs"), _plan(project, AXES)
    for node in without.nodes:
        assert with_budget.node(node.name).fingerprint == node.fingerprint
