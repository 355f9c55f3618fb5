"""What an objective cannot do is refused when the configuration is read, planned or mixed, never after training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from objective_rows import documents, pair_records, rated_records
from training_run import training_records

from workbench.core.config import ArmConfig, LoopConfig, TrainConfig
from workbench.core.errors import ExitCode, IncompleteError, UsageError, WorkbenchError
from workbench.core.methods import METHODS
from workbench.core.objectives import ABSENT, OBJECTIVES, objective_problem
from workbench.loop.plan import scoring
from workbench.loop.settings import load_config
from workbench.train.objectives.registry import _BUILDERS
from workbench.train.refusals import refuse_arms, refuse_rows

WORKABLE = {"grpo": {"rewards": [{"name": "exact_match"}]}, "gkd": {"teacher": "models/larger"}}
"""What objectives need besides a method."""


@pytest.mark.parametrize("asked", [*ABSENT, "Online-DPO", "PPO"])
def test_absent_objective_is_refused_with_its_key_a_reason_and_the_nearest(asked: str, tmp_path: Path) -> None:
    file = tmp_path / "workbench.yaml"
    file.write_text(f"train: {{objective: {asked}}}\n")
    with pytest.raises(WorkbenchError) as caught:
        load_config(file)
    reason, nearest = ABSENT[asked.lower().replace("-", "_")]
    said = str(caught.value)
    assert caught.value.exit_code == ExitCode.USAGE
    assert "train.objective" in said and reason in said and f"the nearest is {nearest}" in said
    assert nearest in OBJECTIVES and asked not in OBJECTIVES


def test_unknown_objective_lists_those_there_are(tmp_path: Path) -> None:
    file = tmp_path / "workbench.yaml"
    file.write_text("train: {objective: telepathy}\n")
    with pytest.raises(WorkbenchError) as caught:
        load_config(file)
    assert "train.objective" in str(caught.value) and all(f"'{name}'" in str(caught.value) for name in OBJECTIVES)


@pytest.mark.parametrize(
    ("objective", "method", "reason"),
    [
        ("dpo", "full", "no adapter to switch off"),
        ("kto", "prompt", "a fresh prompt changes the model already"),
        ("dpo", "pissa", "is not the base, which is its reference"),
        ("kto", "olora", "is not the base, which is its reference"),
        ("grpo", "olora", "is not the base, which is its reference"),
        ("gkd", "prompt", "adapters beside weights or on them"),
        ("orpo", "full", "a second copy of the weights"),
        ("orpo", "adalora", "penalty"),
        ("reward", "prefix", "output layer"),
        ("reward", "pissa", "leaves the new output layer out"),
    ],
)
def test_pair_that_cannot_work_is_refused_with_one_that_does(objective: Any, method: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        TrainConfig(objective=objective, method=method)
    problem = objective_problem(objective, method)
    assert problem is not None
    nearest = problem[1].split()[-1]
    TrainConfig.model_validate(WORKABLE | {"objective": objective, "method": nearest})


def test_every_other_pair_is_accepted() -> None:
    refused = {(o, m) for o in OBJECTIVES for m in METHODS if objective_problem(o, m) is not None}
    assert not {pair for pair in refused if pair[0] in ("sft", "pretrain")}
    for objective in ("dpo", "kto", "orpo", "reward", "grpo", "gkd"):
        accepted = {method for method in METHODS if (objective, method) not in refused}
        assert {"qlora", "lora", "dora", "rslora", "lora+", "ia3", "oft", "vera"} <= accepted


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"objective": "dpo", "neftune_alpha": 5}, "neftune_alpha"),
        ({"objective": "grpo", "validation_share": 0.1}, "validation_share"),
        ({"objective": "dpo", "dpo": {"loss": "ipo", "label_smoothing": 0.1}}, "label_smoothing"),
        ({"objective": "dpo", "dpo": {"beta": 0}}, "beta"),
        ({"objective": "kto", "kto": {"beta": 0.1, "gamma": 1}}, "gamma"),
        ({"objective": "kto", "batch_size": 1, "gradient_accumulation": 8}, "other rows of a forward pass"),
    ],
)
def test_setting_that_an_objective_cannot_use_is_refused(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        TrainConfig(**settings)


def test_reward_model_is_no_arm_that_answers() -> None:
    arms = LoopConfig().score.arms
    refuse_arms(TrainConfig(objective="dpo"), arms)
    with pytest.raises(UsageError, match="candidate has to give them") as caught:
        refuse_arms(TrainConfig(objective="reward"), arms)
    assert "--data" in (caught.value.next_step or "") and "curate.rating.reward_model" in (caught.value.next_step or "")
    refuse_arms(TrainConfig(objective="reward"), [ArmConfig(name="base")])
    # whatever plan the arm is part of
    loop, arm = LoopConfig(train=TrainConfig(objective="reward")), ArmConfig(name="some", adapter="train")
    with pytest.raises(UsageError, match="some has to give them"):
        scoring(loop, arm, ())


def test_rows_of_the_wrong_kind_are_counted_and_the_fitting_objective_named() -> None:
    mixed = [*pair_records(3), *training_records(2)]
    with pytest.raises(IncompleteError) as caught:
        refuse_rows("dpo", mixed)
    error = caught.value
    assert "2 chat and 3 preference rows" in error.problem and error.where == "train.objective"
    assert "set train.objective: sft" in (error.next_step or "")
    with pytest.raises(IncompleteError, match="2 document and 2 preference") as caught:
        refuse_rows("kto", [*documents(2), *pair_records(2)])
    refuse_rows("sft", [*mixed, *documents(1), *rated_records(2)])
    refuse_rows("kto", rated_records(2))


def test_every_objective_has_a_builder() -> None:
    assert set(_BUILDERS) == set(OBJECTIVES)
