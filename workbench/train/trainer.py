"""TRL's SFTTrainer with three changes: the loss reads answer rows alone, checkpoints are whole or ignored, and what
happens at each step goes to the stage instead of to stdout.

Imported from inside `run` only: trl, peft and torch take 8 s.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from torch.utils.data import SequentialSampler
from transformers import PrinterCallback, TrainerCallback
from trl import SFTConfig, SFTTrainer

from workbench.core.config import TrainConfig
from workbench.core.errors import IncompleteError
from workbench.core.parts import read_rows, write_rows
from workbench.core.records import CurvePoint
from workbench.models import gradient_guard, heads
from workbench.models.loading import LoadedModel
from workbench.train.answer_loss import answer_nll
from workbench.train.checkpoints import write_checkpoint
from workbench.train.data import EncodedSet, collate, row_order

CURVE = "curve.jsonl"
_SELF_CHECK_ROWS = 2
_SELF_CHECK_TOKENS = 96


@dataclass(slots=True)
class StepLog:
    """What the steps gave so far, and whom to tell."""

    on_step: Callable[[CurvePoint, float], object]
    """Hears of every finished step, with its tokens per second."""
    cancelled: Callable[[], bool]
    curve: list[CurvePoint] = field(default_factory=list)
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

    def close_step(self, step: int, learning_rate: float, grad_norm: float) -> None:
        """Adds the finished step to the curve and tells the stage."""
        now = time.monotonic()
        point = CurvePoint(
            step=step,
            loss=self.loss,
            learning_rate=learning_rate,
            grad_norm=grad_norm,
            tokens=self.answer_tokens,
            seconds=now - self.began,
        )
        self.curve.append(point)
        self.on_step(point, self.read_tokens / max(now - self.step_began, 1e-9))
        self.loss, self.answer_tokens, self.read_tokens, self.step_began = 0.0, 0, 0, now


class AdapterTrainer(SFTTrainer):  # type: ignore[misc]  # trl has no types
    """Trains one adapter; build it with `build_trainer`."""

    step_log: StepLog
    checkpoints_dir: Path
    answer_rows_only: bool

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Mean cross-entropy over the optimiser step's answer tokens; IncompleteError if it is not finite."""
        assert not return_outputs and num_items_in_batch is not None
        if self.answer_rows_only:
            with self.accelerator.autocast():
                hidden = heads.hidden_states(model, inputs["input_ids"])
            loss = answer_nll(hidden, heads.head_weight(model), inputs["labels"]) / num_items_in_batch
        else:
            loss = super().compute_loss(model, inputs, num_items_in_batch=num_items_in_batch)
        value = float(loss.detach())
        _require_finite(value, "loss", self.state.global_step + 1)
        self.step_log.loss += value
        self.step_log.answer_tokens += int((inputs["labels"][:, 1:] != -100).sum())
        self.step_log.read_tokens += int(inputs["attention_mask"].sum())
        return loss

    def resume_state(self, checkpoint: Path) -> None:
        """Loads the adapter of a checkpoint without training further."""
        self._load_from_checkpoint(str(checkpoint))

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        # The rows are in their order already: resuming is skipping, whatever the random state.
        return SequentialSampler(train_dataset if train_dataset is not None else self.train_dataset)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        write_checkpoint(self.checkpoints_dir, self.state.global_step, self._write_state)

    def _write_state(self, directory: Path) -> None:
        save_adapter(self.model, directory)
        self._save_optimizer_and_scheduler(str(directory))
        self._save_rng_state(str(directory))
        self.state.save_to_json(str(directory / "trainer_state.json"))
        write_rows(directory / CURVE, self.step_log.curve)


class _Reporter(TrainerCallback):  # type: ignore[misc]  # transformers has no types here
    """Closes each step, and stops between steps when asked to."""

    def __init__(self, step_log: StepLog) -> None:
        self.step_log = step_log

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.step_log.cancelled():
            control.should_save = True
            control.should_training_stop = True

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **kwargs: Any) -> None:
        if "loss" not in logs:
            return
        _require_finite(logs["grad_norm"], "gradient norm", state.global_step)
        self.step_log.close_step(state.global_step, logs["learning_rate"], logs["grad_norm"])


def build_trainer(
    loaded: LoadedModel, data: EncodedSet, config: TrainConfig, seed: int, work_dir: Path, step_log: StepLog
) -> AdapterTrainer:
    """Trainer with a fresh fp32 LoRA adapter on all linear layers of `loaded` and the rows in their final order."""
    on_cpu = loaded.model.device.type == "cpu"
    lengths = [len(row.input_ids) for row in data.rows]
    order = row_order(lengths, config.batch_size, config.max_steps * config.gradient_accumulation, seed)
    rows = [{"input_ids": row.input_ids, "labels": row.labels} for row in data.rows]
    trainer = AdapterTrainer(
        model=loaded.model,
        args=SFTConfig(
            output_dir=str(work_dir / "trainer"),
            max_steps=config.max_steps,
            per_device_train_batch_size=config.batch_size,
            gradient_accumulation_steps=config.gradient_accumulation,
            learning_rate=config.learning_rate,
            lr_scheduler_type=config.scheduler,
            warmup_steps=config.warmup_steps,
            max_grad_norm=config.max_grad_norm,
            weight_decay=config.weight_decay,
            optim="adamw_torch",
            bf16=loaded.precision != "fp32",
            use_cpu=on_cpu,
            gradient_checkpointing=False,
            logging_steps=1,
            logging_nan_inf_filter=False,
            save_strategy="steps",
            save_steps=config.checkpoint_steps,
            seed=seed,
            remove_unused_columns=False,
            dataloader_pin_memory=not on_cpu,
            report_to="none",
            disable_tqdm=True,
            packing=False,
            max_length=None,
            dataset_kwargs={"skip_prepare_dataset": True},
        ),
        train_dataset=Dataset.from_list(rows).select(order),
        data_collator=collate(loaded.tokenizer.pad_token_id),
        processing_class=loaded.tokenizer,
        peft_config=LoraConfig(
            task_type="CAUSAL_LM",
            target_modules="all-linear",
            r=config.rank,
            lora_alpha=config.alpha,
            lora_dropout=config.dropout,
            bias="none",
        ),
        callbacks=[_Reporter(step_log)],
    )
    trainer.remove_callback(PrinterCallback)
    # TRL leaves adapters of a 4-bit base in bf16, where a resumed run is no longer exact.
    for parameter in trained_parameters(trainer.model):
        parameter.data = parameter.data.float()
    gradient_guard.disable_packed_path(trainer.model)
    gradient_guard.check_unpacked(trainer.model)
    trainer.model_accepts_loss_kwargs = True
    trainer.step_log = step_log
    trainer.checkpoints_dir = work_dir / "checkpoints"
    trainer.answer_rows_only = heads.separable(trainer.model) and not heads.head_weight(trainer.model).requires_grad
    return trainer


def trained_parameters(model: Any) -> list[Any]:
    """The adapter's parameters."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def self_check(trainer: AdapterTrainer, data: EncodedSet) -> float:
    """Cosine between the adapter's gradient before and after an evaluation forward, on the two shortest rows."""
    shortest = sorted(data.rows, key=lambda row: (len(row.input_ids), row.input_ids))[:_SELF_CHECK_ROWS]
    rows = [{"input_ids": row.input_ids, "labels": row.labels} for row in shortest]
    device = trainer.model.device
    batch = {name: tensor.to(device) for name, tensor in trainer.data_collator(rows).items()}
    learned = int((batch["labels"][:, 1:] != -100).sum())

    def loss() -> Any:
        trainer.model.train()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return trainer.compute_loss(trainer.model, dict(batch), num_items_in_batch=learned)

    def evaluate() -> None:
        trainer.model.eval()
        with torch.no_grad():
            trainer.model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False)

    cosine = gradient_guard.gradient_cosine(loss, evaluate, trained_parameters(trainer.model))
    step_log = trainer.step_log
    step_log.loss, step_log.answer_tokens, step_log.read_tokens = 0.0, 0, 0
    return cosine


def read_curve(checkpoint: Path) -> list[CurvePoint]:
    """The curve up to a checkpoint."""
    return list(read_rows(checkpoint / CURVE, CurvePoint))


def save_adapter(model: Any, directory: Path) -> None:
    """PEFT's files for the adapter of `model`, without its model card."""
    model.save_pretrained(str(directory), save_embedding_layers=False)
    (directory / "README.md").unlink(missing_ok=True)


def clear_scratch(work_dir: Path) -> None:
    """Removes what the trainer library puts beside our checkpoints."""
    shutil.rmtree(work_dir / "trainer", ignore_errors=True)


def _require_finite(value: float, what: str, step: int) -> None:
    if not math.isfinite(value):
        raise IncompleteError(
            f"training diverged: the {what} of step {step} is {value}",
            where="train",
            next_step="lower train.learning_rate (start at 2e-4) or train.max_grad_norm, or raise train.warmup_steps",
        )
