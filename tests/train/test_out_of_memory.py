"""Batches that do not fit: fewer sequences per forward pass, as many per step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from training_run import TrainingRun

from workbench.core.errors import ExitCode, IncompleteError
from workbench.core.events import NodeMessage
from workbench.core.stage import Done
from workbench.train.trainer import AdapterTrainer

MakeRun = Callable[..., TrainingRun]
SETTINGS: dict[str, Any] = {"precision": "fp32", "method": "lora", "dropout": 0.0}
SETTINGS |= {"batch_size": 8, "gradient_accumulation": 1}
ON_GPU = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
ON_CPU = RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: you tried ...")


def _memory_for(monkeypatch: pytest.MonkeyPatch, rows: int, error: Exception, from_step: int = 1) -> None:
    """A machine on which a step's forward pass over more than `rows` sequences fails, from a step on."""
    whole = AdapterTrainer.training_step

    def step(trainer: Any, model: Any, inputs: Any, *arguments: Any) -> Any:
        if len(inputs["input_ids"]) > rows and trainer.state.global_step + 1 >= from_step:
            raise error
        return whole(trainer, model, inputs, *arguments)

    monkeypatch.setattr(AdapterTrainer, "training_step", step)


@pytest.mark.parametrize("error", [ON_GPU, ON_CPU, MemoryError()])
def test_smaller_batches_at_equal_steps_give_the_same_training(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    roomy, tight = make_run("roomy", **SETTINGS), make_run("tight", **SETTINGS)
    roomy.attempt()
    with monkeypatch.context() as patch:
        _memory_for(patch, 2, error)
        assert isinstance(tight.attempt(), Done)
    summary = tight.summary()
    assert (summary["batch_size"], summary["gradient_accumulation"]) == (2, 4)
    assert summary["out_of_memory"] == [8, 4] and roomy.summary()["out_of_memory"] == []
    warned = [event.message for event in tight.events if isinstance(event, NodeMessage) and event.level == "warning"]
    assert [message.split(":")[0] for message in warned] == [
        "out of memory with 8 sequences per forward pass",
        "out of memory with 4 sequences per forward pass",
    ]
    # The same rows in every step: losses and gradients differ by the rounding of fp32 sums alone.
    for mine, other in zip(tight.curve(), roomy.curve(), strict=True):
        assert mine["tokens"] == other["tokens"]
        assert mine["loss"] == pytest.approx(other["loss"], rel=1e-5)
        assert mine["grad_norm"] == pytest.approx(other["grad_norm"], rel=1e-3)


def test_training_goes_on_from_the_last_checkpoint(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run("run", **SETTINGS)
    _memory_for(monkeypatch, 4, ON_GPU, from_step=6)
    run.attempt()
    assert run.summary()["resumed_from"] == [4] and run.summary()["batch_size"] == 4
    assert [point["step"] for point in run.curve()] == list(range(1, 9))


def test_what_did_not_fit_is_remembered_by_a_new_attempt(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run("run", **SETTINGS)
    tried: list[int] = []
    whole = AdapterTrainer.training_step

    def step(trainer: Any, model: Any, inputs: Any, *arguments: Any) -> Any:
        tried.append(len(inputs["input_ids"]))
        if tried[-1] > 2:
            raise ON_GPU
        if trainer.state.global_step == 3:
            raise KeyboardInterrupt
        return whole(trainer, model, inputs, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(AdapterTrainer, "training_step", step)
        with pytest.raises(KeyboardInterrupt):
            run.attempt()
    assert tried[:3] == [8, 4, 2]
    run.attempt()
    assert run.summary()["batch_size"] == 2 and run.summary()["out_of_memory"] == [8, 4]


def test_a_single_sequence_that_does_not_fit_ends_with_advice(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    _memory_for(monkeypatch, 0, ON_GPU)
    run = make_run("run", **{**SETTINGS, "batch_size": 3})
    with pytest.raises(IncompleteError, match="out of memory with a single sequence") as caught:
        run.attempt()
    assert caught.value.exit_code == ExitCode.INCOMPLETE
    assert "gradient_checkpointing" in (caught.value.next_step or "")
    assert not list(run.out.iterdir())


def test_other_errors_are_not_taken_for_a_lack_of_memory(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    _memory_for(monkeypatch, 0, RuntimeError("shape mismatch"))
    with pytest.raises(RuntimeError, match="shape mismatch"):
        make_run("run", **SETTINGS).attempt()
