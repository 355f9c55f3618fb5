"""Greedy decoding in which a finished row leaves the batch and a shared beginning is read once.

    greedy_ids(model, [prompt, prompt], max_new_tokens=48, ends=lambda ids: ids[-1] == 2)  ->  [[260, 2], [88, 91, 2]]

Keys and values lie in buffers with room for further tokens: growing them token by token would copy all of them at every
step. Only for models of which `shared_prefix.unsupported` says None.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from workbench.models import heads
from workbench.models.choice_tree import shared_length
from workbench.models.shared_prefix import Prefix

_LEAST_PREFIX = 16
"""Tokens that all prompts must share before they are read apart."""
_ROOM = 64
"""Positions by which a full buffer grows."""

Ends = Callable[[list[int]], bool]
"""Whether an answer is finished, by its tokens so far."""


def shared_prefix(prompts: Sequence[list[int]]) -> list[int]:
    """What all prompts begin with, their last tokens left out; empty where it is not worth it."""
    if len(prompts) < 2:
        return []
    length = min(shared_length(prompts[0][:-1], prompt[:-1]) for prompt in prompts)
    return prompts[0][:length] if length >= _LEAST_PREFIX else []


def greedy_ids(
    model: Any, prompts: Sequence[list[int]], max_new_tokens: int, ends: Ends, prefix: Prefix | None = None
) -> list[list[int]]:
    """The tokens with the highest logits, one after another, until `ends` or the limit; the last token is kept.

    `prefix` is what all `prompts` begin with; it may be the same for many batches and is read by the first.
    """
    import torch

    prefix = prefix or Prefix(model, [])
    answers: list[list[int]] = [[] for _ in prompts]
    with torch.inference_mode():
        state = _State(model, prefix, [prompt[len(prefix.ids) :] for prompt in prompts])
        alive = list(range(len(prompts)))
        for step in range(max_new_tokens):
            chosen = state.choose()
            for place, token in zip(alive, chosen.tolist(), strict=True):
                answers[place].append(token)
            going = [row for row, place in enumerate(alive) if not ends(answers[place])]
            if not going or step + 1 == max_new_tokens:
                break
            if len(going) < len(alive):
                chosen = state.keep(going, chosen)
                alive = [alive[row] for row in going]
            state.read(chosen)
    return answers


class _State:
    """What the model has read: keys and values, where rows have padding, and the last hidden states."""

    def __init__(self, model: Any, prefix: Prefix, prompts: Sequence[list[int]]) -> None:
        import torch

        self._model = model
        device = model.device
        longest = max(map(len, prompts))
        before = len(prefix.ids)
        ids = torch.zeros((len(prompts), longest), dtype=torch.long)
        mask = torch.ones((len(prompts), before + longest), dtype=torch.long)
        for row, prompt in enumerate(prompts):
            ids[row, longest - len(prompt) :] = torch.tensor(prompt)
            mask[row, before : before + longest - len(prompt)] = 0
        self._cache = _buffers()
        for layer, (keys, values) in enumerate(prefix.keys_and_values()):  # copied: every row goes on in its own buffer
            rows = len(prompts)
            self._cache.update(keys.expand(rows, -1, -1, -1), values.expand(rows, -1, -1, -1), layer)
        self._mask = mask.to(device)
        positions = (self._mask.cumsum(-1) - 1).clamp(min=0)[:, before:]
        self._next = positions[:, -1:] + 1
        self._last = self._hidden(ids.to(device), positions)

    def choose(self) -> Any:
        """The token with the highest logit, for every row."""
        weight = heads.head_weight(self._model)
        return (self._last.to(weight.dtype) @ weight.T).float().argmax(-1)

    def read(self, tokens: Any) -> None:
        """Reads one more token in every row."""
        import torch

        self._mask = torch.cat([self._mask, self._mask.new_ones((len(tokens), 1))], dim=1)
        self._last = self._hidden(tokens[:, None], self._next)
        self._next = self._next + 1

    def keep(self, rows: list[int], tokens: Any) -> Any:
        """Drops every other row; gives the `tokens` of those kept."""
        import torch

        chosen = torch.tensor(rows, device=tokens.device)
        self._cache.batch_select_indices(chosen)
        self._mask, self._next = self._mask[chosen], self._next[chosen]
        return tokens[chosen]

    def _hidden(self, ids: Any, positions: Any) -> Any:
        """Hidden states `[rows, hidden]` of the last tokens."""
        return heads.hidden_states(
            self._model,
            ids,
            attention_mask=self._mask,
            position_ids=positions,
            past_key_values=self._cache,
            use_cache=True,
        )[:, -1]


def _buffers() -> Any:
    """An empty cache whose layers keep room for further tokens."""
    import torch
    from transformers.cache_utils import Cache, DynamicLayer

    class _BufferLayer(DynamicLayer):
        """`keys` and `values` are views of the filled part of larger tensors."""

        keys: Any
        values: Any
        whole: tuple[Any, Any] | None = None

        def update(self, key_states: Any, value_states: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
            if not self.is_initialized:
                self.lazy_initialization(key_states, value_states)
            filled = self.get_seq_length()
            end = filled + key_states.shape[-2]
            if self.whole is None or self.whole[0].shape[-2] < end:
                self.whole = (self._larger(self.keys, key_states, end), self._larger(self.values, value_states, end))
            keys, values = self.whole
            keys[:, :, filled:end] = key_states
            values[:, :, filled:end] = value_states
            self.keys, self.values = keys[:, :, :end], values[:, :, :end]
            return self.keys, self.values

        def batch_select_indices(self, indices: Any) -> None:
            if self.whole is not None:
                filled = self.get_seq_length()
                keys, values = self.whole = (self.whole[0][indices], self.whole[1][indices])
                self.keys, self.values = keys[:, :, :filled], values[:, :, :filled]

        @staticmethod
        def _larger(old: Any, new: Any, end: int) -> Any:
            rows, key_heads, _, width = new.shape
            larger = torch.empty((rows, key_heads, end + _ROOM, width), dtype=new.dtype, device=new.device)
            if old.numel():
                larger[:, :, : old.shape[-2]] = old
            return larger

    return Cache(layer_class_to_replicate=_BufferLayer)
