"""Objective `kto`: single answers with thumbs up or down, measured against the base.

    {"messages": [user "Capital of Peru?", assistant "Lima"], "label": true}      becomes likelier than it was
    {"messages": [user "Capital of Peru?", assistant "Quito"], "label": false}    less likely

    up     w (1 - sigmoid(beta (l(y) - l0(y) - z)))       arXiv 2402.01306, eq. 7 and 8
    down   w (1 - sigmoid(beta (z - l(y) + l0(y))))
    z      mean of l(y') - l0(y') over answers put to other rows' prompts, not below 0: how far the model moved at all

z is estimated within each forward pass, so a pass needs at least two rows: one row's other prompt would be its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from datasets import Dataset
from trl import KTOConfig, KTOTrainer

from workbench.core.errors import IncompleteError
from workbench.core.records import Record
from workbench.models.chat import IGNORED, encode_record
from workbench.train.arguments import shared_arguments
from workbench.train.checkpointed import Checkpointed
from workbench.train.data import collate
from workbench.train.methods import adapter_config
from workbench.train.objectives.registry import Job
from workbench.train.objectives.rows import EncodedRows, Prepared, Row, begin, longest, prepare

_LEAST = 2
"""Rows of a pass."""


class RatedTrainer(Checkpointed, KTOTrainer):
    """TRL's KTO on answers that are token ids already."""

    measured = ("rewards/chosen", "rewards/rejected", "rewards/margins", "kl", "logps/chosen", "logps/rejected")

    def _prepare_dataset(self, dataset: Any, *arguments: Any) -> Any:
        return dataset

    def count_tokens(self, inputs: Any) -> tuple[int, int]:
        read = int(inputs["attention_mask"].sum() + inputs["KL_attention_mask"].sum())
        return int(inputs["completion_mask"][:, 1:].sum()), read

    def shrink(self, micro_batch: int) -> None:
        if micro_batch < _LEAST:
            raise IncompleteError(
                "out of memory, and the next smaller forward pass has one sequence, while objective kto needs two",
                where="train.batch_size",
                next_step=f"{_two(self.args)}set train.gradient_checkpointing: true, or lower train.max_length",
            )
        super().shrink(micro_batch)


def _two(args: Any) -> str:
    """Advice to read two sequences at a time, where halving the configured batch passes that by."""
    size = args.per_device_train_batch_size
    return "" if size & (size - 1) == 0 else "set it to 2 (and train.gradient_accumulation higher), "


def build(job: Job) -> RatedTrainer:
    """The trainer of objective `kto`. IncompleteError if only one of thumbs up and down is left to train on, or a
    single row is held back."""

    def encode(records: Sequence[Record]) -> EncodedRows:
        system_prompt, length = job.loaded.config.system_prompt, longest(job)
        rows: list[Row] = []
        truncated = 0
        for record in records:
            encoded = encode_record(job.loaded.tokenizer, record, length, system_prompt)
            if encoded.answer_tokens == 0:
                continue
            prompt = encoded.answer_starts
            rows.append(
                {
                    "prompt_ids": encoded.input_ids[:prompt],
                    "answer_ids": encoded.input_ids[prompt:],
                    "label": bool(record.label),
                }
            )
            truncated += encoded.truncated
        return EncodedRows(rows, truncated)

    # Bad answers are often longer: grouped, one pass would hold bad answers alone, and z be that of bad answers.
    prepared = prepare(job, encode, "answers", grouped=False)
    _refuse_one_sided(job, prepared)
    settings = prepared.settings
    assert settings.max_steps is not None
    trainer = RatedTrainer(
        model=job.loaded.model,
        args=KTOConfig(
            **shared_arguments(job.loaded, settings, job.node.seed, job.work_dir),
            max_length=None,
            disable_dropout=False,
            train_sampling_strategy="sequential",
            beta=settings.kto.beta,
            desirable_weight=settings.kto.desirable_weight,
            undesirable_weight=settings.kto.undesirable_weight,
        ),
        train_dataset=Dataset.from_list(prepared.rows),
        data_collator=collate_rated(job.loaded.tokenizer.pad_token_id, longest(job)),
        processing_class=job.loaded.tokenizer,
        peft_config=adapter_config(job.loaded.model, settings, settings.max_steps),
    )
    begin(trainer, job, prepared, least=_LEAST)
    return trainer


def _refuse_one_sided(job: Job, prepared: Prepared) -> None:
    for label, word in ((True, "up"), (False, "down")):
        if not any(record.label is label for record in job.records):
            raise IncompleteError(
                f"no row has thumbs {word}: objective kto learns from the difference",
                where="train.objective",
                next_step="add such rows, or set train.objective: sft to learn the good answers alone",
            )
        if not any(row["label"] is label for row in prepared.by_size):
            raise IncompleteError(
                f"no row with thumbs {word} is left to train on: {len(prepared.validation)} rows are held back, and "
                f"rows without room for an answer within {longest(job)} tokens are left out",
                where="train.validation_share",
                next_step="lower it, add such rows, or raise train.max_length",
            )
    if len(prepared.validation) == 1:
        raise IncompleteError(
            "a single row is held back, and objective kto measures rows against each other",
            where="train.validation_share",
            next_step="raise it, or set it to 0",
        )


def collate_rated(pad_id: int, max_length: int) -> Callable[[Sequence[Row]], dict[str, Any]]:
    """Collator in TRL's layout: the rows, and under `KL_` each prompt with the answer of the row before it."""
    import torch

    padded = collate(pad_id)

    def sequences(rows: Sequence[Row], answers: Sequence[list[int]]) -> dict[str, Any]:
        whole = [
            {
                "input_ids": (row["prompt_ids"] + answer)[:max_length],
                "labels": ([IGNORED] * len(row["prompt_ids"]) + answer)[:max_length],
            }
            for row, answer in zip(rows, answers, strict=True)
        ]
        batch = padded(whole)
        batch["completion_mask"] = (batch.pop("labels") != IGNORED).long()
        return batch

    def collated(rows: Sequence[Row]) -> dict[str, Any]:
        answers = [row["answer_ids"] for row in rows]
        moved = sequences(rows, answers[-1:] + answers[:-1])
        batch = sequences(rows, answers) | {f"KL_{name}": tensor for name, tensor in moved.items()}
        return batch | {"label": torch.tensor([row["label"] for row in rows])}

    return collated
