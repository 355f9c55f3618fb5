"""What training on answers uses on a GPU: TRL's own loss, and FlashAttention 2 and Liger where they are installed.

    on a CPU    the fast path of `workbench.train.fast_path`, which needs none of this
    on a GPU    padded batches of similar length, TRL's fused loss over learned positions, and the kernels found here

TRL's loss on a GPU reads learned positions alone already; the CPU's path was written because it does not do so there.
Nothing here was measured by the project, which has no GPU: `make gpu-check` measures it on yours.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any


@dataclass(frozen=True, slots=True)
class GpuKernels:
    """What was chosen for one model."""

    attention: str
    """What it attends with, by transformers' name."""
    liger: bool
    """Whether Liger's norms, rotations and feed-forward products replace the model's."""

    def arguments(self) -> dict[str, Any]:
        """For the trainer's configuration."""
        return {"use_liger_kernel": True} if self.liger else {}

    def __str__(self) -> str:
        return f"on a GPU: TRL's fused loss, attention {self.attention}, Liger {'on' if self.liger else 'not used'}"


def on_gpu(model: Any) -> bool:
    """Whether the model's weights are on a GPU."""
    return bool(model.device.type == "cuda")


def choose_kernels(model: Any, *, half: bool, wanted: bool) -> GpuKernels:
    """Lets a bare model on a GPU attend with FlashAttention 2 where it is installed and the model has it; says what it
    attends with and whether Liger is to be used. `half` is whether it computes in 16 bits, which FlashAttention needs;
    `wanted` is `train.gpu_kernels`."""
    settings = model.config.get_text_config()
    if not wanted or not on_gpu(model):
        return GpuKernels(settings._attn_implementation, liger=False)
    if half and find_spec("flash_attn") is not None and getattr(model, "_supports_flash_attn", False):
        model.set_attn_implementation("flash_attention_2")
    return GpuKernels(settings._attn_implementation, liger=find_spec("liger_kernel") is not None)
