"""Rows that are read one after the other as a single row, each attending to its own tree, so that none is padded.

    rows of 3 and 5 nodes after a prefix of 40  ->  queries 0-2 see keys 0-39 and 40-42, queries 3-7 see 0-39 and 43-47

In a row without branches a node sees what is before it; in a row with branches what stands above it in its tree and
itself, by a mask of the row's own. Registered with transformers under `TREES`; a model that uses it and is given no
spans attends as with `sdpa`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

# torch takes 3 s; this module is imported by `tree_likelihood` alone, when a model reads
import torch
from torch.nn import functional
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from workbench.models import heads
from workbench.models.choice_tree import Row
from workbench.models.shared_prefix import Prefix

TREES = "workbench_trees"
_ONE_MASK = (1, 1, 1, 1)
"""Shape of a mask that transformers passes on as it is, so that none is made for the whole row."""


@dataclass(frozen=True, slots=True)
class Span:
    """One row among those that are read together."""

    start: int
    end: int
    mask: Any
    """Added to the scores, `[end - start, prefix + end - start]`; None where plain causality says it."""


def spans(rows: Sequence[Row], before: int, dtype: Any, device: Any) -> list[Span]:
    """Where each row stands and what it sees after a prefix of `before` tokens."""
    found = []
    start = 0
    for row in rows:
        end = start + len(row.tokens)
        plain = len(row.branches) == 1 and not before
        found.append(Span(start, end, None if plain else _additive(_seen(row, before), dtype).to(device)))
        start = end
    return found


def _seen(row: Row, before: int) -> Any:
    """What each node sees, bool `[nodes, before + nodes]`."""
    length = len(row.tokens)
    seen = torch.ones((length, before + length), dtype=torch.bool)
    own = seen[:, before:]
    own.fill_(False)
    causal = torch.ones((length, length), dtype=torch.bool).tril()
    for above, start, end in row.branches:
        own[start:end, torch.tensor(above, dtype=torch.long)] = True
        own[start:end, start:end] = causal[: end - start, : end - start]
    return seen


def _additive(mask: Any, dtype: Any) -> Any:
    """0 where a node is seen, -inf elsewhere; every node sees itself."""
    return torch.zeros(mask.shape, dtype=dtype).masked_fill_(~mask, float("-inf"))


def hidden_states(model: Any, rows: Sequence[Row], prefix: Prefix) -> Any:
    """Last hidden states `[nodes of all rows, hidden]` after the prefix; to be called within `attending`."""
    device, before = model.device, len(prefix.ids)
    cache = prefix.one_row()
    ids = torch.tensor([[token for row in rows for token in row.tokens]], device=device)
    positions = torch.tensor([[before + depth for row in rows for depth in row.depths]], device=device)
    inputs = {} if cache is None else {"past_key_values": cache, "use_cache": True}
    return heads.hidden_states(
        model,
        ids,
        position_ids=positions,
        attention_mask=torch.ones(_ONE_MASK, device=device),
        tree_spans=spans(rows, before, model.dtype, device),
        **inputs,
    )[0]


@contextmanager
def attending(model: Any) -> Iterator[None]:
    """Within the block `model` attends by spans; afterwards as before."""
    bare = heads.bare(model)
    own = bare.config.get_text_config()._attn_implementation
    bare.set_attn_implementation(TREES)
    try:
        yield
    finally:
        bare.set_attn_implementation(own)


def attend(
    module: Any, query: Any, key: Any, value: Any, attention_mask: Any, dropout: float = 0.0,
    scaling: float | None = None, tree_spans: Sequence[Span] | None = None, **kwargs: Any,
) -> tuple[Any, None]:  # fmt: skip
    """Attention of `[1, heads, nodes, width]`, each span by itself; keys and values begin with the prefix and may have
    fewer heads, values another width. Returns `[1, nodes, heads, width of values]`, as transformers expects."""
    if tree_spans is None:
        found: tuple[Any, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
        return found
    before = key.shape[2] - query.shape[2]
    grouped = key.shape[1] != query.shape[1]
    rows, own_heads, nodes, _ = query.shape
    out = query.new_empty((rows, nodes, own_heads, value.shape[3]))
    for span in tree_spans:
        keys, values = (_part(one, before, span) for one in (key, value))
        own = functional.scaled_dot_product_attention(
            query[:, :, span.start : span.end], keys, values, attn_mask=span.mask, is_causal=span.mask is None,
            scale=scaling, enable_gqa=grouped,
        )  # fmt: skip
        out[:, span.start : span.end] = own.transpose(1, 2)
    return out, None


def _part(whole: Any, before: int, span: Span) -> Any:
    """Keys or values that a span may see: the prefix's and its own."""
    own = whole[:, :, before + span.start : before + span.end]
    return torch.cat([whole[:, :, :before], own], 2) if before else own


AttentionInterface.register(TREES, attend)
AttentionMaskInterface.register(TREES, sdpa_mask)
