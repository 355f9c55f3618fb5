"""What happens to hidden states between matrices, in few passes over them: normalisation, gating, rotation.

    rms_norm(x, weight, eps)      x [..., width]                    -> x / sqrt(mean(x^2) + eps) * weight
    gated(both)                   both [..., 2 * width]             -> silu(first half) * second half
    rotated(joint, cos, sin, 12)  joint [length, heads * width]     -> [heads, length, width], 12 of the heads rotated

On a CPU each pass over the hidden states costs as much as a small matrix product, and autograd makes three to ten of
them where one will do, most of them copies to fp32 and back. Sums are in fp32 as in transformers.
"""

from __future__ import annotations

from typing import Any

# torch takes 3 s; this module is imported by `fused_layers` alone
import torch
from torch.nn import functional

_ROWS_AT_ONCE = 64


class _RmsNorm(torch.autograd.Function):
    """With r = 1 / sqrt(mean(x^2) + eps): y = x r w; dx = r (dy w) - x r^3 mean(x dy w) (Zhang, Sennrich 2019)."""

    @staticmethod
    def forward(ctx: Any, x: Any, weight: Any, eps: float) -> Any:
        size = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
        scale = size.square_().div_(x.shape[-1]).add_(eps).rsqrt_()
        ctx.save_for_backward(x, weight, scale)
        return (x * scale).to(x.dtype).mul_(weight)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        x, weight, scale = ctx.saved_tensors
        gradient = grad_outputs[0].to(torch.float32, copy=True).mul_(weight)
        exact = x.float()
        share = (gradient * exact).sum(-1, keepdim=True).mul_(scale.pow(3)).div_(-x.shape[-1])
        return gradient.mul_(scale).addcmul_(exact, share).to(x.dtype), None, None


def rms_norm(x: Any, weight: Any, eps: float) -> Any:
    """Root-mean-square normalisation of the last dimension by a frozen `weight`."""
    return _RmsNorm.apply(x, weight, eps)


class _Gated(torch.autograd.Function):
    """silu(a) b; backward: da = silu'(a) b dy, db = silu(a) dy. Some rows at a time, which the cache holds."""

    @staticmethod
    def forward(ctx: Any, both: Any) -> Any:
        ctx.save_for_backward(both)
        out = torch.empty_like(both.chunk(2, -1)[0], memory_format=torch.contiguous_format)
        for some, to in zip(_some_rows(both), _some_rows(out), strict=True):
            gate, up = some.chunk(2, -1)
            torch.mul(functional.silu(gate), up, out=to)
        return out

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        (both,) = ctx.saved_tensors
        of_both = torch.empty_like(both)
        for some, of_some, given in zip(*map(_some_rows, (both, of_both, grad_outputs[0])), strict=True):
            gate, up = some.chunk(2, -1)
            of_gate, of_up = of_some.chunk(2, -1)
            torch.mul(given, functional.silu(gate), out=of_up)
            torch.ops.aten.silu_backward.grad_input(given * up, gate, grad_input=of_gate)
        return of_both


def _some_rows(rows: Any) -> Any:
    return rows.reshape(-1, rows.shape[-1]).split(_ROWS_AT_ONCE)


def gated(both: Any) -> Any:
    """SwiGLU's inner part: `silu(gate) * up` of `[..., gate and up side by side]`."""
    return _Gated.apply(both)


class _Rotated(torch.autograd.Function):
    """With halves a, b of each head: (a cos - b sin, b cos + a sin). Backward is the rotation the other way."""

    @staticmethod
    def forward(ctx: Any, joint: Any, cos: Any, sin: Any, turned: int) -> Any:
        heads = joint.view(len(joint), -1, cos.shape[-1]).transpose(0, 1)
        ctx.save_for_backward(cos, sin)
        ctx.turned = turned
        out = torch.empty(heads.shape, dtype=joint.dtype, device=joint.device)
        _turn(heads[:turned], cos, sin, out[:turned])
        out[turned:] = heads[turned:]
        return out

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        cos, sin = ctx.saved_tensors
        given = grad_outputs[0].transpose(0, 1)
        out = torch.empty(given.shape, dtype=given.dtype, device=given.device)
        half = sin.shape[-1] // 2
        # The sine that went into one half comes back from the other.
        back = torch.cat([sin[..., half:], sin[..., :half]], -1).neg_()[:, None]
        _turn(given[:, : ctx.turned], cos[:, None], back, out[:, : ctx.turned])
        out[:, ctx.turned :] = given[:, ctx.turned :]
        return out.view(len(out), -1), None, None, None


def _turn(heads: Any, cos: Any, sin: Any, out: Any) -> None:
    half = heads.shape[-1] // 2
    torch.mul(heads, cos, out=out)
    out[..., :half].addcmul_(heads[..., half:], sin[..., :half], value=-1)
    out[..., half:].addcmul_(heads[..., :half], sin[..., half:])


def rotated(joint: Any, cos: Any, sin: Any, turned: int) -> Any:
    """Rotary positions (Su et al. 2021) on the first `turned` heads of `joint [length, heads * width]`.

    `cos` and `sin` are `[length, width]` in the dtype of `joint`. Gives `[heads, length, width]`.
    """
    return _Rotated.apply(joint, cos, sin, turned)
