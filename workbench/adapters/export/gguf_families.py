"""Architectures that can be written as GGUF: their settings under GGUF's keys, and how their weights are laid out.

    config.hidden_size = 576                        ->  llama.embedding_length = 576
    config.rope_parameters["rope_theta"] = 100000   ->  llama.rope.freq_base = 100000
    model.layers.0.self_attn.q_proj.weight          ->  blk.0.attn_q.weight, rows reordered for llama and mistral

An architecture is here only if a model written and read back by another reader (transformers') gives the same logits;
`tests/adapters/test_export_gguf.py` does that for every line of `FAMILIES`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from workbench.core.errors import UsageError

_NEXT = "take --format merged, and convert that with llama.cpp's own script"


@dataclass(frozen=True, slots=True)
class Family:
    """How one architecture is written."""

    arch: str
    """GGUF's name, as in `gguf.MODEL_ARCH`."""
    interleaved: bool = False
    """Whether rotary pairs lie next to each other in GGUF's q and k: transformers keeps them half a head apart."""


FAMILIES = {
    "llama": Family("LLAMA", interleaved=True),
    "mistral": Family("LLAMA", interleaved=True),
    "qwen2": Family("QWEN2"),
    "qwen3": Family("QWEN3"),
    "phi3": Family("PHI3"),
}
"""By transformers' `model_type`."""


def family_of(config: Any) -> Family:
    """The family of a transformers configuration; UsageError for one that cannot be written."""
    family = FAMILIES.get(config.model_type)
    if family is None:
        raise UsageError(
            f"architecture {config.model_type!r} cannot be written as GGUF here, only {', '.join(FAMILIES)}",
            where="--format",
            next_step=_NEXT,
        )
    kind = _rope(config).get("rope_type", "default")
    if kind not in ("default", "llama3"):
        raise UsageError(
            f"rotary scaling {kind!r} of this model cannot be written as GGUF here", where="--format", next_step=_NEXT
        )
    for setting in ("mlp_bias", "attention_out_bias"):
        if getattr(config, setting, False):
            raise UsageError(f"{setting} of this model cannot be written as GGUF here", next_step=_NEXT)
    return family


def write_settings(writer: Any, config: Any) -> None:
    """Adds the architecture's keys to a `gguf.GGUFWriter`."""
    head_dim = head_size(config)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(float(_rope(config)["rope_theta"]))
    writer.add_rope_dimension_count(int(head_dim * float(_rope(config).get("partial_rotary_factor", 1.0))))
    writer.add_vocab_size(config.vocab_size)
    if config.model_type == "phi3":
        writer.add_sliding_window(config.sliding_window or 0)


def head_size(config: Any) -> int:
    """Width of one attention head."""
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def rotary_factors(config: Any) -> list[float] | None:
    """By how much Llama 3.1's scaling slows each rotary frequency, `[head size / 2]`; None without it.

    Frequencies whose wavelength is short stay, long ones are divided by `factor`, those between are blended:
    1 / ((1 - s) / factor + s), with s from 0 at the longest to 1 at the shortest wavelength of the range (the
    `rope_type: llama3` of transformers).
    """
    rope = _rope(config)
    if rope.get("rope_type", "default") != "llama3":
        return None
    low, high = float(rope["low_freq_factor"]), float(rope["high_freq_factor"])
    trained = float(rope["original_max_position_embeddings"])
    size = head_size(config)
    factors = []
    for index in range(0, size, 2):
        wavelength = 2 * math.pi * float(rope["rope_theta"]) ** (index / size)
        smooth = min(1.0, max(0.0, (trained / wavelength - low) / (high - low)))
        factors.append(1 / ((1 - smooth) / float(rope["factor"]) + smooth))
    return factors


def _rope(config: Any) -> dict[str, Any]:
    return dict(config.rope_parameters)
