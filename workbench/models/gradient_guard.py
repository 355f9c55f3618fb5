"""Guard against the silent loss of gradients in 4-bit models on a CPU.

On a CPU with AVX-512 BF16, bitsandbytes repacks every 4-bit weight in place at the first forward pass without
gradients, for an inference kernel that has no backward. From then on no gradient flows through the frozen layers, in
training mode too, and nothing says so; the loss of an adapter above them hardly falls. The packed kernel also rounds
differently, so that a model scored packed and one scored unpacked are not comparable.

    load model  ->  disable_packed_path(model)  ->  check_unpacked(model)  ->  gradient_cosine(...) == 1.0
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from workbench.core.errors import IncompleteError

MIN_COSINE = 0.99
"""Below this the gradient after an evaluation is not the gradient before it."""
SEVERED_WARNING = "an autograd kernel was not registered"
"""Part of the one warning torch gives when a backward pass meets the packed kernel."""


def disable_packed_path(model: Any) -> int:
    """Keeps every 4-bit layer of `model` from being repacked; returns their number. Call it right after loading."""
    layers = list(four_bit_layers(model))
    for layer in layers:
        layer.support_avx512bf16_for_cpu = False
    return len(layers)


def check_unpacked(model: Any) -> None:
    """Raises IncompleteError if a 4-bit layer is packed already, or may still be."""
    for layer in four_bit_layers(model):
        packed = getattr(layer.weight.quant_state, "packing_format_for_cpu", False)
        if packed or layer.support_avx512bf16_for_cpu:
            raise IncompleteError(
                "4-bit weights are packed for inference, which cuts every gradient through them",
                where="model",
                next_step="load the model again; nothing may be evaluated before the guard is set",
            )


def gradient_cosine(loss: Callable[[], Any], evaluate: Callable[[], object], parameters: list[Any]) -> float:
    """Cosine between the gradient of `loss()` before and after `evaluate()`: 1 unless the evaluation severed it.

    `loss` gives a scalar tensor over `parameters` and must be repeatable (same data, same random state). Gradients are
    cleared afterwards. A severed graph (no gradient at all) gives 0.
    """
    before = _gradient(loss, parameters)
    evaluate()
    after = _gradient(loss, parameters)
    # fp64: the squares of some million small numbers are summed
    before, after = before.double(), after.double()
    norms = float(before.norm() * after.norm())
    return float(before @ after) / norms if norms > 0 else 0.0


def require_gradient(cosine: float) -> None:
    """Raises IncompleteError if the self-check found the gradient changed by an evaluation."""
    if not cosine >= MIN_COSINE:
        raise IncompleteError(
            f"gradient self-check failed: cosine {cosine:.3f} between the gradients before and after an evaluation, "
            f"expected at least {MIN_COSINE}; training would not learn",
            where="train",
            next_step="train with method lora on a bf16 base, or install the locked version of bitsandbytes",
        )


@contextmanager
def severed_gradients_are_errors() -> Iterator[None]:
    """Within the block, torch's warning about a missing backward raises IncompleteError instead of scrolling by."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=f".*{SEVERED_WARNING}.*")
        try:
            yield
        except UserWarning as warning:
            if SEVERED_WARNING not in str(warning):
                raise
            raise IncompleteError(
                f"a layer passes no gradient back: {warning}",
                where="train",
                next_step="train with method lora on a bf16 base, or install the locked version of bitsandbytes",
            ) from warning


def four_bit_layers(model: Any) -> Iterator[Any]:
    """Every linear layer of `model` whose weight is in four bits."""
    # 3 s with torch: only callers that hold a model get here
    from bitsandbytes.nn import Linear4bit

    return (module for module in model.modules() if isinstance(module, Linear4bit))


def _gradient(loss: Callable[[], Any], parameters: list[Any]) -> Any:
    import torch

    gradients = torch.autograd.grad(loss(), parameters, allow_unused=True)
    return torch.cat(
        [
            torch.zeros(parameter.numel()) if gradient is None else gradient.detach().reshape(-1).float().cpu()
            for parameter, gradient in zip(parameters, gradients, strict=True)
        ]
    )
