"""Keys and values of a prefix computed once and used by many rows, for models whose attention is plain.

    prefix = Prefix(model, ids of the few-shot examples)
    model(row, past_key_values=prefix.one_row(), ...)      a row after the examples, as often as needed
"""

from __future__ import annotations

import inspect
from typing import Any

from workbench.models import heads

_STATES = ("ssm_cfg", "mamba_d_state", "state_size", "linear_conv_kernel_dim", "conv_kernel", "time_step_rank")
"""Settings of models that carry a state from token to token: it cannot be branched."""


def unsupported(model: Any, longest: int) -> str | None:
    """Why rows of up to `longest` tokens cannot branch or share a prefix exactly in `model`; None where they can."""
    if not heads.separable(model):
        return "its logits are not its hidden states times a matrix"
    bare = heads.bare(model)
    settings = bare.config.get_text_config()
    parameters = inspect.signature(bare.base_model.forward).parameters
    if not {"position_ids", "past_key_values", "attention_mask"} <= set(parameters):
        return "it takes no positions or no cache"
    replaceable = getattr(bare, "_supports_attention_backend", False)
    if not replaceable or settings._attn_implementation not in ("sdpa", "eager"):
        return "its attention cannot be replaced by one of rows side by side"
    if getattr(settings, "attn_logit_softcapping", None):
        return "its attention scores are capped"
    if any(name.endswith(".sinks") for name, _ in bare.named_parameters()):
        return "its attention has sinks"
    kinds = set(getattr(settings, "layer_types", None) or ["full_attention"])
    if getattr(bare, "_is_stateful", False) or kinds - {"full_attention", "sliding_attention"}:
        return "it carries a state from token to token"
    if any(getattr(settings, name, None) is not None for name in _STATES):
        return "it carries a state from token to token"
    if rescales_positions(settings, longest):
        return "its position embeddings change with the length of the row"
    window = getattr(settings, "sliding_window", None)
    layered = getattr(settings, "layer_types", None) is not None
    if (layered and "sliding_attention" not in kinds) or not getattr(settings, "use_sliding_window", True):
        window = None
    if window is not None and longest > window:
        return f"its attention looks back {window} tokens at most"
    return None


def rescales_positions(settings: Any, longest: int) -> bool:
    """Whether a row of `longest` tokens is beyond the length after which RoPE of this kind turns all positions anew."""
    ropes = getattr(settings, "rope_parameters", None) or {}
    for rope in (ropes, *ropes.values()):  # one for all layers, or one by kind of layer
        if isinstance(rope, dict) and rope.get("rope_type") in ("dynamic", "longrope"):
            lengths = rope.get("original_max_position_embeddings"), getattr(settings, "max_position_embeddings", None)
            if longest > min((length for length in lengths if length is not None), default=0):
                return True
    return False


class Prefix:
    """What rows begin with, read once, when the first of them needs it."""

    def __init__(self, model: Any, ids: list[int]) -> None:
        self.ids = ids
        """May be empty: then there is nothing to read."""
        self._model = model
        self._cache: Any = None

    def keys_and_values(self) -> list[tuple[Any, Any]]:
        """Of every layer, `[1, heads, ids, width]`; of none where there is no prefix."""
        import torch
        from transformers import DynamicCache

        if not self.ids:
            return []
        if self._cache is None:
            self._cache = DynamicCache()
            ids = torch.tensor([self.ids], device=self._model.device)
            with torch.inference_mode():
                heads.hidden_states(self._model, ids, past_key_values=self._cache, use_cache=True)
        return [(layer.keys, layer.values) for layer in self._cache.layers]

    def one_row(self) -> Any:
        """A cache of its own for one row after the prefix, which itself is not changed; None where there is none."""
        from transformers import DynamicCache

        if not self.ids:
            return None
        cache = DynamicCache()
        for number, (keys, values) in enumerate(self.keys_and_values()):
            cache.update(keys, values, number)
        return cache
