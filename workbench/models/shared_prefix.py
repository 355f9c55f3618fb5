"""Keys and values of a prefix computed once and used by many rows, for models whose attention is plain.

    prefix = prefix_cache(model, ids of the few-shot examples)
    model(rows, past_key_values=expanded(prefix, 12), ...)      12 rows, each after the examples
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
    if getattr(settings, "_attn_implementation", None) not in ("sdpa", "eager"):
        return "its attention takes no mask of its own"
    kinds = set(getattr(settings, "layer_types", None) or ["full_attention"])
    if getattr(bare, "_is_stateful", False) or kinds - {"full_attention", "sliding_attention"}:
        return "it carries a state from token to token"
    if any(getattr(settings, name, None) is not None for name in _STATES):
        return "it carries a state from token to token"
    window = getattr(settings, "sliding_window", None)
    layered = getattr(settings, "layer_types", None) is not None
    if (layered and "sliding_attention" not in kinds) or not getattr(settings, "use_sliding_window", True):
        window = None
    if window is not None and longest > window:
        return f"its attention looks back {window} tokens at most"
    return None


def prefix_cache(model: Any, ids: list[int]) -> Any:
    """Keys and values of `ids`, as a cache of one row."""
    import torch
    from transformers import DynamicCache

    cache = DynamicCache()
    heads.hidden_states(model, torch.tensor([ids], device=model.device), past_key_values=cache, use_cache=True)
    return cache


def expanded(prefix: Any, rows: int) -> Any:
    """A cache of its own for `rows` rows after the prefix, which itself is neither copied nor changed."""
    from transformers import DynamicCache

    cache = DynamicCache()
    for number, layer in enumerate(prefix.layers):
        cache.update(layer.keys[:0], layer.values[:0], number)
        own = cache.layers[number]
        own.keys, own.values = layer.keys.expand(rows, -1, -1, -1), layer.values.expand(rows, -1, -1, -1)
    return cache
