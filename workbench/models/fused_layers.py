"""The layers of a Llama-like model in fewer passes over its hidden states, in place of the model's own for a while.

    with reading(model): ...      norms, gates and rotations of passes without a gradient, which are wanted for scores

A layer is replaced if it is one that is known, has nothing on it that the replacement lacks, and (for norms) gives the
same on random rows; any other is left alone. So a model may be replaced in part, or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

# torch takes 3 s; this module is imported where a model reads or learns
import torch
from torch.nn import functional
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from workbench.models import heads
from workbench.models.row_functions import rms_norm, rotated

ATTENTIONS = ("LlamaAttention", "MistralAttention", "Qwen2Attention")
"""Classes that project, rotate whole heads, attend and project again, with nothing between."""
NORMS = ("LlamaRMSNorm", "MistralRMSNorm", "Qwen2RMSNorm", "Qwen3RMSNorm")
"""Classes that round to the precision of their input before they multiply by the weight."""
MLPS = ("LlamaMLP", "MistralMLP", "Qwen2MLP", "Qwen3MLP")
"""Classes that give down(silu(gate(x)) * up(x))."""


@dataclass(slots=True)
class Fused:
    """What was replaced, and the switch."""

    learning: bool
    """Whether the replacements are for passes with a gradient, or for those without; the model's own serve the rest."""
    on: bool = True
    modules: list[Any] = field(default_factory=list)

    def replace(self, module: Any, usable: Callable[..., bool], forward: Callable[..., Any]) -> None:
        """Lets `forward` stand for the module's own where it is `usable` and the switch is on."""
        own = module.forward

        def chosen(*arguments: Any, **options: Any) -> Any:
            if self.on and torch.is_grad_enabled() == self.learning and usable(*arguments, **options):
                return forward(*arguments, **options)
            return own(*arguments, **options)

        module.forward = chosen
        self.modules.append(module)

    def replace_norm(self, module: Any) -> bool:
        """Replaces `module` if it is a norm that gives what `rms_norm` does; whether it did."""
        if type(module).__name__ not in NORMS or not _is_plain_norm(module, self.learning):
            return False
        eps = _eps(module)

        def usable(*arguments: Any, **options: Any) -> bool:
            # another precision than the weight's would come out in another one, too
            return len(arguments) == 1 and not options and arguments[0].dtype == module.weight.dtype

        self.replace(module, usable, lambda x: rms_norm(x, module.weight, eps))
        return True

    @contextmanager
    def off(self) -> Iterator[None]:
        """The model's own forwards within the block."""
        was, self.on = self.on, False
        try:
            yield
        finally:
            self.on = was

    def undo(self) -> None:
        """Takes the replacements off."""
        for module in self.modules:
            del module.forward
        self.modules.clear()


def replaceable(model: Any) -> Iterator[Any]:
    """Modules of a model on a CPU; none elsewhere, since nothing was measured there. A forward that somebody else
    replaced is theirs."""
    if model.device.type == "cpu":
        yield from (module for module in list(model.modules()) if "forward" not in vars(module))


@contextmanager
def reading(model: Any) -> Iterator[None]:
    """Within the block a PEFT or transformers model reads with what could be replaced; afterwards as before."""
    fused = Fused(learning=False)
    try:
        for module in replaceable(heads.bare(model)):
            name = type(module).__name__
            if fused.replace_norm(module):
                continue
            if name in MLPS and is_silu(module.act_fn):
                _replace_mlp(fused, module)
            elif name in ATTENTIONS:
                _replace_attention(fused, module)
        yield
    finally:
        fused.undo()


def is_silu(activation: Any) -> bool:
    """Whether `activation` is x * sigmoid(x)."""
    x = torch.linspace(-3, 3, 16)
    return bool(torch.equal(activation(x), functional.silu(x)))


def _replace_mlp(fused: Fused, mlp: Any) -> None:
    def forward(x: Any) -> Any:
        # both products are nobody else's, so that the second pass may write where the first has
        return mlp.down_proj(functional.silu(mlp.gate_proj(x), inplace=True).mul_(mlp.up_proj(x)))

    fused.replace(mlp, lambda *arguments, **options: len(arguments) == 1 and not options, forward)


def _replace_attention(fused: Fused, attention: Any) -> None:
    width = attention.head_dim

    def usable(hidden_states: Any, position_embeddings: Any = None, **options: Any) -> bool:
        return (
            len(hidden_states) == 1
            and position_embeddings is not None
            and position_embeddings[0].shape[-1] == width
            and attention.config._attn_implementation in ALL_ATTENTION_FUNCTIONS
        )

    def forward(
        hidden_states: Any, position_embeddings: Any, attention_mask: Any = None, past_key_values: Any = None,
        **options: Any,
    ) -> Any:  # fmt: skip
        cos, sin = (one[0] for one in position_embeddings)
        query, key = (
            rotated(rows, cos, sin, rows.shape[-1] // width)[None]
            for rows in (attention.q_proj(hidden_states)[0], attention.k_proj(hidden_states)[0])
        )
        value = attention.v_proj(hidden_states).view(1, -1, key.shape[1], width).transpose(1, 2)
        if past_key_values is not None:
            key, value = past_key_values.update(key, value, attention.layer_idx)
        attend = ALL_ATTENTION_FUNCTIONS[attention.config._attn_implementation]
        out, _ = attend(
            attention, query, key, value, attention_mask, dropout=0.0, scaling=attention.scaling,
            sliding_window=getattr(attention, "sliding_window", None), **options,
        )  # fmt: skip
        return attention.o_proj(out.flatten(2)), None

    fused.replace(attention, usable, forward)


def _eps(norm: Any) -> float:
    return float(getattr(norm, "variance_epsilon", None) or getattr(norm, "eps", None) or 0.0)


def _is_plain_norm(norm: Any, learning: bool) -> bool:
    """Whether a norm, if `learning` a frozen one, gives what `rms_norm` does."""
    weight = getattr(norm, "weight", None)
    if not isinstance(weight, torch.Tensor) or (learning and weight.requires_grad) or not _eps(norm):
        return False
    rows = torch.linspace(-2, 3, 3 * weight.shape[-1]).reshape(3, -1).to(weight.dtype)
    with torch.no_grad():
        own, ours = norm(rows), rms_norm(rows, weight, _eps(norm))
    return own.shape == ours.shape and bool(torch.allclose(own.float(), ours.float(), rtol=1e-2, atol=1e-3))
