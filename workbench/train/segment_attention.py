"""Attention within each of several sequences that stand one after the other in one row, without padding or a mask.

    lengths [3, 5]   ->   queries 0-2 see keys 0-2, queries 3-7 see keys 3-7, each only what is before it

Registered with transformers under `SEGMENTS`. A model that uses it and is given no lengths (in an evaluation, when it
generates) attends as with `sdpa`. Short sequences are multiplied out, since the backward pass of the fused kernel takes
twice as long for them on a CPU; scores are in fp32 either way.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

# torch takes 3 s; this module is imported by `fast_path` alone, inside the run
import torch
from torch.nn import functional
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

SEGMENTS = "workbench_segments"
_SHORT = 192
"""Tokens up to which a sequence is multiplied out on a CPU."""


@lru_cache(maxsize=_SHORT)
def _later(length: int) -> Any:
    """`[length, length]` bool: True where the key is later than the query."""
    return torch.ones(length, length, dtype=torch.bool).triu(1)


class _ShortCausal(torch.autograd.Function):  # type: ignore[misc]  # torch is not followed
    """softmax(q k^T * scale) v of one short sequence, `[batch, heads, length, width]`; nothing later is seen.

    Backward, with P the probabilities and dP = dO v^T: dS = P * (dP - rowsum(P * dP)), dq = dS k, dk = dS^T q,
    dv = P^T dO (Dao et al., "FlashAttention", 2022, appendix B).
    """

    @staticmethod
    def forward(ctx: Any, query: Any, key: Any, value: Any, scale: float) -> Any:
        scores = torch.matmul(query.float(), key.float().transpose(-1, -2)).mul_(scale)
        p = scores.masked_fill_(_later(query.shape[2]), float("-inf")).softmax(-1).to(value.dtype)
        ctx.save_for_backward(query, key, value, p)
        ctx.scale = scale
        return torch.matmul(p, value)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        query, key, value, p = ctx.saved_tensors
        gradient = grad_outputs[0]
        of_p = torch.matmul(gradient, value.transpose(-1, -2)).float()
        exact = p.float()
        of_scores = of_p.sub_((exact * of_p).sum(-1, keepdim=True)).mul_(exact).mul_(ctx.scale).to(query.dtype)
        return (
            torch.matmul(of_scores, key),
            torch.matmul(of_scores.transpose(-1, -2), query),
            torch.matmul(p.transpose(-1, -2), gradient),
            None,
        )


def attend(
    module: Any, query: Any, key: Any, value: Any, attention_mask: Any, dropout: float = 0.0,
    scaling: float | None = None, cu_seq_lens_q: Any = None, **kwargs: Any,
) -> tuple[Any, None]:
    """Attention of `[batch, heads, length, width]` within the segments that `cu_seq_lens_q [segments + 1]` bounds.

    Without it, that of `sdpa`. Keys and values may have fewer heads than queries. Returns `[batch, length, heads,
    width]`, as transformers expects.
    """
    if cu_seq_lens_q is None:
        found: tuple[Any, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
        return found
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    lengths = cu_seq_lens_q.diff().tolist()
    parts = zip(query.split(lengths, 2), key.split(lengths, 2), value.split(lengths, 2), strict=True)
    attended = torch.cat([_within(*part, scale, dropout) for part in parts], dim=2)
    return attended.transpose(1, 2).contiguous(), None


def _within(query: Any, key: Any, value: Any, scale: float, dropout: float) -> Any:
    if dropout == 0.0 and query.shape[2] <= _SHORT and query.device.type == "cpu":
        return _ShortCausal.apply(query, key, value, scale)
    return functional.scaled_dot_product_attention(query, key, value, is_causal=True, scale=scale, dropout_p=dropout)


AttentionInterface.register(SEGMENTS, attend)
AttentionMaskInterface.register(SEGMENTS, sdpa_mask)
