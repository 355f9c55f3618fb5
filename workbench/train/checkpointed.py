"""What a trainer needs beside its loss: whole checkpoints or none, a log of every step, exact resume, a clean stop.

    class AdapterTrainer(Checkpointed, SFTTrainer): ...

    trainer = AdapterTrainer(model=..., args=SFTConfig(**shared_arguments(loaded, config, seed, work_dir)),
                             train_dataset=..., peft_config=adapter_config(loaded.model, config, steps))
    trainer.begin(config, step_log, work_dir)        once, right after the constructor
    trainer.train_from(newest_valid(...))            the stage does this

The mixin stands before the library's trainer. It wants the rows in their final order (they are read one after the
other, so that resuming is skipping) and `logging_steps=1`, which `shared_arguments` sets.

Imported from inside `run` only: torch, transformers and peft take 8 s.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch.utils.data import SequentialSampler
from transformers import PrinterCallback, TrainerCallback

from workbench.core.errors import IncompleteError
from workbench.core.parts import read_rows, write_rows
from workbench.core.records import CurvePoint
from workbench.core.training import TrainConfig
from workbench.models import gradient_guard
from workbench.models.loading import LoadedModel
from workbench.train.checkpoints import write_checkpoint
from workbench.train.export import START, needs_start, save_start
from workbench.train.methods import after_optimizer_step, freeze_counts, load_method_state, method_state, optimizer_of
from workbench.train.validation import Validation

CURVE = "curve.jsonl"
TRAINED = "trained.safetensors"


@dataclass(slots=True)
class StepLog:
    """What the steps gave so far, and whom to tell."""

    on_step: Callable[[CurvePoint, float], object]
    """Hears of every finished step, with its tokens per second."""
    cancelled: Callable[[], bool]
    on_validation: Callable[[int, float], object] = lambda step, loss: None
    """Hears of every look at the validation rows: step and mean loss."""
    info: Callable[[str], object] = lambda message: None
    """Remarks for people."""
    curve: list[CurvePoint] = field(default_factory=list)
    steps: int = 0
    """Steps in all, once the trainer is built."""
    loss: float = 0.0
    """Of the step being computed: summed over its passes, each divided by the step's answer tokens."""
    answer_tokens: int = 0
    read_tokens: int = 0
    began: float = 0.0
    """Clock at which the attempt would have begun, had it done all steps so far."""
    step_began: float = 0.0

    def resume(self, curve: list[CurvePoint]) -> None:
        """Takes up the curve of an earlier attempt; its seconds count, those lost since its checkpoint do not."""
        self.curve = curve
        self.began = self.step_began = time.monotonic()
        self.began -= curve[-1].seconds if curve else 0.0

    def close_step(self, step: int, logged: dict[str, float]) -> None:
        """Adds the finished step to the curve and tells the stage."""
        now = time.monotonic()
        point = CurvePoint(
            step=step,
            loss=self.loss,
            learning_rate=logged["learning_rate"],
            grad_norm=logged["grad_norm"],
            tokens=self.answer_tokens,
            seconds=now - self.began,
        )
        self.curve.append(point)
        self.on_step(point, self.read_tokens / max(now - self.step_began, 1e-9))
        self.forget_step()
        self.step_began = now

    def forget_step(self) -> None:
        """Nothing was computed since the last step."""
        self.loss, self.answer_tokens, self.read_tokens = 0.0, 0, 0


class Checkpointed:
    """Mixed into a trainer of transformers or TRL, before it."""

    settings: TrainConfig
    """Resolved: every value that depends on the data or the model is set."""
    step_log: StepLog
    checkpoints_dir: Path
    validation: Validation | None = None
    """Rows held back and the best adapter so far; None where nothing is held back."""

    # What the trainer behind this mixin has.
    model: Any
    args: Any
    state: Any
    control: Any
    optimizer: Any
    accelerator: Any
    train_dataset: Any
    data_collator: Any
    _train_batch_size: int

    def begin(self, settings: TrainConfig, step_log: StepLog, work_dir: Path) -> None:
        """Once, right after the constructor: adapters in fp32, gradients guarded, steps reported.

        IncompleteError if nothing is trainable.
        """
        self.settings, self.step_log, self.checkpoints_dir = settings, step_log, work_dir / "checkpoints"
        self.remove_callback(PrinterCallback)  # type: ignore[attr-defined]
        self.add_callback(_StepEnds(self))  # type: ignore[attr-defined]
        freeze_counts(self.model)
        parameters = trained_parameters(self.model)
        if not parameters:
            raise IncompleteError(
                f"method {settings.method} leaves no trainable parameter in this model",
                where="train.method",
                next_step="take train.method: qlora (NF4 base) or lora (bf16 base)",
            )
        # TRL leaves adapters of a 4-bit base in bf16, where a resumed run is no longer exact.
        for parameter in parameters:
            parameter.data = parameter.data.float()
        gradient_guard.disable_packed_path(self.model)
        gradient_guard.check_unpacked(self.model)
        step_log.steps = int(self.args.max_steps)
        if needs_start(settings.method):
            save_start(self.model, settings.method, work_dir / START)

    def shrink(self, micro_batch: int) -> None:
        """Fewer sequences per forward pass, as many per step: the rows and their order stay. Before training only."""
        per_step = self.args.per_device_train_batch_size * self.args.gradient_accumulation_steps
        assert per_step % micro_batch == 0
        self.args.per_device_train_batch_size = self._train_batch_size = micro_batch
        self.args.gradient_accumulation_steps = per_step // micro_batch

    def train_from(self, checkpoint: Path | None) -> None:
        """Trains to the last step, from `checkpoint` on if there is one; ends with the adapter that is kept."""
        if checkpoint is not None and self.validation is not None:
            self.validation.read(checkpoint)
        if checkpoint is not None and (len(self.step_log.curve) >= self.step_log.steps or self.stopped_early):
            self.load_trained(checkpoint)
        else:
            self.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))  # type: ignore[attr-defined]
        if self.finished and self.validation is not None and self.validation.curve:
            self.validation.restore_best(self.model)

    @property
    def stopped_early(self) -> bool:
        """Whether the validation loss has not fallen for as long as `early_stopping_patience` says."""
        patience = self.settings.early_stopping_patience
        return self.validation is not None and 0 < patience <= self.validation.looks_since_best

    @property
    def finished(self) -> bool:
        """Whether nothing is left to be trained."""
        return len(self.step_log.curve) >= self.step_log.steps or self.stopped_early

    # Hooks of the trainer behind this mixin.

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Any:
        self.step_log.answer_tokens += int((inputs["labels"][:, 1:] != -100).sum())
        self.step_log.read_tokens += int(inputs["attention_mask"].sum())
        return super().training_step(model, inputs, num_items_in_batch)  # type: ignore[misc]

    def create_optimizer(self, model: Any = None) -> Any:
        if self.optimizer is None and self.settings.method == "lora+":
            self.optimizer = optimizer_of(self.model, self.settings)
        return super().create_optimizer(model)  # type: ignore[misc]

    def evaluate(self, *arguments: Any, **options: Any) -> dict[str, float]:
        if self.validation is None:
            return {}
        loss = self.validation.look(self)
        self.step_log.on_validation(self.state.global_step, loss)
        if self.stopped_early:
            self.control.should_training_stop = self.control.should_save = True
        return {"eval_loss": loss}

    def _determine_best_metric(self, metrics: Any, trial: Any) -> bool:
        return False  # `Validation` keeps the best

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        # The rows are in their order already: resuming is skipping, whatever the random state.
        return SequentialSampler(train_dataset if train_dataset is not None else self.train_dataset)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        write_checkpoint(self.checkpoints_dir, self.state.global_step, self._write_state)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        self.load_trained(Path(resume_from_checkpoint))

    def load_trained(self, checkpoint: Path) -> None:
        """The trained parameters of a checkpoint, and the validation so far."""
        tensors = load_file(str(checkpoint / TRAINED))
        with torch.no_grad():
            for name, parameter in named_trained(self.model):
                parameter.copy_(tensors.pop(name))
        load_method_state(self.model, tensors)
        if self.validation is not None:
            self.validation.read(checkpoint)

    def _write_state(self, directory: Path) -> None:
        tensors = {name: parameter.detach().contiguous() for name, parameter in named_trained(self.model)}
        save_file(tensors | method_state(self.model), str(directory / TRAINED))
        self._save_optimizer_and_scheduler(str(directory))  # type: ignore[attr-defined]
        self._save_rng_state(str(directory))  # type: ignore[attr-defined]
        self.state.save_to_json(str(directory / "trainer_state.json"))
        write_rows(directory / CURVE, self.step_log.curve)
        if self.validation is not None:
            self.validation.write(directory)


class _StepEnds(TrainerCallback):  # type: ignore[misc]  # transformers has no types here
    """Closes each step, looks at the validation rows when it is time, and stops between steps when asked to."""

    def __init__(self, trainer: Checkpointed) -> None:
        self.trainer = trainer

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        after_optimizer_step(self.trainer.model, state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.trainer.step_log.cancelled():
            control.should_save = True
            control.should_training_stop = True
        validation = self.trainer.validation
        is_last = state.global_step == state.max_steps
        if validation is not None and (state.global_step % validation.every == 0 or is_last):
            control.should_evaluate = True

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **kwargs: Any) -> None:
        if "loss" not in logs:
            return
        require_finite(logs["loss"], "loss", state.global_step)
        require_finite(logs["grad_norm"], "gradient norm", state.global_step)
        self.trainer.step_log.close_step(state.global_step, logs)


def shared_arguments(loaded: LoadedModel, settings: TrainConfig, seed: int, work_dir: Path) -> dict[str, Any]:
    """What the trainer's configuration takes from `settings`: batch, schedule, precision, memory, logging.

    `settings` must be resolved (`workbench.train.defaults.resolved`).
    """
    assert settings.max_steps is not None and settings.learning_rate is not None and settings.warmup_steps is not None
    on_cpu = loaded.model.device.type == "cpu"
    half = loaded.precision != "fp32"
    has_bf16 = on_cpu or torch.cuda.is_bf16_supported(including_emulation=False)
    return {
        "output_dir": str(work_dir / "trainer"),
        "max_steps": settings.max_steps,
        "per_device_train_batch_size": settings.batch_size,
        "gradient_accumulation_steps": settings.gradient_accumulation,
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": settings.scheduler,
        "warmup_steps": settings.warmup_steps,
        "max_grad_norm": settings.max_grad_norm,
        "weight_decay": settings.weight_decay,
        "neftune_noise_alpha": settings.neftune_alpha or None,
        "optim": _OPTIMIZERS[settings.optimizer],
        "bf16": half and has_bf16,
        "fp16": half and not has_bf16,
        "use_cpu": on_cpu,
        "gradient_checkpointing": settings.gradient_checkpointing,
        "gradient_checkpointing_kwargs": {"use_reentrant": False} if settings.gradient_checkpointing else None,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "save_strategy": "steps",
        "save_steps": settings.checkpoint_steps,
        "seed": seed,
        "remove_unused_columns": False,
        "dataloader_pin_memory": not on_cpu,
        "report_to": list(settings.report_to) or "none",
        "disable_tqdm": True,
        **({"activation_offloading": True} if settings.activation_offloading else {}),
    }


_OPTIMIZERS = {
    "adamw": "adamw_torch",
    "adamw_8bit": "adamw_8bit",
    "paged_adamw": "paged_adamw_32bit",
    "paged_adamw_8bit": "paged_adamw_8bit",
}


def named_trained(model: Any) -> list[tuple[str, Any]]:
    """Names and parameters that are trained."""
    return [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]


def trained_parameters(model: Any) -> list[Any]:
    """The parameters that are trained."""
    return [parameter for _, parameter in named_trained(model)]


def read_curve(checkpoint: Path) -> list[CurvePoint]:
    """The curve up to a checkpoint."""
    return list(read_rows(checkpoint / CURVE, CurvePoint))


def require_finite(value: float, what: str, step: int) -> None:
    """IncompleteError if a number of `step` is not finite."""
    if not math.isfinite(value):
        raise IncompleteError(
            f"training diverged: the {what} of step {step} is {value}",
            where="train",
            next_step="lower train.learning_rate (start at 2e-4) or train.max_grad_norm, or raise train.warmup_steps",
        )
