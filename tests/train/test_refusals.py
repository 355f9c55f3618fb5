"""What cannot work is refused before anything is loaded, with the reason and what works instead."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from workbench.core.config import ArmConfig, LoopConfig, ModelConfig, TrainConfig
from workbench.core.errors import ExitCode, PrerequisiteError, UsageError
from workbench.core.methods import METHODS
from workbench.train.refusals import fixed_steps, refuse, refuse_arms

PAIRS = [(method, precision) for method in METHODS for precision in ("nf4", "bf16", "fp32")]


def _refusal(model: str, **settings: Any) -> UsageError:
    with pytest.raises(UsageError) as caught:
        refuse(TrainConfig(**settings), ModelConfig(precision=model))
    assert caught.value.exit_code == ExitCode.USAGE
    return caught.value


@pytest.mark.parametrize(("method", "precision"), PAIRS)
def test_method_goes_with_the_precision_or_is_refused_with_one_that_does(method: Any, precision: Any) -> None:
    if precision in METHODS[method].precisions:
        refuse(TrainConfig(method=method), ModelConfig(precision=precision))
        return
    error = _refusal(precision, method=method)
    assert error.where == "train.method" and f"method {method} needs a base in" in error.problem
    instead = METHODS[method].instead[precision]
    assert f"train.method: {instead}" in (error.next_step or "")
    refuse(TrainConfig(method=instead), ModelConfig(precision=precision))


def test_pissa_on_nf4_says_why() -> None:
    assert "singular values" in _refusal("nf4", method="pissa").problem


@pytest.mark.parametrize(
    "setting", [{"optimizer": "adamw_8bit"}, {"optimizer": "paged_adamw"}, {"activation_offloading": True}]
)
def test_memory_keys_for_gpus_are_refused_without_one(setting: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    error = _refusal("nf4", **setting)
    assert error.where == f"train.{next(iter(setting))}" and "no GPU" in error.problem
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    refuse(TrainConfig(**setting), ModelConfig())


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        ({"method": "lora+", "optimizer": "adamw_8bit"}, "train.optimizer"),
        ({"method": "prefix", "gradient_checkpointing": True}, "train.gradient_checkpointing"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings: dict[str, Any], where: str) -> None:
    assert _refusal("nf4", **settings).where == where


def test_tracker_that_is_not_installed_is_a_missing_prerequisite(monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.train import refusals

    monkeypatch.setattr(refusals, "find_spec", lambda name: None if name == "mlflow" else object())
    refuse(TrainConfig(report_to=("wandb",)), ModelConfig())
    with pytest.raises(PrerequisiteError, match="tracker mlflow is not installed") as caught:
        refuse(TrainConfig(report_to=("wandb", "mlflow")), ModelConfig())
    assert "pip install mlflow" in (caught.value.next_step or "")


def test_two_lengths_are_refused_when_the_configuration_is_read() -> None:
    with pytest.raises(ValueError, match="`max_steps` and `epochs` are both set"):
        LoopConfig(train=TrainConfig(max_steps=3, epochs=1))


def test_length_that_depends_on_the_data_is_refused_where_arms_must_train_equally_long() -> None:
    assert fixed_steps(TrainConfig(max_steps=7)) == 7
    with pytest.raises(UsageError, match="equally long"):
        fixed_steps(TrainConfig(epochs=1))


def test_arms_that_the_method_cannot_have_are_refused() -> None:
    sham = ArmConfig(name="sham", adapter="sham", precision="bf16")
    candidate = ArmConfig(name="candidate", adapter="train", precision="nf4")
    refuse_arms(TrainConfig(method="qlora"), [sham, candidate])
    with pytest.raises(UsageError, match="arm sham is a sham, but method prompt"):
        refuse_arms(TrainConfig(method="prompt"), [candidate, sham])
    with pytest.raises(UsageError, match="arm candidate has precision nf4, but method full"):
        refuse_arms(TrainConfig(method="full"), [sham, candidate])
