"""Greedy answers to prompts, in left-padded batches.

    generate(loaded, [prompt_ids(...)], max_new_tokens=48, batch_size=8)
        ->  [Generated(text="Lima.", tokens=3, finish_reason="stop")]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from workbench.models.likelihood import batches
from workbench.models.loading import LoadedModel


@dataclass(frozen=True, slots=True)
class Generated:
    """One answer."""

    text: str
    tokens: int
    """Tokens made, the end token included."""
    finish_reason: Literal["stop", "length"]
    """`stop`: the model ended its turn. `length`: the limit did."""


def generate(
    loaded: LoadedModel,
    prompts: Sequence[list[int]],
    max_new_tokens: int,
    batch_size: int,
    on_batch: Callable[[int], object] | None = None,
) -> list[Generated]:
    """Greedy continuations of `prompts`, in their order; `on_batch` hears how many are done.

    Batches follow the rule of `likelihood.batches`. Raises ValueError for an empty prompt.
    """
    if not all(prompts):
        raise ValueError("a prompt is empty: begin it with `start_ids`")
    answers: dict[int, Generated] = {}
    for batch in batches([len(prompt) for prompt in prompts], batch_size):
        made = _generate_batch(loaded, [prompts[index] for index in batch], max_new_tokens)
        answers.update(zip(batch, made, strict=True))
        if on_batch is not None:
            on_batch(len(answers))
    return [answers[index] for index in range(len(prompts))]


def stop_ids(loaded: LoadedModel) -> list[int]:
    """Tokens that end an answer: the tokenizer's and the model's end tokens."""
    declared = loaded.model.generation_config.eos_token_id
    ids = {loaded.tokenizer.eos_token_id, *(declared if isinstance(declared, list) else [declared])}
    return sorted(token for token in ids if token is not None)


def left_padded(prompts: Sequence[list[int]], pad: int, device: Any = None) -> tuple[Any, Any]:
    """Ids and attention mask `[prompts, longest]` (int64): answers begin in the same column."""
    import torch

    longest = max(map(len, prompts))
    ids = [[pad] * (longest - len(prompt)) + prompt for prompt in prompts]
    mask = [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


def _generate_batch(loaded: LoadedModel, prompts: Sequence[list[int]], max_new_tokens: int) -> list[Generated]:
    import torch
    from transformers import GenerationConfig

    pad = loaded.tokenizer.pad_token_id
    ids, mask = left_padded(prompts, pad, loaded.model.device)
    settings = GenerationConfig(
        do_sample=False, max_new_tokens=max_new_tokens, eos_token_id=stop_ids(loaded) or None, pad_token_id=pad
    )
    with torch.inference_mode():
        out = loaded.model.generate(input_ids=ids, attention_mask=mask, generation_config=settings)
    return [_answer(loaded, row) for row in out[:, ids.shape[1] :].tolist()]


def _answer(loaded: LoadedModel, ids: list[int]) -> Generated:
    """Cuts a row at its first end token: what follows is padding."""
    stops = stop_ids(loaded)
    end = next((position for position, token in enumerate(ids) if token in stops), None)
    kept: Any = ids if end is None else ids[:end]
    text = str(loaded.tokenizer.decode(kept, skip_special_tokens=True))
    return Generated(text, len(ids) if end is None else end + 1, "length" if end is None else "stop")
