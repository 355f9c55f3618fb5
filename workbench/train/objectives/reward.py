"""Objective `reward`: a model with one number for an answer, higher for the better of two.

    chosen "Lima" -> 1.9    rejected "Quito" -> -0.4      loss  -log sigmoid(1.9 + 0.4) = 0.10

The base gets one output in the place of its vocabulary; that output and the adapter are trained (Bradley and Terry,
1952; arXiv 1706.03741). What comes out rates answers and cannot give any: `curate.rating.reward_model` takes it.
"""

from __future__ import annotations

from typing import Any

from datasets import Dataset
from trl import RewardConfig, RewardTrainer

from workbench.core.errors import UsageError
from workbench.models.loading import RATING_HEADS
from workbench.train.arguments import shared_arguments
from workbench.train.checkpointed import Checkpointed, named_trained
from workbench.train.methods import adapter_config
from workbench.train.objectives.pairs import collate_pairs
from workbench.train.objectives.preference import pairs_in_order, prepare_pairs
from workbench.train.objectives.registry import Job
from workbench.train.objectives.rows import begin


class RatingTrainer(Checkpointed, RewardTrainer):
    """TRL's reward trainer on pairs that are token ids already."""

    measured = ("accuracy", "margin", "mean_reward", "min_reward", "max_reward")

    def _prepare_dataset(self, dataset: Any, *arguments: Any) -> Any:
        return dataset

    def count_tokens(self, inputs: Any) -> tuple[int, int]:
        read = int(inputs["attention_mask"].sum())
        return read, read

    def rows_of(self, batch: dict[str, Any]) -> int:
        return len(batch["input_ids"]) // 2

    def pairs_in_order(self, batch: dict[str, Any]) -> tuple[int, int]:
        return pairs_in_order(self, batch, "accuracy")


def build(job: Job) -> RatingTrainer:
    """The trainer of objective `reward`. IncompleteError if no pair teaches anything, UsageError if the model has no
    output layer that could be trained."""
    # Without a system prompt: whoever asks for a rating later sends the conversation alone.
    prepared = prepare_pairs(job, None)
    settings = prepared.settings
    assert settings.max_steps is not None
    method = adapter_config(job.loaded.model, settings, settings.max_steps)
    method.task_type = "SEQ_CLS"
    padded = collate_pairs(job.loaded.tokenizer.pad_token_id)

    def collated(rows: Any) -> dict[str, Any]:
        batch = padded(rows)
        del batch["completion_mask"]
        return batch

    trainer = RatingTrainer(
        model=job.loaded.model,
        args=RewardConfig(
            **shared_arguments(job.loaded, settings, job.node.seed, job.work_dir),
            max_length=None,
            disable_dropout=False,
            center_rewards_coefficient=settings.reward.centre or None,
        ),
        train_dataset=Dataset.from_list(prepared.rows),
        data_collator=collated,
        processing_class=job.loaded.tokenizer,
        peft_config=method,
    )
    begin(trainer, job, prepared)
    if not any(f".{head}." in f".{name}." for name, _ in named_trained(trainer.model) for head in RATING_HEADS):
        raise UsageError(
            "this model's output layer is neither called `score` nor `classifier`: it would stay random",
            where="train.objective",
            next_step="take a base of another family, such as Llama, Qwen, Mistral, Gemma or Phi",
        )
    return trainer
