"""Objectives `sft` and `pretrain`: TRL's SFTTrainer whose loss reads answer rows alone.

    sft        <|im_start|>user\\nCapital of Peru?<|im_end|>\\n<|im_start|>assistant\\n[[Lima<|im_end|>]]
    pretrain   [[Lima is the capital of Peru. ... ]]     a text of 1,000 tokens in windows of 512: two rows

Documents that are learned by `sft` are cut off at the longest length instead.
Imported from inside `run` only: trl, peft and torch take 8 s.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from trl import SFTConfig, SFTTrainer

from workbench.core.records import Record
from workbench.core.training import TrainConfig
from workbench.models import heads
from workbench.models.chat import Encoded
from workbench.models.loading import LoadedModel
from workbench.train.answer_loss import answer_nll
from workbench.train.arguments import shared_arguments
from workbench.train.checkpointed import Checkpointed
from workbench.train.data import EncodedSet, collate, cut, encode_all, encode_windows, row_order
from workbench.train.defaults import parameter_count, resolved
from workbench.train.fast_path import FastPath, fast_path_for
from workbench.train.gpu_kernels import choose_kernels, on_gpu
from workbench.train.methods import adapter_config, penalty
from workbench.train.objectives.registry import Job
from workbench.train.step_log import StepLog
from workbench.train.validation import Validation, back_of, why_none

_CHECKED_ROWS = 2


class AdapterTrainer(Checkpointed, SFTTrainer):
    """Trains on answers; build it with `build_sft` or `build_trainer`."""

    answer_rows_only: bool
    fast_path: FastPath | None

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Mean cross-entropy over the optimiser step's answer tokens; IncompleteError if it is not finite."""
        assert not return_outputs and num_items_in_batch is not None
        loss = self._mean_nll(model, inputs, num_items_in_batch)
        super().note_loss(loss.detach())
        extra = penalty(model)
        # Once per step, whatever the number of passes and of processes, whose gradients are summed.
        return loss if extra is None else loss + extra / (self.args.gradient_accumulation_steps * self.group.count)

    def note_loss(self, loss: Any) -> None:
        """`compute_loss` has done it: what comes back from a pass holds AdaLoRA's penalty too."""

    def _mean_nll(self, model: Any, inputs: dict[str, Any], tokens: Any) -> Any:
        """Summed negative log-likelihood of the labels, divided by `tokens`."""
        if self.fast_path is not None:
            with self.accelerator.autocast():
                return self.fast_path.nll(model, inputs) / tokens
        if self.answer_rows_only:
            with self.accelerator.autocast():
                hidden = heads.hidden_states(model, inputs["input_ids"])
            return answer_nll(hidden, heads.head_weight(model), inputs["labels"]) / tokens
        return super().compute_loss(model, dict(inputs), num_items_in_batch=tokens)

    def choose_path(self) -> None:
        """Leaves the fast path if it does not give the stock path's loss and gradient on the shortest rows."""
        if self.fast_path is None:
            return
        with self.accelerator.autocast():
            agrees = self.fast_path.agrees(self.model, self.on_device(self.checked))
        if not agrees:
            self.fast_path.leave(self.model)
            self.fast_path = None
            self.step_log.info("the fast path gives another loss or gradient than the stock path here: it is not used")

    def validation_loss(self, batches: list[dict[str, Any]]) -> float:
        """Mean negative log-likelihood per answer token over all batches, in evaluation mode."""
        self.model.eval()
        total, tokens = 0.0, 0
        with torch.no_grad():
            for batch in batches:
                one = torch.ones((), device=self.model.device)
                total += float(self._mean_nll(self.model, self.on_device(batch), one))
                tokens += self.count_tokens(batch)[0]
        self.model.train()
        self.forget()
        return total / tokens

    def pass_loss(self, inputs: dict[str, Any]) -> Any:
        """The loss of a pass that is a step by itself."""
        batch = self.on_device(inputs)
        learned = torch.tensor(self.count_tokens(batch)[0], device=self.model.device)
        with self.accelerator.autocast():
            return self.compute_loss(self.model, batch, num_items_in_batch=learned)

    def self_check(self) -> float:
        """As every trainer's, by the path that training will take."""
        self.choose_path()
        return super().self_check()


def build_sft(job: Job) -> AdapterTrainer:
    """Trainer for the answers of the job's records (objective `pretrain`: for whole documents, in windows), some of
    them held back for validation where its settings ask for it.

    Records without room for an answer are left out, which is said; IncompleteError if nothing is left to learn.
    """
    loaded, records, settings, seed, step_log = job.loaded, job.records, job.node.train, job.node.seed, job.step_log
    length = settings.max_length or loaded.config.max_length
    encode = encode_windows if settings.objective == "pretrain" else encode_all

    def encoded(some: Sequence[Record]) -> EncodedSet:
        return encode(loaded.tokenizer, some, length, loaded.config.system_prompt)

    back = back_of(records, settings, seed)
    data = encoded([record for index, record in enumerate(records) if index not in back])
    if data.skipped:
        why = "they have no text" if settings.objective == "pretrain" else f"their prompt alone fills {length} tokens"
        step_log.info(f"{data.skipped} records left out: {why}")
    if len(data.rows) > len(records):
        step_log.info(f"{len(records)} documents in {len(data.rows)} windows of at most {length} tokens")
    if data.truncated:
        step_log.info(f"{data.truncated} of {len(data.rows)} answers cut off at {length} tokens")
    validation = encoded([records[index] for index in sorted(back)]).rows if back else []
    if settings.validation_share and not validation:
        step_log.warn(why_none(records, settings.validation_share))
    return build_trainer(loaded, data, settings, seed, job.work_dir, step_log, validation)


def build_trainer(
    loaded: LoadedModel,
    data: EncodedSet,
    settings: TrainConfig,
    seed: int,
    work_dir: Path,
    step_log: StepLog,
    validation: Sequence[Encoded] = (),
) -> AdapterTrainer:
    """Trainer with a fresh adapter of the method on `loaded` and the rows in their final order."""
    settings = resolved(settings, len(data.rows), parameter_count(loaded.model))
    assert settings.max_steps is not None and settings.validation_steps is not None
    collator = collate(loaded.tokenizer.pad_token_id)
    is_on_gpu = on_gpu(loaded.model)
    kernels = choose_kernels(loaded.model, half=loaded.precision != "fp32", wanted=settings.gpu_kernels)
    if is_on_gpu:
        step_log.info(str(kernels))
    trainer = AdapterTrainer(
        model=loaded.model,
        args=SFTConfig(
            **shared_arguments(loaded, settings, seed, work_dir),
            **kernels.arguments(),
            packing=False,
            max_length=None,
            dataset_kwargs={"skip_prepare_dataset": True},
        ),
        train_dataset=Dataset.from_list(_rows(data.rows)),
        data_collator=collator,
        processing_class=loaded.tokenizer,
        peft_config=adapter_config(loaded.model, settings, settings.max_steps),
    )
    trainer.begin(settings, step_log, work_dir)
    trainer.model_accepts_loss_kwargs = True
    trainer.checked = collator(_rows(sorted(data.rows, key=_size)[:_CHECKED_ROWS]))
    if validation:
        parts = cut(_rows(sorted(validation, key=_size, reverse=True)), settings.batch_size)
        trainer.validation = Validation([collator(part) for part in parts], settings.validation_steps)
    is_separable = heads.separable(trainer.model) and not heads.head_weight(trainer.model).requires_grad
    trainer.answer_rows_only = is_separable and not is_on_gpu
    # NEFTune's noise depends on the length of a row, and the fast path makes one row of all.
    trainer.fast_path = None if settings.neftune_alpha or is_on_gpu else fast_path_for(trainer.model)
    lengths = [len(row.input_ids) for row in data.rows]
    batches_in_all = settings.max_steps * settings.gradient_accumulation
    # Rows of similar length stand together where padding costs something.
    order = row_order(lengths, settings.batch_size, batches_in_all, seed, grouped=trainer.fast_path is None)
    trainer.train_dataset = trainer.train_dataset.select(order)
    return trainer


def _rows(encoded: Sequence[Encoded]) -> list[dict[str, list[int]]]:
    return [{"input_ids": row.input_ids, "labels": row.labels} for row in encoded]


def _size(row: Encoded) -> tuple[int, list[int]]:
    return len(row.input_ids), row.input_ids
