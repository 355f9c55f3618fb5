"""The layers of a Llama-like model with LoRA, computed in fewer passes while it learns, and as ever otherwise.

    fused = fuse(model)        the forwards of norms, LoRA layers, attention and feed-forward blocks are replaced
    with fused.off(): ...      within the block the model's own are used, as they are wherever no gradient is wanted
    fused.undo()               they are the model's own again

A layer is replaced if it is one that is known, has nothing on it that the replacement lacks, and (for norms) gives the
same on random rows; any other is left alone. So a model may be replaced in part, or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from workbench.models.fused_layers import ATTENTIONS, MLPS, Fused, is_silu, replaceable
from workbench.models.row_functions import gated, rotated
from workbench.train.lora_products import is_plain_lora, products, ready
from workbench.train.segment_attention import attend


def fuse(model: Any) -> Fused:
    """Replaces what it can in a PEFT or transformers model on a CPU; elsewhere nothing."""
    fused = Fused(learning=True)
    for module in replaceable(model):
        name = type(module).__name__
        if is_plain_lora(module):
            _replace_linear(fused, module)
        elif fused.replace_norm(module):
            continue
        elif name in MLPS and _is_plain(module.gate_proj, module.up_proj) and is_silu(module.act_fn):
            _replace_mlp(fused, module)
        elif name in ATTENTIONS and _is_plain(*_projections(module)):
            _replace_attention(fused, module)
    return fused


def _is_plain(*layers: Any) -> bool:
    return all(is_plain_lora(layer) for layer in layers)


def _replace_linear(fused: Fused, layer: Any) -> None:
    fused.replace(
        layer,
        lambda x, *arguments, **options: not arguments and not options and ready(layer, x),
        lambda x: products([layer], x),
    )


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


def _projections(attention: Any) -> Sequence[Any]:
    return [attention.q_proj, attention.k_proj, attention.v_proj]
