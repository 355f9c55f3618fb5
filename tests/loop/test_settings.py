"""Configuration layers and the files they name."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.core.errors import ConfigErrors, UsageError
from workbench.loop.settings import load_card, load_config, load_suite, with_settings


@pytest.fixture
def project_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "user"))
    (tmp_path / "user" / "workbench").mkdir(parents=True)
    (tmp_path / "user" / "workbench" / "config.yaml").write_text("train: {rank: 4, max_steps: 5}\nseed: 3\n")
    path = tmp_path / "workbench.yaml"
    path.write_text("train: {max_steps: 6}\n")
    return path


def test_layers_win_in_the_documented_order(project_file: Path) -> None:
    config = load_config(project_file, environment={})
    assert (config.seed, config.train.rank, config.train.max_steps) == (3, 4, 6)
    environment = {"WORKBENCH_TRAIN__MAX_STEPS": "7", "WORKBENCH_TRAIN__ALPHA": "9", "WORKBENCH_CACHE": "/elsewhere"}
    config = load_config(project_file, ["train.max_steps=8"], environment)
    assert (config.train.max_steps, config.train.alpha, config.train.rank) == (8, 9, 4)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("train.max_stepz=3", "did you mean 'max_steps'"),
        ("train.max_steps=many", "valid integer"),
        ("train.max_steps", "expected key=value"),
        ("trian.rank=3", "did you mean 'train'"),
    ],
)
def test_a_wrong_setting_says_what_is_wrong(project_file: Path, setting: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_config(project_file, [setting], {})


@pytest.mark.parametrize(
    ("typed", "where", "problem", "next_step"),
    [
        (["objective=grpo"], "train.grpo.rewards", "objective grpo has no reward", "name some"),
        (["objective=gkd"], "train.gkd.teacher", "needs a larger model", "set train.gkd.teacher"),
        (["processes=3"], "train.processes", "3 processes cannot share the 8 rows", "take a multiple of 3 rows"),
        (["objective=dpo", "processes=2"], "train.processes", "is trained in one process", "set train.processes: 1"),
        (["objective=dpo", "method=full"], "train.method", "whole weights have no adapter", "set train.method: lora"),
        (["epochs=1", "max_steps=3"], "train.epochs", "are both set", "leave one of them out"),
        (["objective=ppo"], "train.objective", "no objective ppo", "the nearest is grpo"),
    ],
)
@pytest.mark.parametrize("exists", [True, False])
def test_a_typed_setting_that_cannot_work_is_named_by_its_key_with_the_next_step(
    project_file: Path, exists: bool, typed: list[str], where: str, problem: str, next_step: str
) -> None:
    if exists:
        project_file.write_text("train:\n  rank: 8\n")
    else:
        project_file.unlink()
    with pytest.raises(ConfigErrors) as caught:
        with_settings({"name": "train"}, [f"train.{one}" for one in typed], project_file, ("train",), {})
    assert (caught.value.where, caught.value.problem.startswith("Value error")) == (where, False)
    assert problem in caught.value.problem and next_step in (caught.value.next_step or "")
    assert "fresh prompt" not in str(caught.value)


def test_in_a_file_such_a_setting_has_file_line_and_key(project_file: Path) -> None:
    project_file.write_text("train:\n  rank: 8\n  processes: 3\n")
    with pytest.raises(ConfigErrors) as caught:
        load_config(project_file, [], {})
    assert caught.value.where == f"{project_file}:3: train.processes"
    assert str(caught.value).endswith("\n  next: take a multiple of 3 rows")


def test_a_wrong_environment_variable_is_named(project_file: Path) -> None:
    with pytest.raises(ConfigErrors, match="WORKBENCH_TRAIN__RANK"):
        load_config(project_file, environment={"WORKBENCH_TRAIN__RANK": "none at all"})


def test_a_settings_value_may_be_yaml(tmp_path: Path) -> None:
    typed = ["mix.shares={a: 0.5, b: 0.5}", "name=x"]
    config = with_settings({"mix": {"max_rows": 3}}, typed, tmp_path / "workbench.yaml", (), {})
    assert (config.mix.shares, config.mix.max_rows, config.name) == ({"a": 0.5, "b": 0.5}, 3, "x")


def test_a_typed_mapping_joins_that_of_the_file_and_an_empty_one_empties_it(project_file: Path) -> None:
    project_file.write_text("mix: {shares: {a: 0.5, b: 0.5}, max_rows: 3}\n")
    joined = load_config(project_file, ["mix={max_repeat: 2}"], {})
    assert (joined.mix.max_repeat, joined.mix.max_rows, joined.mix.shares) == (2, 3, {"a": 0.5, "b": 0.5})
    emptied = load_config(project_file, ["mix.shares={}"], {})
    assert (emptied.mix.max_rows, emptied.mix.shares) == (3, {})
    assert load_config(project_file, ["mix={}", "mix.shares={c: 1.0}"], {}).mix.shares == {"c": 1.0}


def test_a_command_of_its_own_reads_its_sections_of_the_project_below_its_options(project_file: Path) -> None:
    project_file.write_text("name: loop\nseed: 7\ncurate: {repetition_max: 0.5, exact_duplicates: false}\n")
    values = {"name": "curate", "curate": {"exact_duplicates": True}}
    config = with_settings(values, ["curate.min_answer_chars=2"], project_file, ("curate",), {})
    assert (config.name, config.seed) == ("curate", 0)
    cleaning = config.curate
    assert (cleaning.repetition_max, cleaning.exact_duplicates, cleaning.min_answer_chars) == (0.5, True, 2)
    project_file.write_text("curate: {repetition_mux: 0.5}\n")
    with pytest.raises(ConfigErrors, match="did you mean 'repetition_max'"):
        with_settings(values, [], project_file, ("curate",), {})


def test_settings_that_only_make_sense_together_are_judged_together(tmp_path: Path) -> None:
    arms = "score.arms=[{name: a}, {name: b}]"
    pairs = "compare.pairs=[{before: a, after: b, purpose: candidate}]"
    assert [arm.name for arm in with_settings({}, [arms, pairs], tmp_path / "no.yaml", (), {}).score.arms] == ["a", "b"]


def test_cards_and_suites_that_are_missing_suggest_a_name(tmp_path: Path) -> None:
    (tmp_path / "datasets_cfg").mkdir()
    (tmp_path / "datasets_cfg" / "tickets.yaml").write_text("name: tickets\nsource: {kind: file, path: t.jsonl}\n")
    assert load_card(tmp_path, "datasets_cfg", "tickets").heldout_fraction == 0.1
    with pytest.raises(UsageError, match="did you mean 'tickets'"):
        load_card(tmp_path, "datasets_cfg", "ticket")
    with pytest.raises(UsageError, match="suites there: none"):
        load_suite(tmp_path, "evals", "capitals")


def test_a_card_must_be_called_like_its_file(tmp_path: Path) -> None:
    (tmp_path / "datasets_cfg").mkdir()
    (tmp_path / "datasets_cfg" / "a.yaml").write_text("name: b\nsource: {kind: file, path: t.jsonl}\n")
    with pytest.raises(ConfigErrors, match="the file is called 'a'"):
        load_card(tmp_path, "datasets_cfg", "a")


def test_a_wrong_role_in_a_suite_lists_the_roles(tmp_path: Path) -> None:
    (tmp_path / "evals").mkdir()
    (tmp_path / "evals" / "s.yaml").write_text(
        "name: s\nkind: lm_eval\nrole: generic\ndocuments: {file: s.jsonl}\nprimary_metric: acc\n"
    )
    with pytest.raises(ConfigErrors, match=r"s\.yaml:3: role: .*'target', 'general', 'safety' or 'anchor'.*'generic'"):
        load_suite(tmp_path, "evals", "s")
