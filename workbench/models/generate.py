"""Greedy answers to prompts, in left-padded batches.

    generate(loaded, [prompt_ids(...)], max_new_tokens=48, batch_size=8)
        ->  [Generated(text="Lima.", tokens=3, finish_reason="stop")]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from typing import Any, Literal

from workbench.models import heads
from workbench.models.greedy import Ends, greedy_ids, shared_prefix
from workbench.models.likelihood import batches
from workbench.models.loading import LoadedModel
from workbench.models.memo import BatchMemo, batch_key
from workbench.models.shared_prefix import Prefix, unsupported

_KIND = "generate/2"
_LOGIT_SETTINGS = {
    "repetition_penalty": 1.0,
    "encoder_repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "encoder_no_repeat_ngram_size": 0,
    "min_length": 0,
    "min_new_tokens": 0,
    "bad_words_ids": None,
    "suppress_tokens": None,
    "begin_suppress_tokens": None,
    "forced_bos_token_id": None,
    "forced_eos_token_id": None,
    "sequence_bias": None,
    "exponential_decay_length_penalty": None,
    "guidance_scale": None,
    "num_beams": 1,
}
"""Settings of transformers' generation that change what a greedy answer is, with the value that changes nothing."""


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
    memo: BatchMemo | None = None,
    on_token: Callable[[list[int]], object] | None = None,
) -> list[Generated]:
    """Greedy continuations of `prompts`, in their order; `on_batch` hears how many are done.

    `on_token` hears the tokens of an answer after each of them, without the one that ends it; nothing where the model's
    own settings search several beams, of which none is the answer before the end.

    Batches follow the rule of `likelihood.batches`; those in `memo` are not computed, and a beginning that all prompts
    share is read once. Raises ValueError for an empty prompt.
    """
    if not all(prompts):
        raise ValueError("a prompt is empty: begin it with `start_ids`")
    answers: dict[int, Generated] = {}
    prefix = Prefix(loaded.model, shared_prefix(prompts))
    for batch in batches([len(prompt) for prompt in prompts], batch_size):
        made = _made(loaded, [prompts[index] for index in batch], max_new_tokens, prefix, memo, on_token)
        answers.update(zip(batch, made, strict=True))
        if on_batch is not None:
            on_batch(len(answers))
    return [answers[index] for index in range(len(prompts))]


def _made(
    loaded: LoadedModel,
    prompts: list[list[int]],
    max_new_tokens: int,
    prefix: Prefix,
    memo: BatchMemo | None,
    on_token: Callable[[list[int]], object] | None,
) -> list[Generated]:
    """A batch from the memo, or computed and kept."""
    if memo is None:
        return _generate_batch(loaded, prompts, max_new_tokens, prefix, on_token)
    stops = stop_ids(loaded)
    key = batch_key(_KIND, prefix=len(prefix.ids), prompts=prompts, max_new_tokens=max_new_tokens, stop=stops)
    if (kept := memo.get(key)) is not None:
        return [Generated(*values) for values in kept]
    made = _generate_batch(loaded, prompts, max_new_tokens, prefix, on_token)
    memo.put(key, [list(astuple(answer)) for answer in made])
    return made


def stop_ids(loaded: LoadedModel) -> list[int]:
    """Tokens that end an answer: the tokenizer's and the model's end tokens."""
    declared = loaded.model.generation_config.eos_token_id
    ids = {loaded.tokenizer.eos_token_id, *(declared if isinstance(declared, list) else [declared])}
    return sorted(token for token in ids if token is not None)


def greedy_settings(loaded: LoadedModel, max_new_tokens: int) -> Any:
    """The `GenerationConfig` with which transformers answers greedily."""
    from transformers import GenerationConfig

    return GenerationConfig(
        do_sample=False,
        max_new_tokens=max_new_tokens,
        eos_token_id=stop_ids(loaded) or None,
        pad_token_id=loaded.tokenizer.pad_token_id,
    )


def left_padded(prompts: Sequence[list[int]], pad: int, device: Any = None) -> tuple[Any, Any]:
    """Ids and attention mask `[prompts, longest]` (int64): answers begin in the same column."""
    import torch

    longest = max(map(len, prompts))
    ids = [[pad] * (longest - len(prompt)) + prompt for prompt in prompts]
    mask = [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


def _generate_batch(
    loaded: LoadedModel,
    prompts: Sequence[list[int]],
    max_new_tokens: int,
    prefix: Prefix,
    on_token: Callable[[list[int]], object] | None,
) -> list[Generated]:
    """By our own loop where the model's attention is plain, by transformers' where it is not."""
    stops = set(stop_ids(loaded))

    def ends(answer: list[int]) -> bool:
        done = answer[-1] in stops
        if on_token is not None:
            on_token(answer[:-1] if done else answer)
        return done

    longest = max(map(len, prompts)) + max_new_tokens
    if unsupported(loaded.model, longest) is None and not changed_decoding(loaded.model):
        ids = greedy_ids(loaded.model, prompts, max_new_tokens, ends, prefix)
    else:
        heard = on_token is not None and heads.bare(loaded.model).generation_config.num_beams in (None, 1)
        ids = _by_transformers(loaded, prompts, max_new_tokens, ends if heard else None)
    return [_answer(loaded, row) for row in ids]


def changed_decoding(model: Any) -> bool:
    """Whether the model's own generation settings change logits before the highest is taken."""
    settings = heads.bare(model).generation_config
    return any(getattr(settings, name, None) not in (None, neutral) for name, neutral in _LOGIT_SETTINGS.items())


def _by_transformers(
    loaded: LoadedModel, prompts: Sequence[list[int]], max_new_tokens: int, ends: Ends | None
) -> list[list[int]]:
    """Rows of tokens, padded after their end; `ends` hears each answer until it is true."""
    import torch

    ids, mask = left_padded(prompts, loaded.tokenizer.pad_token_id, loaded.model.device)
    settings = greedy_settings(loaded, max_new_tokens)
    with torch.inference_mode():
        out = loaded.model.generate(
            input_ids=ids,
            attention_mask=mask,
            generation_config=settings,
            stopping_criteria=None if ends is None else [_told_after(ids.shape[1], ends)],
        )
    rows: list[list[int]] = out[:, ids.shape[1] :].tolist()
    return rows


def _told_after(prompt_length: int, ends: Ends) -> Callable[..., Any]:
    """A stopping criterion of transformers, asked after every token; rows that have ended go on as padding."""
    ended: set[int] = set()

    def criterion(ids: Any, scores: Any, **_: Any) -> Any:
        for row, answer in enumerate(ids[:, prompt_length:].tolist()):
            if row not in ended and ends(answer):
                ended.add(row)
        return ids.new_tensor([row in ended for row in range(len(ids))]).bool()

    return criterion


def _answer(loaded: LoadedModel, ids: list[int]) -> Generated:
    """Cuts a row at its first end token: what follows is padding."""
    stops = stop_ids(loaded)
    end = next((position for position, token in enumerate(ids) if token in stops), None)
    kept: Any = ids if end is None else ids[:end]
    text = str(loaded.tokenizer.decode(kept, skip_special_tokens=True))
    return Generated(text, len(ids) if end is None else end + 1, "length" if end is None else "stop")
