"""Base and adapter answering the same question, in as little memory as is right.

    pair = load_side_by_side(config, "nf4", project, adapter)
    answer(pair, "base", [Message(role="user", content="Capital of Peru?")], 64)    ->  Streamed(text="Lima.", ...)
    answer(pair, "tuned", ...)

One model serves both sides if switching its adapter off gives the logits of the base loaded alone, bit for bit, on a
probe. It does for LoRA; it does not where the base's own weights were changed (PiSSA, trained weights): then both are
loaded.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from workbench.core.config import ModelConfig, Precision
from workbench.core.errors import UsageError
from workbench.core.records import Message
from workbench.models.adapter_files import attached, check_adapter_fits
from workbench.models.chat import prompt_ids, text_ids
from workbench.models.full_weights import is_full
from workbench.models.generate import greedy_settings, stop_ids
from workbench.models.gradient_guard import disable_packed_path
from workbench.models.loading import LoadedModel, load

Side = Literal["base", "tuned"]
_PROBE = "The capital of Peru is Lima. def add(a, b):\n    return a + b\n1, 2, 3"


@dataclass(frozen=True, slots=True)
class SideBySide:
    """Both models in memory, or one that is both."""

    base: LoadedModel
    """Of its own, or the tuned one where that is shared."""
    tuned: LoadedModel
    shared: bool
    """Whether the base is the tuned model with its adapter switched off."""

    @contextmanager
    def speaking(self, side: Side) -> Iterator[LoadedModel]:
        """The model of one side, for as long as it speaks."""
        if side == "base" and self.shared:
            with self.tuned.model.disable_adapter():
                yield self.tuned
        else:
            yield self.base if side == "base" else self.tuned


@dataclass(frozen=True, slots=True)
class Streamed:
    """One answer."""

    text: str
    tokens: int
    seconds: float
    finish_reason: Literal["stop", "length", "cancelled"]


def load_side_by_side(config: ModelConfig, precision: Precision, project: Path, adapter: Path) -> SideBySide:
    """Base and base with `adapter`, both at `precision`; raises as `loading.load`."""
    import torch  # 1 s: a model is about to be loaded

    check_adapter_fits(adapter, config, project)
    base = load(config, precision, project)
    if is_full(adapter):
        return SideBySide(base, load(config, precision, project, adapter), shared=False)
    ids = torch.tensor([text_ids(base.tokenizer, _PROBE)], device=base.model.device)
    alone = _logits(base.model, ids)
    model = attached(base.model, adapter)
    disable_packed_path(model)
    model.eval()
    tuned = LoadedModel(model, base.tokenizer, config, precision, base.fingerprint)
    with model.disable_adapter():
        same = torch.equal(alone, _logits(model, ids))
    return SideBySide(tuned if same else load(config, precision, project), tuned, shared=same)


def _logits(model: Any, ids: Any) -> Any:
    import torch

    with torch.inference_mode():
        return model(input_ids=ids).logits


def answer(
    pair: SideBySide,
    side: Side,
    messages: Sequence[Message],
    max_new_tokens: int,
    on_text: Callable[[str], object] | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Streamed:
    """The greedy answer of one side to a conversation; `on_text` hears the text so far after every token.

    UsageError if the tokenizer has no chat template, or the conversation leaves no room for an answer.
    """
    with pair.speaking(side) as loaded:
        prompt = prompt_ids(loaded.tokenizer, messages, loaded.config.system_prompt)
        longest = getattr(loaded.model.config.get_text_config(), "max_position_embeddings", None)
        if longest is not None and len(prompt) + max_new_tokens > longest:
            raise UsageError(
                f"the conversation has {len(prompt)} tokens; with an answer of {max_new_tokens} it exceeds the model's "
                f"{longest}",
                next_step="begin another conversation, or lower --max-new-tokens",
            )
        return _stream(loaded, prompt, max_new_tokens, on_text, cancelled)


def _stream(
    loaded: LoadedModel,
    prompt: list[int],
    max_new_tokens: int,
    on_text: Callable[[str], object] | None,
    cancelled: Callable[[], bool],
) -> Streamed:
    import torch
    from transformers import StoppingCriteriaList

    began = time.monotonic()
    stops = stop_ids(loaded)
    made: list[int] = []

    def after_token(ids: Any, scores: Any, **_: Any) -> Any:
        made.append(int(ids[0, -1]))
        if on_text is not None and made[-1] not in stops:
            on_text(_decoded(loaded, made))
        return torch.tensor([cancelled()], device=ids.device)

    ids = torch.tensor([prompt], device=loaded.model.device)
    with torch.inference_mode():
        loaded.model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            generation_config=greedy_settings(loaded, max_new_tokens),
            stopping_criteria=StoppingCriteriaList([after_token]),
        )
    ended = bool(made) and made[-1] in stops
    reason: Literal["stop", "length", "cancelled"] = (
        "stop" if ended else "length" if len(made) == max_new_tokens else "cancelled"
    )
    text = _decoded(loaded, made[:-1] if ended else made)
    return Streamed(text, len(made), time.monotonic() - began, reason)


def _decoded(loaded: LoadedModel, ids: list[int]) -> str:
    return str(loaded.tokenizer.decode(ids, skip_special_tokens=True))
