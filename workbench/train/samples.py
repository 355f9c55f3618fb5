"""Answers while training: what the model says to a few fixed prompts, every so many steps.

    step 0    What does len() do?   ->   The len() function is used to determine the length of a string.
    step 40   What does len() do?   ->   Return the number of items in a container.

Prompts are those of held-back rows where rows are held back, else of training rows, which is told; never of a row with
thumbs down, whose answer is no reference. Answers are greedy, in evaluation mode, and draw no random number: losses and
adapter are the same, to the last bit, with and without them.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.core.objectives import OBJECTIVES
from workbench.core.parts import read_rows, write_rows
from workbench.core.records import Record, TrainingSample
from workbench.core.training import TrainConfig
from workbench.models.loading import LoadedModel
from workbench.train.validation import back_of

if TYPE_CHECKING:
    from workbench.train.checkpointed import Checkpointed

SAMPLES = "samples.jsonl"
_BEGINNING = 24
"""Tokens of a document that is to be continued."""


@dataclass(frozen=True, slots=True)
class SamplePrompt:
    """A prompt and what the data answers."""

    record: str
    ids: list[int]
    prompt: str
    reference: str
    held_back: bool


@dataclass(slots=True)
class Samples:
    """The prompts, and the answers so far."""

    loaded: LoadedModel
    prompts: Sequence[SamplePrompt]
    every: int
    """Steps between two looks."""
    max_new_tokens: int
    on_sample: Callable[[TrainingSample], object]
    rows: list[TrainingSample] = field(default_factory=list)

    def is_due(self, step: int, last: int) -> bool:
        """Whether to look after `step`: before the first, at every look, after the last."""
        return step % self.every == 0 or step == last

    def take(self, trainer: Checkpointed, step: int) -> None:
        """Answers every prompt with the model as it is after `step`."""
        # 3 s: torch, which the trainer needs anyway
        import torch

        from workbench.models.generate import generate

        model = trainer.model
        was_training = model.training
        devices = [model.device] if model.device.type == "cuda" else []
        asked = [prompt.ids for prompt in self.prompts]
        model.eval()
        with torch.random.fork_rng(devices=devices), trainer.accelerator.autocast():
            answers = generate(replace(self.loaded, model=model), asked, self.max_new_tokens, len(asked))
        model.train(was_training)
        for prompt, answer in zip(self.prompts, answers, strict=True):
            row = TrainingSample(
                step=step,
                record=prompt.record,
                held_back=prompt.held_back,
                prompt=prompt.prompt,
                reference=prompt.reference,
                answer=answer.text,
                finish_reason=answer.finish_reason,
            )
            self.rows.append(row)
            self.on_sample(row)

    def write(self, directory: Path) -> None:
        """Adds the answers so far to a checkpoint, or to the parts."""
        write_rows(directory / SAMPLES, self.rows)

    def read(self, directory: Path) -> None:
        """Takes up what a checkpoint holds."""
        self.rows = list(read_rows(directory / SAMPLES, TrainingSample))


def samples_for(
    loaded: LoadedModel,
    records: Sequence[Record],
    configured: TrainConfig,
    resolved: TrainConfig,
    seed: int,
    on_sample: Callable[[TrainingSample], object],
) -> Samples | None:
    """The prompts that `configured` asks for, chosen by the seed; None without any, or where the objective makes no
    model that answers.

    `records` are all rows of the training set, those held back for validation among them.
    """
    if not configured.samples or OBJECTIVES[configured.objective].makes != "policy":
        return None
    assert resolved.max_steps is not None
    back = back_of(records, configured, seed)
    good = {index for index, record in enumerate(records) if record.label is not False}
    order = sorted(back & good or good)
    random.Random(f"samples of {seed}").shuffle(order)
    length = configured.max_length or loaded.config.max_length
    prompts: list[SamplePrompt] = []
    for index in order:
        if len(prompts) == configured.samples:
            break
        if (prompt := _prompt(loaded, records[index], length, held=index in back)) is not None:
            prompts.append(prompt)
    if not prompts:
        return None
    every = configured.sample_steps or math.ceil(resolved.max_steps / 2)
    return Samples(loaded, prompts, every, configured.sample_tokens, on_sample)


def _prompt(loaded: LoadedModel, record: Record, length: int, *, held: bool) -> SamplePrompt | None:
    """What of a record is asked: all before its answer, of a document its beginning; None if nothing is left to say."""
    # 4 s: transformers, which the trainer needs anyway
    from workbench.models.chat import encode_record

    row = encode_record(loaded.tokenizer, record, length, loaded.config.system_prompt)
    asked = row.answer_starts + _BEGINNING if record.kind == "document" else row.answer_starts
    if not 0 < asked < len(row.input_ids):
        return None

    def text(ids: Any) -> str:
        return str(loaded.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    is_document = record.kind == "document"
    return SamplePrompt(
        record=record.id,
        ids=row.input_ids[:asked],
        prompt=text(row.input_ids[:asked]) if is_document else record.prompt(),
        reference=text(row.input_ids[asked:]),
        held_back=held,
    )
