"""The plan of the committed configuration: what depends on what."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from workbench.core.cards import Card
from workbench.core.config import LoopConfig
from workbench.core.errors import UsageError
from workbench.core.suites import Suite
from workbench.core.yamlfile import load_model
from workbench.loop.plan import Plan, build_curate_plan, build_plan
from workbench.loop.settings import load_card, load_config, load_suite
from workbench.loop.starter import create_project

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    create_project(tmp_path / "p")
    return tmp_path / "p"


def _plan(project: Path, *settings: str) -> Plan:
    return build_plan(load_config(project / "workbench.yaml", settings, {}), project)


def _changed(before: Plan, after: Plan) -> set[str]:
    return {node.name for node in before.nodes if after.node(node.name).fingerprint != node.fingerprint}


AFTER_TRAINING = {"train", "score:sham", "score:candidate", "score:judge", "compare", "gate", "report"}


def test_the_demo_plan_names_its_nodes_and_inputs(project: Path) -> None:
    plan = _plan(project)
    names = [node.name for node in plan.nodes]
    assert names == [
        "ingest:python-docs", "ingest:mmlu-dev", "curate", "synth", "mix", "train",
        "score:base", "score:base@nf4", "score:noise", "score:sham", "score:candidate", "score:judge",
        "compare", "gate", "report",
    ]  # fmt: skip
    position = {name: index for index, name in enumerate(names)}
    assert all(position[source] < position[node.name] for node in plan.nodes for source in node.inputs)
    assert "train" in plan.node("score:sham").inputs and "train" not in plan.node("score:base@nf4").inputs
    assert set(plan.node("report").inputs) == set(names) - {"report"}


@pytest.mark.parametrize(
    ("setting", "affected"),
    [
        ("curate.repetition_max=0.31", {"curate", "synth", "mix"} | AFTER_TRAINING),
        ("mix.max_repeat=3", {"mix"} | AFTER_TRAINING),
        ("train.learning_rate=1e-4", AFTER_TRAINING),
        ("gate.ceiling=0.9", {"gate", "report"}),
        ("report.title=Other", {"report"}),
        ("score.price_per_hour=1.2", {"report"}),
        ("endpoints.local.prices={input_per_million: 1, output_per_million: 2}", {"report"}),
        ("compare.confidence=0.9", {"compare", "gate", "report"}),
        ("judge.golden_pairs=24", {"score:judge", "compare", "gate", "report"}),
    ],
)
def test_a_setting_affects_its_stage_and_what_depends_on_it(project: Path, setting: str, affected: set[str]) -> None:
    assert _changed(_plan(project), _plan(project, setting)) == affected


def test_another_margin_scores_nothing_again(project: Path) -> None:
    before = _plan(project)
    path = project / "evals" / "capitals.yaml"
    values = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump(values | {"margin": 0.2}))
    assert _changed(before, _plan(project)) == {"compare", "gate", "report"}


def test_other_documents_score_every_arm_again_and_curate_against_them(project: Path) -> None:
    before = _plan(project)
    with (project / "evals" / "capitals.jsonl").open("a") as stream:
        stream.write('{"question": "The capital of Nowhere is", "choices": ["Here", "There"], "answer": 0}\n')
    unaffected = {"ingest:python-docs", "ingest:mmlu-dev"}
    assert _changed(before, _plan(project)) == {node.name for node in before.nodes} - unaffected


def _set_apart(project: Path, *settings: str) -> Plan:
    """The plan with one file to train on and another as an evaluation set."""
    for name in ("tickets", "exam"):
        (project / f"{name}.jsonl").touch()
        card = {"name": name, "source": {"kind": "file", "path": f"{name}.jsonl"}, "heldout_fraction": 0}
        (project / "datasets_cfg" / f"{name}.yaml").write_text(yaml.safe_dump(card))
    return _plan(
        project, "data=[python-docs, tickets]", "curate.decontamination.datasets=[exam]", "mix.shares={}", *settings
    )


@pytest.mark.parametrize("name", ["exam", "tickets"])
def test_pairs_are_made_again_when_an_evaluation_set_or_the_datas_own_splits_change(project: Path, name: str) -> None:
    before = _set_apart(project)
    assert {f"ingest:{name}", "curate"} < set(before.node("synth").inputs)
    with (project / f"{name}.jsonl").open("a") as stream:
        stream.write('{"instruction": "Name a river.", "output": "The Rhine."}\n')
    assert {f"ingest:{name}", "curate", "synth", "mix"} < _changed(before, _set_apart(project))


def test_a_new_evaluation_set_makes_pairs_anew_and_scores_no_base_again(project: Path) -> None:
    before, after = _set_apart(project, "curate.decontamination.datasets=[]"), _set_apart(project)
    assert "ingest:exam" not in before.node("synth").inputs and "ingest:exam" in after.node("synth").inputs
    assert {"synth"} <= _changed(before, after)
    assert "score:base" not in _changed(before, after)


def test_where_the_project_lies_does_not_matter(project: Path, tmp_path: Path) -> None:
    shutil.copytree(project, tmp_path / "elsewhere")
    assert _changed(_plan(project), _plan(tmp_path / "elsewhere")) == set()


def test_a_dataset_without_a_suite_of_its_own_gets_its_heldout_rows_as_target(project: Path) -> None:
    plan = _plan(project, "data=[example-alpaca]", "judge=null", "mix.shares={}")
    suites: tuple[Suite, ...] = plan.node("score:base").config.suites
    target = next(suite for suite in suites if suite.name == "example-alpaca-heldout")
    assert (target.kind, target.role, target.primary_metric) == ("perplexity", "target", "nll")
    assert "ingest:example-alpaca" in plan.node("score:base").inputs


def test_a_share_of_a_source_that_nothing_gives_is_refused_before_anything_runs(project: Path) -> None:
    for settings in (("data=[example-alpaca]",), ("synth.strategies=[]",)):
        with pytest.raises(UsageError, match=r"no source '(python-docs|synth:doc_pairs)'; sources: ") as refused:
            _plan(project, *settings, "judge=null")
        assert refused.value.where == "mix.shares"


def test_evaluation_alone_needs_no_data(project: Path) -> None:
    arms = "[{name: a}, {name: b, system_prompt: Be brief.}]"
    pairs = "[{before: a, after: b, purpose: candidate}]"
    plan = _plan(
        project, "data=[]", "score.suites=[capitals]", f"score.arms={arms}", f"compare.pairs={pairs}", "judge=null"
    )
    assert [node.name for node in plan.nodes] == ["score:a", "score:b", "compare", "gate", "report"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["data=[]", "judge=null"], "no data to train on"),
        (["judge.suite=capitals"], "no suite of kind `judge`"),
        (["score.suites=[capitals, capitals]", "judge=null"], "named twice"),
        (["score.suites=[]", "score.heldout=false", "judge=null"], "nothing to score on"),
    ],
)
def test_plans_that_make_no_sense_are_refused(project: Path, settings: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        _plan(project, *settings)


def test_curating_one_file_is_two_nodes(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"instruction": "x", "output": "y"}\n')
    card = Card.model_validate({"name": "a", "source": {"kind": "file", "path": str(tmp_path / "a.jsonl")}})
    plan = build_curate_plan(LoopConfig(), tmp_path, card)
    assert [node.name for node in plan.nodes] == ["ingest:a", "curate"]


def _committed(folder: str) -> list[Path]:
    return sorted((REPOSITORY / folder).glob("*.yaml"))


@pytest.mark.parametrize("path", _committed("datasets_cfg"), ids=lambda path: path.stem)
def test_every_committed_card_is_valid(path: Path) -> None:
    assert load_card(REPOSITORY, "datasets_cfg", path.stem).description


@pytest.mark.parametrize("path", _committed("evals"), ids=lambda path: path.stem)
def test_every_committed_suite_is_valid_and_described(path: Path) -> None:
    assert load_suite(REPOSITORY, "evals", path.stem).description


def test_the_committed_configuration_names_every_section() -> None:
    values: dict[str, Any] = yaml.safe_load((REPOSITORY / "workbench.yaml").read_text())
    load_model(REPOSITORY / "workbench.yaml", LoopConfig)
    assert set(LoopConfig.model_fields) - set(values) <= {"datasets_dir", "suites_dir"}


def test_training_is_refused_when_a_gated_suite_could_not_show_its_margin(project: Path) -> None:
    path = project / "evals" / "capitals.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"limit": 20}))
    with pytest.raises(UsageError, match=r"Suite capitals: 20 documents find losses from .* points up"):
        _plan(project)
    assert _plan(project, "gate.refuse_undetectable=false").node("train")
