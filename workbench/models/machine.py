"""What a model can be trained on: memory, and how fast matrices are multiplied there.

    named_gpu("24GB")        ->  Machine(device="cuda", memory_bytes=24 GiB, flops=None)       its speed is not known
    named_gpu("rtx-4090")    ->  Machine(device="cuda", memory_bytes=24 GiB, flops=1.652e14)
    this_machine()           ->  the GPU that torch sees, else the CPU with all of its memory
    measured_flops(4096)     ->  2.1e11, of bf16 products of this CPU, in half a second
"""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass

from workbench.core.errors import UsageError
from workbench.models.memory import GIB, Device

_MEASURED_S = 0.4
_ROWS = 1024
_MEMORY = re.compile(r"(\d+(?:\.\d+)?)\s*(g|gb|gib)?", re.IGNORECASE)
_MAX_GIB = 100_000
_NAMED_GPUS: dict[str, tuple[float, float]] = {
    "t4": (14.5, 65e12),
    "rtx-3090": (24, 71e12),
    "rtx-4090": (24, 165.2e12),
    "l4": (22.0, 121e12),
    "a100-40gb": (40, 312e12),
    "a100-80gb": (80, 312e12),
    "h100-80gb": (80, 989.4e12),
}
"""GiB, and dense 16-bit tensor operations per second with fp32 accumulation. The latter from NVIDIA's data sheets (T4,
L4, A100, H100 SXM) and architecture white papers (GA102 for the RTX 3090, Ada for the RTX 4090). Memory, not measured
here: what the card is sold with, but for the T4 (16) and the L4 (24), of which error correction takes a part: there
what PyTorch calls the capacity when memory runs out, as others report it (14.56 to 14.76 and 22.03 to 22.17 GiB)."""
_WITHOUT_BF16 = ("t4", "tesla-t4")
"""Of the named ones: the Turing generation computes in fp16 alone."""


@dataclass(frozen=True, slots=True)
class Machine:
    """One device to train on."""

    name: str
    device: Device
    memory_bytes: int
    flops: float | None = None
    """Peak of 16-bit matrix products per second; None where nobody knows."""
    has_bf16: bool = True
    """Whether it multiplies in bf16. Of a GPU of which only the memory is known, that is taken for granted."""


def named_gpu(typed: str) -> Machine:
    """The GPU that was named, by its memory or its name. Raises UsageError for anything else."""
    if typed.lower() in _NAMED_GPUS:
        gibibytes, flops = _NAMED_GPUS[typed.lower()]
        name = typed.lower()
        return Machine(name, "cuda", round(gibibytes * GIB), flops, name not in _WITHOUT_BF16)
    found = _MEMORY.fullmatch(typed.strip())
    if found is None or not 0 < float(found[1]) <= _MAX_GIB:
        raise UsageError(
            f"{typed!r} is neither an amount of memory nor a GPU that is known here",
            where="--gpu",
            next_step=f"give its memory, such as 24GB, or one of {', '.join(_NAMED_GPUS)}",
        )
    return Machine(f"GPU with {found[1]} GB", "cuda", round(float(found[1]) * GIB))


def this_machine() -> Machine:
    """The first GPU that torch sees; where there is none, the CPU with all the memory there is."""
    # 3 s: torch
    import torch

    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        name = properties.name.lower().replace("nvidia ", "").replace("geforce ", "").replace(" ", "-")
        flops = _NAMED_GPUS.get(name, (0, None))[1]
        has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
        return Machine(name, "cuda", int(properties.total_memory), flops, has_bf16)
    return Machine("this CPU", "cpu", os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def measured_flops(width: int) -> float:
    """bf16 operations per second of this CPU, on products `[1024, width] x [width, width]`; the best of several."""
    import torch

    left = torch.randn(_ROWS, width).to(torch.bfloat16)
    right = torch.randn(width, width).to(torch.bfloat16)
    best = float("inf")
    until = time.perf_counter() + _MEASURED_S
    while time.perf_counter() < until or best == float("inf"):
        began = time.perf_counter()
        left @ right
        best = min(best, time.perf_counter() - began)
    return 2 * _ROWS * width * width / best
