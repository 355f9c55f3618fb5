"""Objectives `dpo` and `orpo`: the better of two endings becomes likelier than the worse one.

    rewards/margins    0.00 -> 1.31      how much more the chosen ending gained than the rejected one
    rewards/accuracies 0.50 -> 0.94      share of pairs in which it gained more

With l(y) the summed log-probability of an ending and l0(y) the base's (the adapter switched off):

    DPO    -log sigmoid(beta ((l(chosen) - l0(chosen)) - (l(rejected) - l0(rejected))))    arXiv 2305.18290, eq. 7
    ORPO   NLL(chosen) - beta log sigmoid(log odds(chosen) - log odds(rejected))           arXiv 2403.07691, eq. 6 and 7
           odds = p / (1 - p), p the ending's geometric mean probability per token

ORPO's first term is over the ending's tokens as in the paper's equation 2; TRL takes those of the prompt as well. It is
a mean over the tokens of a whole step, however many passes that takes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from datasets import Dataset
from torch.nn import functional
from trl import DPOConfig, DPOTrainer

from workbench.core.training import TrainConfig
from workbench.models.chat import IGNORED
from workbench.train.arguments import shared_arguments
from workbench.train.checkpointed import Checkpointed
from workbench.train.methods import adapter_config
from workbench.train.objectives.pairs import collate_pairs, encode_pairs
from workbench.train.objectives.registry import Job
from workbench.train.objectives.rows import EncodedRows, Prepared, begin, longest, prepare

_MEASURED = (
    "rewards/chosen",
    "rewards/rejected",
    "rewards/margins",
    "rewards/accuracies",
    "logps/chosen",
    "logps/rejected",
)


class PreferenceTrainer(Checkpointed, DPOTrainer):
    """TRL's DPO on pairs that are token ids already."""

    measured = _MEASURED

    def _prepare_dataset(self, dataset: Any, *arguments: Any) -> Any:
        return dataset

    def count_tokens(self, inputs: Any) -> tuple[int, int]:
        return int(inputs["completion_mask"][:, 1:].sum()), int(inputs["attention_mask"].sum())

    def rows_of(self, batch: dict[str, Any]) -> int:
        return len(batch["input_ids"]) // 2

    def pairs_in_order(self, batch: dict[str, Any]) -> tuple[int, int]:
        return pairs_in_order(self, batch, "rewards/accuracies")


def pairs_in_order(trainer: Any, batch: dict[str, Any], accuracy: str) -> tuple[int, int]:
    """What TRL's measure called `accuracy` says of one batch, in pairs."""
    trainer.pass_loss(batch)
    pairs = trainer.rows_of(batch)
    return round(trainer._metrics["eval"][accuracy][-1] * pairs), pairs


class OddsRatioTrainer(PreferenceTrainer):
    """ORPO on the same pairs, without a reference."""

    tokens_per_pass: float | None = None
    """Tokens of chosen endings in the step at hand, divided by its passes; None before training."""

    def get_batch_samples(self, epoch_iterator: Iterator[Any], num_batches: int, device: Any) -> tuple[list[Any], Any]:
        batches, items = super().get_batch_samples(epoch_iterator, num_batches, device)
        tokens = sum(int(_ending_tokens(batch).chunk(2)[0].sum()) for batch in batches)
        self.tokens_per_pass = tokens / max(1, len(batches))
        return batches, items

    def _compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool) -> Any:
        mask = inputs["completion_mask"]
        labels = inputs["input_ids"].masked_fill(mask == 0, IGNORED)
        found = model(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            labels=labels,
            use_cache=False,
            fused_lm_head=True,
        )
        sums, counts = found.log_probs.sum(1), _ending_tokens(inputs)
        chosen, rejected = (sums / counts).chunk(2)
        own = counts.chunk(2)[0].sum()
        # The passes of a step are averaged afterwards, whatever their tokens.
        tokens = own if self.tokens_per_pass is None or not self.model.training else self.tokens_per_pass
        loss = -sums.chunk(2)[0].sum() / tokens
        loss = loss - self.beta * functional.logsigmoid(log_odds(chosen) - log_odds(rejected)).mean()
        self._note(chosen.detach(), rejected.detach())
        return loss

    def _note(self, chosen: Any, rejected: Any) -> None:
        """The same measures as DPO's, of log-probabilities per token."""
        metrics = self._metrics["train" if self.model.training else "eval"]
        better, worse = self.beta * chosen, self.beta * rejected
        for name, values in zip(
            _MEASURED,
            (better, worse, better - worse, (better > worse).float(), chosen, rejected),
            strict=True,
        ):
            metrics[name].append(float(values.mean()))


def _ending_tokens(inputs: dict[str, Any]) -> Any:
    """Tokens of each ending `[2 x pairs]`."""
    return inputs["completion_mask"][:, 1:].sum(1)


def log_odds(log_p: Any) -> Any:
    """log(p / (1 - p)) of log p below zero, exact near both ends."""
    small = log_p < -0.6931471805599453
    one_less = torch.where(small, torch.log1p(-torch.exp(log_p)), torch.log(-torch.expm1(log_p)))
    return log_p - one_less


def build_dpo(job: Job) -> PreferenceTrainer:
    """The trainer of objective `dpo`. IncompleteError if no pair teaches anything."""
    dpo = job.node.train.dpo
    losses = ["robust" if dpo.label_smoothing else str(dpo.loss), *(["sft"] if dpo.sft_weight else [])]
    weights = [1.0, dpo.sft_weight][: len(losses)]
    options = {"loss_type": losses, "loss_weights": weights, "label_smoothing": dpo.label_smoothing}
    return _built(PreferenceTrainer, job, {"beta": dpo.beta, **options})


def build_orpo(job: Job) -> PreferenceTrainer:
    """The trainer of objective `orpo`. IncompleteError if no pair teaches anything."""
    # The loss is `OddsRatioTrainer`'s own; TRL's DPO is asked for its default, which needs no further settings.
    return _built(OddsRatioTrainer, job, {"beta": job.node.train.orpo.beta})


def _built(kind: type[PreferenceTrainer], job: Job, options: dict[str, Any]) -> PreferenceTrainer:
    prepared = prepare_pairs(job, job.loaded.config.system_prompt)
    settings: TrainConfig = prepared.settings
    assert settings.max_steps is not None
    trainer = kind(
        model=job.loaded.model,
        args=DPOConfig(
            **shared_arguments(job.loaded, settings, job.node.seed, job.work_dir),
            max_length=None,
            disable_dropout=False,
            **options,
        ),
        train_dataset=Dataset.from_list(prepared.rows),
        data_collator=collate_pairs(job.loaded.tokenizer.pad_token_id),
        processing_class=job.loaded.tokenizer,
        peft_config=adapter_config(job.loaded.model, settings, settings.max_steps),
    )
    begin(trainer, job, prepared)
    return trainer


def prepare_pairs(job: Job, system_prompt: str | None) -> Prepared:
    """The pairs of the job's records."""

    def encode(records: Any) -> EncodedRows:
        pairs, truncated = encode_pairs(job.loaded.tokenizer, records, longest(job), system_prompt)
        return EncodedRows([pair.as_row() for pair in pairs], truncated)

    return prepare(job, encode, "pairs", grouped=True)
