"""Objective `gkd`: the student learns a larger model's next-token distributions, on the data's answers and on its own.

    with p the teacher's and q the student's distribution at an answer's token, m = beta p + (1 - beta) q:
    loss = beta KL(p, m) + (1 - beta) KL(q, m);   beta 0: KL(p, q);   beta 1: KL(q, p)      arXiv 2306.13649, eq. 1, 2

A pass in which the student writes the answers itself (`lmbda` of them) shows it the teacher's opinion of what it would
say, not only of what the data says. Where student and teacher agree the loss is 0.

TRL's own trainer divides the loss of written answers by the number of tokens of the data's; here each step is a mean
over the tokens it has. A step's answers are drawn with a seed of its own, so that a killed run ends in the same bits.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from datasets import Dataset
from torch.nn import functional
from transformers import GenerationConfig
from trl import SFTConfig, SFTTrainer

from workbench.core.online import GkdConfig
from workbench.core.records import Record
from workbench.models import heads
from workbench.models.chat import IGNORED
from workbench.models.generate import left_padded, stop_ids
from workbench.models.loading import LoadedModel, load, load_tokenizer
from workbench.models.refs import named_at
from workbench.train.arguments import shared_arguments
from workbench.train.checkpointed import Checkpointed
from workbench.train.data import collate, encode_all
from workbench.train.methods import adapter_config
from workbench.train.objectives.registry import Job
from workbench.train.objectives.rows import EncodedRows, begin, longest, prepare
from workbench.train.objectives.teacher import WHERE, refuse_other_vocabulary, teacher_config

OWN_ANSWERS = "own_answers"


class DistillingTrainer(Checkpointed, SFTTrainer):
    """Learns from a teacher's distributions; build it with `build`."""

    measured = (OWN_ANSWERS,)
    teacher: Any
    """Frozen, in evaluation mode."""
    gkd: GkdConfig
    vocabulary: int
    """Ids that both heads have; what a head has beyond them is padding."""
    longest: int
    stops: Sequence[int]
    """Tokens that end an answer."""

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Summed divergence (nats, fp32) over the answers' tokens, divided by the step's, or the batch's own."""
        assert not return_outputs
        learned = inputs["labels"][:, 1:] != IGNORED
        with self.accelerator.autocast():
            student = self._logits(model, inputs, learned)
        with torch.no_grad():
            teacher = self._logits(self.teacher, inputs, learned)
        tokens = learned.sum() if num_items_in_batch is None else num_items_in_batch
        return divergence(student, teacher, self.gkd.beta) / tokens

    def get_batch_samples(self, epoch_iterator: Iterator[Any], num_batches: int, device: Any) -> tuple[list[Any], Any]:
        """The passes of a step, some of them with answers of the student's own, and the tokens of all."""
        batches, tokens = super().get_batch_samples(epoch_iterator, num_batches, device)
        draw = random.Random(f"answers of step {self.state.global_step} with seed {self.args.seed}")
        own = [draw.random() < self.gkd.lmbda for _ in batches]
        with torch.random.fork_rng():
            torch.manual_seed(draw.getrandbits(63))
            batches = [self._answered(batch) if is_own else batch for batch, is_own in zip(batches, own, strict=True)]
        if any(own):
            tokens = self._get_num_items_in_batch(batches, device)
        self._metrics["train"][OWN_ANSWERS].append(sum(own) / max(1, len(own)))
        return batches, tokens

    def _logits(self, model: Any, inputs: dict[str, Any], learned: Any) -> Any:
        """Logits `[tokens, vocabulary]` (fp32) of the tokens before those that `learned [rows, length - 1]` marks."""
        if heads.separable(model):
            hidden = heads.hidden_states(model, inputs["input_ids"])[:, :-1][learned]
            logits = hidden @ heads.head_weight(model).T.to(hidden.dtype)
        else:
            found = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], use_cache=False)
            logits = found.logits[:, :-1][learned]
        return logits.float()[:, : self.vocabulary]

    def _answered(self, batch: dict[str, Any]) -> dict[str, Any]:
        """The batch with the data's answers replaced by ones that the student writes, at most as long as any row."""
        prompts = [row[: int((labels != IGNORED).nonzero()[0])].tolist() for row, labels in _pairs(batch)]
        pad = self.processing_class.pad_token_id
        ids, mask = left_padded(prompts, pad, self.model.device)
        settings = GenerationConfig(
            do_sample=True,
            temperature=self.gkd.temperature,
            top_k=0,
            top_p=1.0,
            max_new_tokens=self.gkd.max_new_tokens,
            eos_token_id=list(self.stops) or None,
            pad_token_id=pad,
            use_cache=True,
        )
        was_training = self.model.training
        self.model.eval()
        with torch.no_grad():
            written = self.model.generate(input_ids=ids, attention_mask=mask, generation_config=settings)
        self.model.train(was_training)
        rows = []
        for prompt, answer in zip(prompts, written[:, ids.shape[1] :].tolist(), strict=True):
            end = next((at + 1 for at, token in enumerate(answer) if token in self.stops), len(answer))
            whole = (prompt + answer[:end])[: self.longest]
            rows.append({"input_ids": whole, "labels": [IGNORED] * len(prompt) + whole[len(prompt) :]})
        return self.on_device(self.data_collator(rows))


def divergence(student: Any, teacher: Any, beta: float) -> Any:
    """Divergence of logits `[tokens, vocabulary]`, summed over tokens, in nats: equation 1 of arXiv 2306.13649."""
    q, p = student.log_softmax(-1), teacher.log_softmax(-1)
    if beta == 0:
        return _kl(p, q)
    if beta == 1:
        return _kl(q, p)
    mixed = torch.logaddexp(p + math.log(beta), q + math.log1p(-beta))
    return beta * _kl(p, mixed) + (1 - beta) * _kl(q, mixed)


def _kl(of: Any, from_: Any) -> Any:
    """KL(of, from_) of log-probabilities, summed."""
    return functional.kl_div(from_, of, reduction="sum", log_target=True)


def build(job: Job) -> DistillingTrainer:
    """The trainer of objective `gkd`. UsageError for a teacher with another vocabulary, before its weights are loaded;
    IncompleteError if nothing is left to learn."""
    student, config = job.loaded, teacher_config(job.node)
    with named_at(WHERE):
        tokenizer = load_tokenizer(config, job.project)
    refuse_other_vocabulary(student.tokenizer.get_vocab(), tokenizer.get_vocab())
    with named_at(WHERE):
        teacher = load(config, config.precision, job.project)
    prepared = prepare(job, lambda records: _encoded(job, records), "records", grouped=True)
    settings = prepared.settings
    assert settings.max_steps is not None
    trainer = DistillingTrainer(
        model=student.model,
        args=SFTConfig(
            **shared_arguments(student, settings, job.node.seed, job.work_dir),
            packing=False,
            max_length=None,
            dataset_kwargs={"skip_prepare_dataset": True},
        ),
        train_dataset=Dataset.from_list(prepared.rows),
        data_collator=collate(student.tokenizer.pad_token_id),
        processing_class=student.tokenizer,
        peft_config=adapter_config(student.model, settings, settings.max_steps),
    )
    trainer.model_accepts_loss_kwargs = True
    trainer.gkd, trainer.longest, trainer.stops = settings.gkd, longest(job), stop_ids(student)
    trainer.teacher = teacher.model.requires_grad_(False)
    trainer.vocabulary = min(_head_size(student), _head_size(teacher))
    begin(trainer, job, prepared)
    return trainer


def _encoded(job: Job, records: Sequence[Record]) -> EncodedRows:
    found = encode_all(job.loaded.tokenizer, records, longest(job), job.loaded.config.system_prompt)
    rows: list[dict[str, Any]] = [{"input_ids": row.input_ids, "labels": row.labels} for row in found.rows]
    return EncodedRows(rows, found.truncated)


def _head_size(loaded: LoadedModel) -> int:
    return int(loaded.model.config.get_text_config().vocab_size)


def _pairs(batch: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    return zip(batch["input_ids"], batch["labels"], strict=True)
