"""Objective `grpo`: the model answers each prompt several times and learns from what its answers are rewarded.

    prompt "3 + 4 ="    answers "7", "8", "7", "I"    rewards 1, 0, 1, 0    advantages +0.9, -0.9, +0.9, -0.9

A group of answers that are all rewarded alike teaches nothing, and the loss is near zero by construction: look at the
reward. Each step answers its own prompts and learns from all of these answers once, so a checkpoint between two steps
needs no buffer of answers, and a killed run ends in the same bits (with a judge: as long as its answers are cached).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

from workbench.core.errors import IncompleteError
from workbench.core.online import GrpoConfig
from workbench.core.records import CurvePoint, Record
from workbench.models.chat import encode_record, prompt_ids
from workbench.models.generate import left_padded
from workbench.train.arguments import shared_arguments
from workbench.train.checkpointed import Checkpointed
from workbench.train.data import row_order
from workbench.train.defaults import parameter_count, resolved
from workbench.train.methods import adapter_config
from workbench.train.objectives.registry import Job
from workbench.train.objectives.rewards import Reward, make_rewards
from workbench.train.objectives.rows import longest

MISSING = "rewards/missing"
_CHECKED_ROWS = 2


class GroupTrainer(Checkpointed, GRPOTrainer):
    """TRL's GRPO on prompts that are token ids already; a row's `prompt` is the id of its record."""

    ids_of: dict[str, list[int]]
    """Record id to the token ids of its prompt."""
    answers_at_once: int | None = None
    """Answers written side by side; None writes all of a step."""

    def count_tokens(self, inputs: Any) -> tuple[int, int]:
        return 0, 0  # the answers are not written yet: `compute_loss` counts

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The policy loss of some answers of the step."""
        learned = int(inputs["completion_mask"].sum())
        self.step_log.answer_tokens += learned
        self.step_log.read_tokens += learned + int(inputs["prompt_mask"].sum())
        return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)

    def pass_loss(self, inputs: dict[str, Any]) -> Any:
        """Negative mean log-probability of given answers: the path that the policy loss takes, without a reward."""
        batch = self.on_device(inputs)
        length = int(batch["completion_mask"].shape[1])
        ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1)
        mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], 1)
        logps = self._get_per_token_logps_and_entropies(self.model, ids, mask, length)[0]
        return -(logps * batch["completion_mask"]).sum() / batch["completion_mask"].sum()

    def train_from(self, checkpoint: Path | None) -> None:
        super().train_from(checkpoint)
        missing = [point.measures[MISSING] for point in self.step_log.curve if MISSING in point.measures]
        if any(missing):
            self.step_log.info(
                f"{sum(missing) / len(missing):.1%} of the answers could not be given all rewards: nothing was learned "
                "from them"
            )
        if self.finished and (remark := _nothing_rewarded(self.step_log.curve)) is not None:
            self.step_log.warn(remark)

    def shrink(self, micro_batch: int) -> None:
        super().shrink(micro_batch)
        self.args.steps_per_generation = self.args.gradient_accumulation_steps
        self.answers_at_once = micro_batch

    def _get_train_sampler(self, dataset: Any = None) -> Any:
        # TRL's repeats every prompt for its answers; the rows are in their order already and are not shuffled.
        return GRPOTrainer._get_train_sampler(self, dataset)

    def _tokenize_prompts(self, prompts: list[str]) -> tuple[list[list[int]], None, dict[str, Any]]:
        return [self.ids_of[name] for name in prompts], None, {}

    def _generate_single_turn(self, prompt_ids: list[list[int]], *others: Any, **options: Any) -> Any:
        size = self.answers_at_once or len(prompt_ids)
        answers: list[list[int]] = []
        for start in range(0, len(prompt_ids), size):
            answers += super()._generate_single_turn(prompt_ids[start : start + size], *others, **options)[0]
        return answers, None

    def _calculate_rewards(self, *arguments: Any) -> Any:
        """Rewards `[answers, rewards]`. TRL would count one that is missing beside others as zero: an answer without
        all of its rewards has none, which leaves it out of its group's mean and of the loss."""
        rewards = super()._calculate_rewards(*arguments)
        missing = torch.isnan(rewards).any(1)
        rewards[missing] = torch.nan
        self._log_metric(MISSING, float(missing.float().mean()))
        return rewards


def _nothing_rewarded(curve: Sequence[CurvePoint]) -> str | None:
    """What to tell of a training in which no group of answers had a better and a worse one; None for any other."""
    known = [point.measures for point in curve if "reward" in point.measures]
    if any(one.get("frac_reward_zero_std") != 1 for one in known):
        return None
    rewards = sorted({one["reward"] for one in known})
    if not rewards:
        return f"no answer in {len(curve)} steps could be given all rewards: nothing was learned from rewards"
    same = f"reward {rewards[0]:g}" if rewards[0] == rewards[-1] else "the same reward as the others to its prompt"
    return (
        f"every answer in {len(curve)} steps got {same}: nothing was learned from rewards. Likely the base never does "
        "what is rewarded (or always does): look at its answers (train.samples) and at the references (workbench train "
        "--show 5), and add a reward that it earns sometimes"
    )


def measures_of(grpo: GrpoConfig) -> tuple[str, ...]:
    """What a step tells besides its loss, in TRL's words. `frac_reward_zero_std` is the share of answers in groups that
    were all rewarded alike."""
    each = tuple(f"rewards/{name}/mean" for name in grpo.names())
    divergence = ("kl",) if grpo.beta else ()
    lengths = ("completions/mean_length", "completions/clipped_ratio")
    return ("reward", "reward_std", *each, MISSING, "frac_reward_zero_std", *lengths, "entropy", *divergence)


def build(job: Job) -> GroupTrainer:
    """The trainer of objective `grpo`. Raises as `make_rewards`; IncompleteError if no prompt leaves room to answer."""
    grpo, seed = job.node.train.grpo, job.node.seed
    rewards = make_rewards(job.node, job.project, job.step_log.info)
    records = _with_room(job)
    settings = resolved(job.node.train, len(records) * grpo.generations, parameter_count(job.loaded.model))
    assert settings.max_steps is not None
    prompts_per_step = settings.batch_size * settings.gradient_accumulation // grpo.generations
    order = row_order([1] * len(records), prompts_per_step, settings.max_steps, seed, grouped=False)
    by_id = {record.id: record for record, _ in records}
    trainer = GroupTrainer(
        model=job.loaded.model,
        reward_funcs=[_named(name, one, by_id) for name, one in zip(grpo.names(), rewards, strict=True)],
        args=GRPOConfig(
            **shared_arguments(job.loaded, settings, seed, job.work_dir),
            num_generations=grpo.generations,
            steps_per_generation=settings.gradient_accumulation,
            max_completion_length=grpo.max_new_tokens,
            temperature=grpo.temperature,
            beta=grpo.beta,
            reward_weights=[reward.weight for reward in grpo.rewards],
            shuffle_dataset=False,
        ),
        train_dataset=Dataset.from_list([{"prompt": records[index][0].id} for index in order]),
        processing_class=job.loaded.tokenizer,
        peft_config=adapter_config(job.loaded.model, settings, settings.max_steps),
    )
    trainer.ids_of = {record.id: ids for record, ids in records}
    trainer.measured = measures_of(grpo)
    trainer.begin(settings, job.step_log, job.work_dir)
    shortest = sorted(records, key=lambda row: (len(row[1]), row[0].id))[:_CHECKED_ROWS]
    trainer.checked = _answered(job, [record for record, _ in shortest])
    return trainer


def _with_room(job: Job) -> list[tuple[Record, list[int]]]:
    """The records whose prompt leaves room for an answer, with the prompt's token ids."""
    length = longest(job)
    room = length - job.node.train.grpo.max_new_tokens
    kept = []
    for record in job.records:
        ids = prompt_ids(job.loaded.tokenizer, record.messages[:-1], job.loaded.config.system_prompt)
        if len(ids) <= room:
            kept.append((record, ids))
    left_out = len(job.records) - len(kept)
    if not kept:
        raise IncompleteError(
            f"none of {left_out} prompts leaves room for an answer of {job.node.train.grpo.max_new_tokens} tokens "
            f"within {length}",
            where="train.grpo.max_new_tokens",
            next_step="lower it, raise train.max_length, or look at what curation dropped (funnel.json)",
        )
    if left_out:
        job.step_log.info(f"{left_out} prompts left out: they leave no room for an answer within {length} tokens")
    return kept


def _named(name: str, reward: Reward, records: dict[str, Record]) -> Callable[..., list[float | None]]:
    """A reward as TRL calls it, under the name by which its means are logged."""

    def given(prompts: Sequence[str], completions: Sequence[str], **_: Any) -> list[float | None]:
        return reward([records[prompt] for prompt in prompts], completions)

    given.__name__ = name
    return given


def _answered(job: Job, records: Sequence[Record]) -> dict[str, Any]:
    """Prompts with the data's own answers, padded as TRL pads written ones: prompts left, answers right."""
    prompts, answers = [], []
    for record in records:
        encoded = encode_record(job.loaded.tokenizer, record, longest(job), job.loaded.config.system_prompt)
        prompts.append(encoded.input_ids[: encoded.answer_starts])
        answers.append(encoded.input_ids[encoded.answer_starts :])
    pad = job.loaded.tokenizer.pad_token_id
    ids, mask = left_padded(prompts, pad)
    widest = max(map(len, answers))
    return {
        "prompt_ids": ids,
        "prompt_mask": mask,
        "completion_ids": torch.tensor([row + [pad] * (widest - len(row)) for row in answers]),
        "completion_mask": torch.tensor([[1] * len(row) + [0] * (widest - len(row)) for row in answers]),
    }
