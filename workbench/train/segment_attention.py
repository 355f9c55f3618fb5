"""Attention within each of several sequences that stand one after the other in one row, without padding or a mask.

    lengths [3, 5]   ->   queries 0-2 see keys 0-2, queries 3-7 see keys 3-7, each only what is before it

Registered with transformers under `SEGMENTS`. A model that uses it and is given no lengths (in an evaluation, when it
generates) attends as with `sdpa`. Short sequences are multiplied out, since the backward pass of the fused kernel takes
many times as long for them on a CPU; scores are in fp32 either way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import accumulate, groupby
from typing import Any

# torch takes 3 s; this module is imported by `fast_path` alone, inside the run
import torch
from torch.nn import functional
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

SEGMENTS = "workbench_segments"
_SHORT = 384
"""Tokens up to which a sequence is multiplied out on a CPU; its probabilities are kept for the backward pass."""


@lru_cache(maxsize=32)
def _later(length: int, times: int) -> Any:
    """`[times * length, length]` fp32, to be added to scores: -inf where the key is later than the query."""
    return torch.full((length, length), float("-inf")).triu(1).repeat(times, 1)


class _ShortCausal(torch.autograd.Function):
    """softmax(q k^T * scale) v of short sequences one after the other; nothing later is seen.

    `query` is `[heads, length, width]`, keys and values may have fewer heads, each for as many queries; the output is
    `[length, heads, width]`. Backward, with P the probabilities and dP = dO v^T: dS = P * (dP - rowsum(dO * O)),
    dq = dS k, dk = dS^T q, dv = P^T dO (Dao et al., "FlashAttention", 2022, appendix B). Queries that share a key stand
    below one another, so that the sums over them are part of the products.
    """

    @staticmethod
    def forward(ctx: Any, query: Any, key: Any, value: Any, scale: float, lengths: Sequence[int]) -> Any:
        shared, times = len(key), len(query) // len(key)
        out = torch.empty(query.transpose(0, 1).shape, dtype=query.dtype, device=query.device)
        probabilities = []
        for start, length in zip(accumulate(lengths, initial=0), lengths, strict=False):
            q, k, v = (_part(one, start, length, shared) for one in (query, key, value))
            scores = torch.baddbmm(_later(length, times), q.float(), k.float().transpose(1, 2), alpha=scale)
            p = scores.softmax(-1).to(value.dtype)
            heads = torch.bmm(p, v).view(len(query), length, -1)
            out[start : start + length] = heads.transpose(0, 1)
            probabilities.append(p)
        ctx.save_for_backward(query, key, value, out, *probabilities)
        ctx.scale, ctx.lengths = scale, lengths
        return out

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        query, key, value, out, *probabilities = ctx.saved_tensors
        shared = len(key)
        gradient = grad_outputs[0].transpose(0, 1).contiguous()
        of_query, of_key, of_value = torch.empty_like(query), torch.empty_like(key), torch.empty_like(value)
        in_all = (gradient.float() * out.transpose(0, 1)).sum(-1, keepdim=True)
        starts = accumulate(ctx.lengths, initial=0)
        for start, length, p in zip(starts, ctx.lengths, probabilities, strict=False):
            q, k, v = (_part(one, start, length, shared) for one in (query, key, value))
            of_out, total = _part(gradient, start, length, shared), _part(in_all, start, length, shared)
            of_scores = torch.bmm(of_out, v.transpose(1, 2)).float().sub_(total).mul_(p).mul_(ctx.scale).to(p.dtype)
            within = slice(start, start + length)
            of_query[:, within] = torch.bmm(of_scores, k).view(len(query), length, -1)
            of_key[:, within] = torch.bmm(of_scores.transpose(1, 2), q)
            of_value[:, within] = torch.bmm(p.transpose(1, 2), of_out)
        return of_query, of_key, of_value, None, None


def _part(heads: Any, start: int, length: int, shared: int) -> Any:
    """One sequence of `[heads, length, width]` as `[shared, heads / shared * length, width]`."""
    return heads[:, start : start + length].reshape(shared, -1, heads.shape[-1])


def attend(
    module: Any, query: Any, key: Any, value: Any, attention_mask: Any, dropout: float = 0.0,
    scaling: float | None = None, cu_seq_lens_q: Any = None, **kwargs: Any,
) -> tuple[Any, None]:
    """Attention of `[batch, heads, length, width]` within the segments that `cu_seq_lens_q [segments + 1]` bounds.

    Without it, that of `sdpa`; with it, the batch is one row. Keys and values may have fewer heads than queries.
    Returns `[batch, length, heads, width]`, as transformers expects.
    """
    if cu_seq_lens_q is None:
        found: tuple[Any, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
        return found
    assert len(query) == 1, f"segments of {len(query)} rows"
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    runs = list(_runs(cu_seq_lens_q.diff().tolist(), dropout == 0.0 and query.device.type == "cpu"))
    heads = [one.squeeze(0).split([sum(lengths) for _, lengths in runs], 1) for one in (query, key, value)]
    parts = [
        _ShortCausal.apply(q, k, v, scale, lengths) if short else _long(q, k, v, scale, dropout)
        for (short, lengths), q, k, v in zip(runs, *heads, strict=True)
    ]
    return (parts[0] if len(parts) == 1 else torch.cat(parts))[None], None


def _runs(lengths: list[int], multiply: bool) -> Iterator[tuple[bool, list[int]]]:
    """Sequences as they stand: runs of short ones together (with True), each other one by itself."""
    for short, same in groupby(lengths, lambda length: multiply and length <= _SHORT):
        run = list(same)
        yield from [(True, run)] if short else [(False, [length]) for length in run]


def _long(query: Any, key: Any, value: Any, scale: float, dropout: float) -> Any:
    """Causal attention of one sequence, `[heads, length, width]` to `[length, heads, width]`."""
    heads = functional.scaled_dot_product_attention(
        query[None], key[None], value[None], is_causal=True, scale=scale, dropout_p=dropout,
        enable_gqa=len(query) != len(key),
    )  # fmt: skip
    return heads[0].transpose(0, 1)


AttentionInterface.register(SEGMENTS, attend)
AttentionMaskInterface.register(SEGMENTS, sdpa_mask)
