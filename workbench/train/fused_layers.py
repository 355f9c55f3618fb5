"""The layers of a Llama-like model with LoRA, computed in fewer passes while it learns, and as ever otherwise.

    fused = fuse(model)        the forwards of norms, LoRA layers, attention and feed-forward blocks are replaced
    with fused.off(): ...      within the block the model's own are used, as they are wherever no gradient is wanted
    fused.undo()               they are the model's own again

A layer is replaced if it is one that is known, has nothing on it that the replacement lacks, and (for norms) gives the
same on random rows; any other is left alone. So a model may be replaced in part, or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

# torch takes 3 s; this module is imported by `fast_path` alone, inside the run
import torch

from workbench.train.lora_products import is_plain_lora, products, ready
from workbench.train.row_functions import gated, rms_norm, rotated
from workbench.train.segment_attention import attend

_ATTENTIONS = ("LlamaAttention", "MistralAttention", "Qwen2Attention")
"""Classes that project, rotate whole heads, attend and project again, with nothing between."""
_MLPS = ("LlamaMLP", "MistralMLP", "Qwen2MLP", "Qwen3MLP")
"""Classes that give down(silu(gate(x)) * up(x))."""


@dataclass(slots=True)
class Fused:
    """What was replaced, and the switch; build it with `fuse`."""

    on: bool = True
    modules: list[Any] = field(default_factory=list)

    def replace(self, module: Any, usable: Callable[..., bool], forward: Callable[..., Any]) -> None:
        """Lets `forward` stand for the module's own where it is `usable`, the switch is on and a gradient is wanted."""
        own = module.forward

        def chosen(*arguments: Any, **options: Any) -> Any:
            if self.on and torch.is_grad_enabled() and usable(*arguments, **options):
                return forward(*arguments, **options)
            return own(*arguments, **options)

        module.forward = chosen
        self.modules.append(module)

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


def fuse(model: Any) -> Fused:
    """Replaces what it can in a PEFT or transformers model on a CPU; elsewhere nothing, since nothing was measured."""
    fused = Fused()
    if model.device.type != "cpu":
        return fused
    for module in model.modules():
        # A forward that somebody else replaced is theirs.
        if "forward" in vars(module):
            continue
        name = type(module).__name__
        if is_plain_lora(module):
            _replace_linear(fused, module)
        elif name.endswith("RMSNorm") and _is_plain_norm(module):
            _replace_norm(fused, module)
        elif name in _MLPS and _is_gated_silu(module):
            _replace_mlp(fused, module)
        elif name in _ATTENTIONS and all(is_plain_lora(one) for one in _projections(module)):
            _replace_attention(fused, module)
    return fused


def _replace_linear(fused: Fused, layer: Any) -> None:
    fused.replace(
        layer,
        lambda x, *arguments, **options: not arguments and not options and ready(layer, x),
        lambda x: products([layer], x),
    )


def _replace_norm(fused: Fused, norm: Any) -> None:
    eps = _eps(norm)
    fused.replace(norm, lambda x: True, lambda x: rms_norm(x, norm.weight, eps))


def _replace_mlp(fused: Fused, mlp: Any) -> None:
    layers = [mlp.gate_proj, mlp.up_proj]
    fused.replace(
        mlp, lambda x: all(ready(one, x) for one in layers), lambda x: mlp.down_proj(gated(products(layers, x)))
    )


def _replace_attention(fused: Fused, attention: Any) -> None:
    layers = _projections(attention)
    width = attention.head_dim
    queries, keys = (layer.get_base_layer().out_features // width for layer in layers[:2])

    def usable(hidden_states: Any, position_embeddings: Any = None, **options: Any) -> bool:
        return (
            len(hidden_states) == 1
            and options.get("cu_seq_lens_q") is not None
            and options.get("past_key_values") is None
            and position_embeddings is not None
            and position_embeddings[0].shape[-1] == width
            and all(ready(one, hidden_states) for one in layers)
        )

    def forward(hidden_states: Any, position_embeddings: Any, attention_mask: Any = None, **options: Any) -> Any:
        joint = products(layers, hidden_states).squeeze(0)
        cos, sin = (one[0].to(joint.dtype) for one in position_embeddings)
        heads = rotated(joint, cos, sin, queries + keys)[None]
        query, key, value = heads.split([queries, keys, keys], 1)
        dropout = attention.attention_dropout if attention.training else 0.0
        lengths = options["cu_seq_lens_q"]
        out, _ = attend(attention, query, key, value, None, dropout, attention.scaling, cu_seq_lens_q=lengths)
        return attention.o_proj(out.flatten(2)), None

    fused.replace(attention, usable, forward)


def _projections(attention: Any) -> list[Any]:
    return [attention.q_proj, attention.k_proj, attention.v_proj]


def _is_gated_silu(mlp: Any) -> bool:
    x = torch.linspace(-3, 3, 16)
    return (
        is_plain_lora(mlp.gate_proj)
        and is_plain_lora(mlp.up_proj)
        and torch.equal(mlp.act_fn(x), torch.nn.functional.silu(x))
    )


def _eps(norm: Any) -> float:
    return float(getattr(norm, "variance_epsilon", None) or getattr(norm, "eps", None) or 0.0)


def _is_plain_norm(norm: Any) -> bool:
    """Whether a frozen norm gives what `rms_norm` does."""
    if not isinstance(getattr(norm, "weight", None), torch.Tensor) or norm.weight.requires_grad or not _eps(norm):
        return False
    rows = torch.linspace(-2, 3, 3 * norm.weight.shape[-1]).reshape(3, -1).to(norm.weight.dtype)
    with torch.no_grad():
        own, ours = norm(rows), rms_norm(rows, norm.weight, _eps(norm))
    return own.shape == ours.shape and bool(torch.allclose(own.float(), ours.float(), rtol=1e-2, atol=1e-3))
