"""Shapes of published models, for advice without a network: a name, the numbers, and where they stand in print.

    PUBLISHED["llama-3-8b"].config   ->  {"model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32, ...}

The number of parameters that follows from a row's shapes is the one its authors give; a test holds the two together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_LLAMA_3 = "Llama Team 2024, The Llama 3 Herd of Models, arXiv:2407.21783, table 3; vocabulary: meta-llama/llama-models"
_QWEN_2 = "Yang et al. 2024, Qwen2 Technical Report, arXiv:2407.10671, table 1; vocabulary: its config.json"
_MISTRAL = "Jiang et al. 2023, Mistral 7B, arXiv:2310.06825, table 1"
_SMOLLM_2 = "the repository's config.json; Allal et al. 2025, SmolLM2, arXiv:2502.02737"


@dataclass(frozen=True, slots=True)
class PublishedModel:
    """One model of the table."""

    hub_id: str
    """The instruction-tuned repository, to be named in `model.ref`."""
    config: dict[str, Any]
    """What its config.json says of its shapes."""
    licence: str
    """SPDX identifier, or the hub's name of it."""
    source: str
    """Where the numbers stand."""


def _shapes(
    family: str, hidden: int, layers: int, heads: int, kv_heads: int, intermediate: int, vocabulary: int, **more: Any
) -> dict[str, Any]:
    return {
        "model_type": family,
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "intermediate_size": intermediate,
        "vocab_size": vocabulary,
        **more,
    }


PUBLISHED: dict[str, PublishedModel] = {
    "smollm2-135m": PublishedModel(
        "HuggingFaceTB/SmolLM2-135M-Instruct",
        _shapes("llama", 576, 30, 9, 3, 1536, 49152, tie_word_embeddings=True, max_position_embeddings=8192),
        "apache-2.0",
        _SMOLLM_2,
    ),
    "smollm2-360m": PublishedModel(
        "HuggingFaceTB/SmolLM2-360M-Instruct",
        _shapes("llama", 960, 32, 15, 5, 2560, 49152, tie_word_embeddings=True, max_position_embeddings=8192),
        "apache-2.0",
        _SMOLLM_2,
    ),
    "qwen2-0.5b": PublishedModel(
        "Qwen/Qwen2-0.5B-Instruct",
        _shapes("qwen2", 896, 24, 14, 2, 4864, 151936, tie_word_embeddings=True, max_position_embeddings=32768),
        "apache-2.0",
        _QWEN_2,
    ),
    "qwen2-1.5b": PublishedModel(
        "Qwen/Qwen2-1.5B-Instruct",
        _shapes("qwen2", 1536, 28, 12, 2, 8960, 151936, tie_word_embeddings=True, max_position_embeddings=32768),
        "apache-2.0",
        _QWEN_2,
    ),
    "smollm2-1.7b": PublishedModel(
        "HuggingFaceTB/SmolLM2-1.7B-Instruct",
        _shapes("llama", 2048, 24, 32, 32, 8192, 49152, tie_word_embeddings=True, max_position_embeddings=8192),
        "apache-2.0",
        _SMOLLM_2,
    ),
    "mistral-7b": PublishedModel(
        "mistralai/Mistral-7B-Instruct-v0.1",
        _shapes("mistral", 4096, 32, 32, 8, 14336, 32000, max_position_embeddings=32768),
        "apache-2.0",
        _MISTRAL,
    ),
    "qwen2-7b": PublishedModel(
        "Qwen/Qwen2-7B-Instruct",
        _shapes("qwen2", 3584, 28, 28, 4, 18944, 152064, max_position_embeddings=32768),
        "apache-2.0",
        _QWEN_2,
    ),
    "llama-3-8b": PublishedModel(
        "meta-llama/Meta-Llama-3-8B-Instruct",
        _shapes("llama", 4096, 32, 32, 8, 14336, 128256, max_position_embeddings=8192),
        "llama3",
        _LLAMA_3,
    ),
    "llama-3-70b": PublishedModel(
        "meta-llama/Meta-Llama-3-70B-Instruct",
        _shapes("llama", 8192, 80, 64, 8, 28672, 128256, max_position_embeddings=8192),
        "llama3",
        _LLAMA_3,
    ),
    "qwen2-72b": PublishedModel(
        "Qwen/Qwen2-72B-Instruct",
        _shapes("qwen2", 8192, 80, 64, 8, 29568, 152064, max_position_embeddings=32768),
        "tongyi-qianwen",
        _QWEN_2,
    ),
}
"""By name, smallest first."""
