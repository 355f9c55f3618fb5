"""Frozen matrices with LoRA on them, multiplied in one go: x [rows, in] -> x W^T + s (x A^T) B^T [rows, out].

    products([q_proj, k_proj, v_proj], x)   ->   their outputs side by side, [..., 576 + 192 + 192]

PEFT and autocast between them copy x to fp32 and back for each adapter, clone the output, and keep all of it for the
backward pass. Here x, x A^T and dropout's masks alone are kept, and every product adds to the one before. NF4 weights
are dequantised in both passes and never kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

# torch takes 3 s; this module is imported by `fused_layers` alone, inside the run
import torch
from bitsandbytes.functional import dequantize_4bit
from bitsandbytes.nn import Linear4bit
from peft.tuners.lora import Linear as LoraLinear
from peft.tuners.lora import Linear4bit as LoraLinear4bit


class _Products(torch.autograd.Function):
    """y_i = x W_i^T + h_i B_i^T side by side, with h_i = (x m_i) A_i^T, dropout's mask m_i, and all scales in B_i.

    Backward, with g_i = dy_i B_i: dx = sum of dy_i W_i + (g_i A_i) m_i, dA_i = g_i^T (x m_i), dB_i = s dy_i^T h_i.
    """

    @staticmethod
    def forward(ctx: Any, x: Any, layers: Sequence[Any], *adapters: Any) -> Any:
        rows = x.reshape(-1, x.shape[-1])
        ctx.layers, ctx.shape, ctx.widths = layers, x.shape, [len(up) for up in adapters[1::2]]
        out = torch.empty(len(rows), sum(ctx.widths), dtype=x.dtype, device=x.device)
        kept: list[Any] = []
        for layer, exact_down, exact_up, y in zip(
            layers, adapters[0::2], adapters[1::2], out.split(ctx.widths, 1), strict=True
        ):
            base, mask = layer.get_base_layer(), _mask(layer, rows)
            down, up = exact_down.to(x.dtype), (exact_up * _scale(layer)).to(x.dtype)
            inner = _masked(rows, mask) @ down.T
            torch.mm(rows, _frozen(base, x.dtype).T, out=y)
            y.addmm_(inner, up.T)
            if base.bias is not None:
                y.add_(base.bias.detach())
            kept += [down, up, inner, mask]
        ctx.save_for_backward(rows, *kept)
        ctx.exact = adapters[0].dtype
        return out.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        rows, *kept = ctx.saved_tensors
        of_x = torch.zeros_like(rows) if ctx.needs_input_grad[0] else None
        of_adapters = []
        for place, of_y in enumerate(grad_outputs[0].reshape(len(rows), -1).split(ctx.widths, 1)):
            layer, (down, up, inner, mask) = ctx.layers[place], kept[4 * place : 4 * place + 4]
            of_inner = of_y @ up
            of_down = (of_inner.T @ _masked(rows, mask)).to(ctx.exact)
            of_adapters += [of_down, (of_y.T @ inner).to(ctx.exact) * _scale(layer)]
            if of_x is None:
                continue
            of_x.addmm_(of_y, _frozen(layer.get_base_layer(), rows.dtype))
            if mask is None:
                of_x.addmm_(of_inner, down)
            else:
                of_x += _masked(of_inner @ down, mask)
        return None if of_x is None else of_x.view(ctx.shape), None, *of_adapters


def _mask(layer: Any, rows: Any) -> Any:
    """What dropout keeps, as bool; None without dropout. Its scale is in `_scale`."""
    share = _dropout(layer)
    return torch.empty_like(rows, dtype=torch.bool).bernoulli_(1 - share) if share else None


def _masked(rows: Any, mask: Any) -> Any:
    return rows if mask is None else rows * mask


def products(layers: Sequence[Any], x: Any) -> Any:
    """Outputs `[..., sum of out]` of layers that all are `ready` and read the same `x [..., in]`, side by side."""
    adapters = []
    for layer in layers:
        name = layer.active_adapters[0]
        adapters += [layer.lora_A[name].weight, layer.lora_B[name].weight]
    return _Products.apply(x.to(_arithmetic(x)), layers, *adapters)


def is_plain_lora(layer: Any) -> bool:
    """Whether a layer is LoRA as published on a frozen linear layer: no DoRA, no trained bias."""
    if type(layer) not in (LoraLinear, LoraLinear4bit) or len(layer.lora_A) != 1:
        return False
    base = layer.get_base_layer()
    (name,) = layer.lora_A
    return (
        type(base) in (torch.nn.Linear, Linear4bit)
        and not layer.lora_variant
        and not layer.fan_in_fan_out
        and layer.lora_A[name].bias is None
        and layer.lora_B[name].bias is None
        and isinstance(layer.lora_dropout[name], torch.nn.Identity | torch.nn.Dropout)
        and not any(parameter.requires_grad for parameter in base.parameters())
    )


def ready(layer: Any, x: Any) -> bool:
    """Whether a layer that `is_plain_lora` is to be multiplied as such now: its adapter is on, in the usual dtypes."""
    name = layer.active_adapters[0] if len(layer.active_adapters) == 1 else None
    base = layer.get_base_layer()
    dtype = _arithmetic(x)
    return (
        name in layer.lora_A
        and not layer.disable_adapters
        and not layer.merged
        and layer.lora_A[name].weight.requires_grad
        # Without autocast PEFT multiplies an adapter in its own precision.
        and (torch.is_autocast_enabled(x.device.type) or dtype == layer.lora_A[name].weight.dtype)
        and (type(base) is torch.nn.Linear or base.compute_dtype in (None, dtype))
    )


def _arithmetic(x: Any) -> Any:
    """The dtype that a product of `x` is taken in."""
    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype


def _scale(layer: Any) -> float:
    """What the adapter's product is multiplied by, dropout's compensation included."""
    return float(layer.scaling[layer.active_adapters[0]]) / (1 - _dropout(layer))


def _dropout(layer: Any) -> float:
    module = layer.lora_dropout[layer.active_adapters[0]]
    return float(module.p) if module.training and isinstance(module, torch.nn.Dropout) else 0.0


def _frozen(base: Any, dtype: Any) -> Any:
    """The frozen matrix `[out, in]` of a linear layer."""
    if isinstance(base, Linear4bit):
        return dequantize_4bit(base.weight.data, base.weight.quant_state).to(dtype)
    return base.weight.detach().to(dtype)
