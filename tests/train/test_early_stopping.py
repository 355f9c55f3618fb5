"""Rows held back: when training stops, and which adapter is kept."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from test_train_stage import Killed, kill_after
from training_run import TrainingRun, training_records

from workbench.core.events import NodeMessage, NodeMetric
from workbench.core.parts import write_rows
from workbench.core.records import Record
from workbench.core.stage import Done
from workbench.models.adapter_files import CONFIG, WEIGHTS
from workbench.train import checkpointed, methods, step_log
from workbench.train.trainer import AdapterTrainer

MakeRun = Callable[..., TrainingRun]
SETTINGS: dict[str, Any] = {
    "validation_share": 0.3,
    "validation_steps": 2,
    "early_stopping_patience": 2,
    "max_steps": 20,
    "precision": "bf16",
    "method": "lora",
}


def _losses(monkeypatch: pytest.MonkeyPatch, losses: list[float]) -> dict[int, dict[str, Any]]:
    """Validation gives `losses`, by step; what was trained at each look is kept to compare with."""
    seen: dict[int, dict[str, Any]] = {}

    def given(trainer: AdapterTrainer, batches: Any) -> float:
        step = trainer.state.global_step
        seen[step] = {name: p.detach().clone() for name, p in trainer.model.named_parameters() if p.requires_grad}
        return losses[step // 2 - 1]

    monkeypatch.setattr(AdapterTrainer, "validation_loss", given)
    return seen


def _kept(run: TrainingRun) -> dict[str, Any]:
    return load_file(run.out / "adapter" / WEIGHTS)


def test_training_stops_after_the_patience_and_keeps_the_best_adapter(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = _losses(monkeypatch, [3.0, 2.5, 2.6, 2.7, 2.0])
    run = make_run("run", **SETTINGS)
    assert isinstance(run.attempt(), Done)
    summary = run.summary()
    assert (summary["steps"], summary["best_step"], summary["best_validation_loss"]) == (8, 4, 2.5)
    assert summary["stopped_early"] and summary["validation_rows"] == 5
    best = {name.replace(".default", ""): tensor for name, tensor in seen[4].items()}
    kept = _kept(run)
    assert kept.keys() == best.keys() and all(torch.equal(kept[name], best[name]) for name in best)
    said = [event.message for event in run.events if isinstance(event, NodeMessage)]
    assert any("stopped after step 8" in message and "step 4, whose adapter is kept" in message for message in said)
    metrics = [event for event in run.events if isinstance(event, NodeMetric) and "validation_loss" in event.values]
    looks = {event.step: event.values["validation_loss"] for event in metrics}
    assert looks == {2: 3.0, 4: 2.5, 6: 2.6, 8: 2.7}


def test_without_patience_the_best_is_kept_and_nothing_stops(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    _losses(monkeypatch, [3.0, 2.5, 2.6, 2.7, 2.8])
    run = make_run("run", **{**SETTINGS, "early_stopping_patience": 0, "max_steps": 10})
    run.attempt()
    summary = run.summary()
    assert (summary["steps"], summary["best_step"], summary["stopped_early"]) == (10, 4, False)


@pytest.mark.parametrize("step", [5, 8])
def test_interrupted_run_stops_at_the_same_step_with_the_same_adapter(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    _losses(monkeypatch, [3.0, 2.5, 2.6, 2.7, 2.0])
    unbroken, broken = make_run("unbroken", **SETTINGS), make_run("broken", **SETTINGS)
    unbroken.attempt()
    with pytest.raises(Killed):
        broken.attempt(emit=kill_after(step))
    broken.attempt()
    assert broken.adapter_bytes() == unbroken.adapter_bytes() and broken.curve() == unbroken.curve()
    assert broken.summary()["best_step"] == 4 and broken.summary()["stopped_early"]


def test_stopped_training_killed_before_its_parts_were_written_is_not_trained_again(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workbench.train import export

    _losses(monkeypatch, [3.0, 2.5, 2.6, 2.7, 2.0])
    run = make_run("run", **SETTINGS)

    def killed(*arguments: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(export, "write_adapter", killed)
        with pytest.raises(Killed):
            run.attempt()
    run.events.clear()
    run.attempt()
    assert not [event for event in run.events if isinstance(event, NodeMetric)]
    assert run.summary()["steps"] == 8 and run.summary()["best_step"] == 4


@pytest.mark.parametrize(("method", "precision"), [("qlora", "nf4"), ("prompt", "bf16")])
def test_validation_loss_is_the_mean_over_the_held_back_answers(
    make_run: MakeRun, method: str, precision: str
) -> None:
    """Oracle: cross-entropy of torch over the logits of the adapter that was kept, in a model loaded anew."""
    run = make_run("run", **{**SETTINGS, "max_steps": 4, "method": method, "precision": precision})
    run.attempt()
    assert run.summary()["best_validation_loss"] == pytest.approx(_loss_of_what_was_kept(run), rel=2e-3)


@pytest.mark.parametrize("best", [2, 8, 14])
def test_adapter_of_the_best_step_has_the_ranks_of_that_step(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, best: int
) -> None:
    """AdaLoRA gives out ranks at steps 5, 10, 15 and 16 here, and what it took away grows again between them: the
    file's loss is what was seen at the best step."""
    real, configured = AdapterTrainer.validation_loss, methods._CONFIGS["adalora"]

    def every_fifth_step(*arguments: Any) -> Any:
        config = configured(*arguments)
        config.deltaT = 5
        return config

    monkeypatch.setitem(methods._CONFIGS, "adalora", every_fifth_step)
    seen: dict[int, float] = {}

    def given(trainer: AdapterTrainer, batches: Any) -> float:
        step = trainer.state.global_step
        seen[step] = real(trainer, batches)
        return float(abs(step - best))

    monkeypatch.setattr(AdapterTrainer, "validation_loss", given)
    settings = {"method": "adalora", "precision": "fp32", "learning_rate": 0.05, "early_stopping_patience": 0}
    run = make_run("run", **{**SETTINGS, **settings})
    run.attempt()
    assert run.summary()["best_step"] == best
    assert _loss_of_what_was_kept(run) == pytest.approx(seen[best], rel=1e-5)
    config = json.loads((run.out / "adapter" / CONFIG).read_text())
    assert (config["rank_pattern"] is None) == (best < 5)


def _loss_of_what_was_kept(run: TrainingRun) -> float:
    from workbench.models.chat import encode_record
    from workbench.models.loading import load
    from workbench.train.validation import held_back

    loaded = load(run.config.model, run.config.model.precision, run.root, run.out / "adapter")
    total, tokens = 0.0, 0
    for index in held_back(run.records, 5, run.config.seed):
        row = encode_record(loaded.tokenizer, run.records[index], 96, None)
        with torch.no_grad():
            ids = torch.tensor([row.input_ids])
            logits = loaded.model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits
        logits = logits[0, -len(row.input_ids) :].float()
        labels = torch.tensor(row.labels)
        total += float(torch.nn.functional.cross_entropy(logits[:-1], labels[1:], reduction="sum", ignore_index=-100))
        tokens += int((labels[1:] != -100).sum())
    return total / tokens


@pytest.mark.parametrize(
    ("records", "share", "said"),
    [
        (training_records(3), 0.3, "train.validation_share 0.3 of 3 rows is less than one row"),
        ([record.model_copy(update={"messages": training_records(1)[0].messages}) for record in training_records()],
         0.3, "of 18 rows cannot be held back: all have the same prompt"),
    ],
)  # fmt: skip
def test_share_that_holds_nothing_back_is_told(
    make_run: MakeRun, records: list[Record], share: float, said: str
) -> None:
    run = make_run("run", **{**SETTINGS, "max_steps": 1, "validation_share": share})
    run.records = records
    write_rows(run.root / "mix" / "train.jsonl", records)
    run.attempt()
    warned = [event.message for event in run.events if isinstance(event, NodeMessage) and event.level == "warning"]
    assert any(said in message for message in warned)


def test_speed_is_of_the_steps_alone(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """A minute that passes in every validation and every checkpoint slows no step down, but counts in `seconds`."""
    lost = [0.0]
    monkeypatch.setattr(step_log.time, "monotonic", lambda: time.perf_counter() + lost[0])

    def wasted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            lost[0] += 60
            return real(*arguments)

        return call

    monkeypatch.setattr(AdapterTrainer, "validation_loss", wasted(AdapterTrainer.validation_loss))
    monkeypatch.setattr(checkpointed, "write_checkpoint", wasted(checkpointed.write_checkpoint))
    run = make_run("run", **{**SETTINGS, "max_steps": 5, "early_stopping_patience": 0})
    run.attempt()
    told = [event.values for event in run.events if isinstance(event, NodeMetric) and "loss" in event.values]
    read = 4 * 10  # tokens of a step, at the very least
    assert len(told) == 5 and all(values["tokens_per_s"] > read / 60 * 10 for values in told)
    assert run.summary()["seconds"] > 4 * 60


def test_validation_does_not_change_what_is_learned(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradients survive a look: with dropout, 4 bits and looks at every step the losses are those without a look."""
    settings = {**SETTINGS, "precision": "nf4", "method": "qlora", "max_steps": 6, "early_stopping_patience": 0}
    often = make_run("often", **{**settings, "validation_steps": 1})
    once = make_run("once", **{**settings, "validation_steps": 6})
    often.attempt()
    once.attempt()
    assert often.curve() == once.curve()


def test_checkpoint_keeps_what_was_seen(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    _losses(monkeypatch, [3.0, 2.5, 2.6, 2.7, 2.0])
    run = make_run("run", **SETTINGS)
    with pytest.raises(Killed):
        run.attempt(emit=kill_after(5))
    assert json.loads((run.checkpoints / "step-000004" / "validation.json").read_text()) == [[2, 3.0], [4, 2.5]]
