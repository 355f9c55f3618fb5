from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from training_run import STEPS, TrainingRun

from workbench.core.errors import ExitCode, IncompleteError, UsageError
from workbench.core.events import Event, NodeMessage, NodeMetric, NodeProgress
from workbench.core.stage import Cancelled, Done
from workbench.models.adapter_files import NOTE, WEIGHTS
from workbench.models.likelihood import continuation_nll
from workbench.models.loading import load
from workbench.train.stage import STAGE

MakeRun = Callable[..., TrainingRun]


class Killed(BaseException):
    """Stands for the end of the process: nothing catches it."""


def kill_after(step: int) -> Callable[[Event], None]:
    def emit(event: Event) -> None:
        if isinstance(event, NodeProgress) and event.done == step:
            raise Killed

    return emit


def test_stage_imports_without_torch() -> None:
    code = "import sys, workbench.train.stage; assert not {'torch', 'transformers', 'trl', 'peft'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_parts_are_what_the_node_promises(unbroken: TrainingRun) -> None:
    assert {path.name for path in unbroken.out.iterdir()} == {"adapter", "sham", "curve.jsonl", "training.json"}
    curve, summary = unbroken.curve(), unbroken.summary()
    assert [point["step"] for point in curve] == list(range(1, STEPS + 1))
    assert all(math.isfinite(point["loss"]) and point["tokens"] > 0 for point in curve)
    assert summary["answer_tokens"] == sum(point["tokens"] for point in curve)
    assert summary["first_loss"] == curve[0]["loss"] and summary["last_loss"] == curve[-1]["loss"]
    assert summary["gradient_check"] == pytest.approx(1.0, abs=1e-6)
    # rank 4 on q, k, v, o (64 to 64, 32, 32, 64) and gate, up, down (64 to 128 and back) of two layers
    assert summary["trainable_parameters"] == 2 * 4 * (2 * (64 + 64) + 2 * (64 + 32) + 3 * (64 + 128))


def test_learning_rate_warms_up_and_falls(unbroken: TrainingRun) -> None:
    rates = [point["learning_rate"] for point in unbroken.curve()]
    cosine = [1e-3 * 0.5 * (1 + math.cos(math.pi * step / 6)) for step in range(6)]
    assert rates == pytest.approx([0.0, 5e-4, *cosine])


def test_adapter_is_fp32_and_names_no_place_on_this_machine(unbroken: TrainingRun) -> None:
    tensors = load_file(unbroken.out / "adapter" / WEIGHTS)
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}
    settings = json.loads((unbroken.out / "adapter" / "adapter_config.json").read_text())
    assert settings["base_model_name_or_path"] == unbroken.config.model.ref
    assert settings["target_modules"] == sorted(settings["target_modules"])
    note = json.loads((unbroken.out / "adapter" / NOTE).read_text())
    assert note["base_fingerprint"] == unbroken.summary()["base_fingerprint"]


def test_each_step_is_reported(unbroken: TrainingRun) -> None:
    metrics = [event for event in unbroken.events if isinstance(event, NodeMetric)]
    assert [event.step for event in metrics] == list(range(1, STEPS + 1))
    assert set(metrics[0].values) == {
        "loss", "learning_rate", "grad_norm", "tokens_per_s", "memory_bytes",
    }  # fmt: skip
    progress = [event for event in unbroken.events if isinstance(event, NodeProgress)]
    assert (progress[-1].done, progress[-1].total, progress[-1].unit) == (STEPS, STEPS, "steps")
    assert progress[-1].message.startswith("loss ") and progress[-1].message.endswith("0 s left")


def test_trained_adapter_changes_scores_and_the_sham_does_not_change_a_bit(unbroken: TrainingRun) -> None:
    pairs = [([1, 40 + i, 50], [60 + i, 70, 80 + i]) for i in range(7)]

    def scores(adapter: str | None) -> Any:
        directory = unbroken.out / adapter if adapter else None
        return continuation_nll(load(unbroken.config.model, "nf4", unbroken.root, directory), pairs, 4)

    base = scores(None)
    assert scores("sham") == base
    assert scores("adapter") != base
    sham, adapter = (load_file(unbroken.out / name / WEIGHTS) for name in ("sham", "adapter"))
    assert {name: tensor.shape for name, tensor in sham.items()} == {n: t.shape for n, t in adapter.items()}
    assert not any(tensor.any() for tensor in sham.values())


def test_training_lowers_the_loss_it_trains_on(make_run: MakeRun) -> None:
    run = make_run("run", learning_rate=1e-2, max_steps=14, checkpoint_steps=100, dropout=0.0)
    run.attempt()
    assert run.summary()["last_loss"] < run.summary()["first_loss"] - 0.3


@pytest.mark.parametrize("step", [5, *(pytest.param(step, marks=pytest.mark.slow) for step in (1, 2, STEPS))])
def test_interrupted_run_ends_in_the_same_adapter_and_curve(
    make_run: MakeRun, unbroken: TrainingRun, step: int
) -> None:
    run = make_run("run")
    with pytest.raises(Killed):
        run.attempt(emit=kill_after(step))
    assert isinstance(run.attempt(), Done)
    assert run.adapter_bytes() == unbroken.adapter_bytes()
    assert run.curve() == unbroken.curve()
    # A step is told before its checkpoint is written, so the kill costs this step's checkpoint too.
    last_checkpoint = 2 * ((step - 1) // 2)
    assert run.summary()["resumed_from"] == ([last_checkpoint] if last_checkpoint else [])


@pytest.mark.slow
def test_run_interrupted_twice_keeps_one_continuous_clock(make_run: MakeRun, unbroken: TrainingRun) -> None:
    run = make_run("run")
    for step in (3, 6):
        with pytest.raises(Killed):
            run.attempt(emit=kill_after(step))
    run.attempt()
    assert run.adapter_bytes() == unbroken.adapter_bytes()
    assert run.summary()["resumed_from"] == [2, 4]
    seconds = [json.loads(line)["seconds"] for line in (run.out / "curve.jsonl").read_text().splitlines()]
    assert seconds == sorted(seconds) and run.summary()["seconds"] == seconds[-1]


def test_damaged_newest_checkpoint_is_passed_over_with_a_warning(make_run: MakeRun, unbroken: TrainingRun) -> None:
    run = make_run("run")
    with pytest.raises(Killed):
        run.attempt(emit=kill_after(7))
    assert sorted(path.name for path in run.checkpoints.glob("step-*")) == ["step-000004", "step-000006"]
    os.truncate(run.checkpoints / "step-000006" / "trained.safetensors", 1000)
    run.attempt()
    warnings = [event.message for event in run.events if isinstance(event, NodeMessage) and event.level == "warning"]
    assert warnings == ["checkpoint step-000006 is passed over: trained.safetensors was changed or cut off"]
    assert run.adapter_bytes() == unbroken.adapter_bytes() and run.curve() == unbroken.curve()
    assert run.summary()["resumed_from"] == [4]


def test_finished_training_killed_before_its_parts_were_written_is_not_trained_again(
    make_run: MakeRun, unbroken: TrainingRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workbench.train import export

    def killed(*arguments: Any) -> None:
        raise Killed

    run = make_run("run")
    with monkeypatch.context() as patch:
        patch.setattr(export, "write_adapter", killed)
        with pytest.raises(Killed):
            run.attempt()
    run.events.clear()
    run.attempt()
    assert not [event for event in run.events if isinstance(event, NodeMetric)]
    assert run.adapter_bytes() == unbroken.adapter_bytes() and run.curve() == unbroken.curve()


def test_cancel_stops_between_steps_and_loses_none(make_run: MakeRun, unbroken: TrainingRun) -> None:
    run = make_run("run")
    asked = False

    def emit(event: Event) -> None:
        nonlocal asked
        asked = asked or (isinstance(event, NodeProgress) and event.done == 2)

    assert isinstance(run.attempt(emit=emit, cancelled=lambda: asked), Cancelled)
    assert not list(run.out.iterdir())
    assert (run.checkpoints / "step-000003").is_dir()
    assert isinstance(run.attempt(), Done)
    assert run.adapter_bytes() == unbroken.adapter_bytes() and run.curve() == unbroken.curve()


def test_another_seed_gives_another_adapter(make_run: MakeRun, unbroken: TrainingRun) -> None:
    run = make_run("run", max_steps=1)
    run.config = run.config.model_copy(update={"seed": 4})
    run.attempt()
    assert run.curve()[0] != unbroken.curve()[0]
    assert run.adapter_bytes()[WEIGHTS] != unbroken.adapter_bytes()[WEIGHTS]


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_lora_trains_on_an_unquantised_base(make_run: MakeRun, precision: str) -> None:
    run = make_run("run", method="lora", precision=precision, max_steps=2)
    assert isinstance(run.attempt(), Done)
    assert run.summary()["precision"] == precision


@pytest.mark.parametrize(("method", "precision"), [("qlora", "bf16"), ("qlora", "fp32"), ("lora", "nf4")])
def test_method_that_does_not_go_with_the_precision_is_refused(make_run: MakeRun, method: str, precision: str) -> None:
    with pytest.raises(UsageError, match="needs a base in") as caught:
        make_run("run", method=method, precision=precision).attempt()
    assert caught.value.exit_code == ExitCode.USAGE


def test_empty_training_set_is_incomplete(make_run: MakeRun) -> None:
    with pytest.raises(IncompleteError, match="training set is empty") as caught:
        make_run("run", records=[]).attempt()
    assert caught.value.exit_code == ExitCode.INCOMPLETE


def test_diverging_training_stops_with_advice_and_no_parts(make_run: MakeRun) -> None:
    run = make_run("run", learning_rate=1e30, warmup_steps=0, max_grad_norm=1e30)
    with pytest.raises(IncompleteError, match=r"diverged: the (loss|gradient norm) of step") as caught:
        run.attempt()
    assert "learning_rate" in (caught.value.next_step or "") and "2e-4" not in (caught.value.next_step or "")
    assert caught.value.where == "train.learning_rate"  # the node's name is put before it
    assert not list(run.out.iterdir())


def test_lost_gradient_fails_the_stage_before_a_step_is_taken(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bitsandbytes.functional import has_avx512bf16

    from workbench.models import gradient_guard
    from workbench.models.gradient_guard import four_bit_layers

    if not has_avx512bf16():
        pytest.skip("this CPU has no AVX-512 BF16, so bitsandbytes never takes the path without gradients")

    def unguard(model: Any) -> int:
        layers = list(four_bit_layers(model))
        for layer in layers:
            layer.support_avx512bf16_for_cpu = True
        return len(layers)

    monkeypatch.setattr(gradient_guard, "disable_packed_path", unguard)
    monkeypatch.setattr(gradient_guard, "check_unpacked", lambda model: None)
    run = make_run("run")
    with pytest.raises(IncompleteError, match=r"no gradient back|gradient self-check failed"):
        run.attempt()
    assert not [event for event in run.events if isinstance(event, NodeMetric)]


def test_external_is_the_fingerprint_of_the_weights(unbroken: TrainingRun) -> None:
    assert STAGE.external(unbroken.config, unbroken.root) == {"model": unbroken.summary()["base_fingerprint"]}


def test_activations_computed_again_give_the_same_training(make_run: MakeRun) -> None:
    settings: dict[str, Any] = {"precision": "fp32", "method": "lora", "max_steps": 3}
    kept, again = make_run("kept", **settings), make_run("again", **settings, gradient_checkpointing=True)
    kept.attempt()
    again.attempt()
    for mine, other in zip(again.curve(), kept.curve(), strict=True):
        assert mine["loss"] == pytest.approx(other["loss"], rel=1e-5)
        assert mine["grad_norm"] == pytest.approx(other["grad_norm"], rel=1e-4)


def test_noise_on_the_embeddings_changes_training_and_survives_an_interruption(make_run: MakeRun) -> None:
    settings: dict[str, Any] = {"precision": "fp32", "method": "lora", "max_steps": 4, "dropout": 0.0}
    plain, noisy = make_run("plain", **settings), make_run("noisy", **settings, neftune_alpha=5)
    broken = make_run("broken", **settings, neftune_alpha=5)
    plain.attempt()
    noisy.attempt()
    with pytest.raises(Killed):
        broken.attempt(emit=kill_after(3))
    broken.attempt()
    assert noisy.curve()[0]["loss"] != plain.curve()[0]["loss"]
    assert broken.adapter_bytes() == noisy.adapter_bytes() and broken.curve() == noisy.curve()
