"""lm-eval's own `hf` and `hf-fast` around one model, and requests for both."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

OWN_SIZES: dict[str, dict[str, Any]] = {
    "GPT2": {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 256},
    "GPTNeo": {"hidden_size": 64, "num_layers": 2, "num_heads": 4, "max_position_embeddings": 256, "window_size": 24,
               "attention_types": [[["global", "local"], 1]]},
    "DeepseekV3": {"hidden_size": 64, "intermediate_size": 128, "moe_intermediate_size": 32, "num_hidden_layers": 2,
                   "num_attention_heads": 4, "num_key_value_heads": 4, "n_routed_experts": 4, "n_shared_experts": 1,
                   "num_experts_per_tok": 2, "n_group": 2, "topk_group": 1, "first_k_dense_replace": 1,
                   "q_lora_rank": 16, "kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 16,
                   "v_head_dim": 12, "max_position_embeddings": 256},
    "GptOss": {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
               "num_key_value_heads": 2, "head_dim": 16, "num_local_experts": 2, "num_experts_per_tok": 1},
    "Falcon": {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "alibi": True, "bias": True},
}  # fmt: skip
"""Families whose settings have other names."""
WORDS = ["the", "of", "a", "Straße", "你好", "café", "if(", "){", "\n", "12", "3.5", "🙂", "Lima", "Quito", ""]


def random_models(tokenizer_dir: Path) -> Callable[[str], Any]:
    """Makes random two-layer models in fp32 by the name of their family, each once, with a tokenizer."""
    import torch
    import transformers

    made: dict[str, Any] = {}
    tokenizer = transformers.AutoTokenizer.from_pretrained(tokenizer_dir)
    ids = {"vocab_size": len(tokenizer), "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}

    def make(name: str) -> tuple[Any, Any]:
        if name not in made:
            sizes: dict[str, Any] = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
            sizes |= {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256}
            sizes |= {"head_dim": 16} if name == "Gemma2" else {}
            sizes |= {"sliding_window": 24} if name == "Mistral" else {}
            sizes = OWN_SIZES.get(name, sizes)
            kind = "GPT2LMHeadModel" if name == "GPT2" else f"{name}ForCausalLM"
            with torch.random.fork_rng():
                torch.manual_seed(1)
                made[name] = getattr(transformers, kind)(getattr(transformers, f"{name}Config")(**ids, **sizes)).eval()
            # weights of a fresh model are so small that every token is equally likely: masks would not matter
            with torch.no_grad():
                for parameter in made[name].parameters():
                    if parameter.ndim == 2:
                        parameter.mul_(4)
        return made[name], tokenizer

    return make


def both(model: Any, tokenizer: Any, **options: Any) -> tuple[Any, Any]:
    """Stock and fast around the same model."""
    from lm_eval.models.huggingface import HFLM

    from workbench.score.hf_fast import FastHFLM

    given = {"tokenizer": tokenizer, "batch_size": 4, "softmax_dtype": "float32", "max_length": 200, **options}
    return HFLM(model, **given), FastHFLM(model, **given)


def request(kind: str, *arguments: Any) -> Any:
    from lm_eval.api.instance import Instance

    return Instance(request_type=kind, doc={}, arguments=arguments, idx=0)


def choice_requests(shots: int) -> list[Any]:
    """Six documents: shared beginnings, a choice that begins another, one twice, one token, long ones, no context."""
    rng = random.Random(shots)
    examples = "".join(f"Question {number}: " + " ".join(rng.choices(WORDS, k=8)) + "\n" for number in range(shots))
    found = []
    for number in range(6):
        context = examples + " ".join(rng.choices(WORDS, k=1 + number * 3))
        choices = [" Lima", " Lima and", " Lima and Quito", " Lima", " 你", " " + " ".join(rng.choices(WORDS, k=12))]
        found += [request("loglikelihood", context, choice) for choice in choices]
    found += [request("loglikelihood", "", choice) for choice in (" Lima", "Lima and", "x")]
    found.append(request("loglikelihood", "word " * 200, " Lima"))
    return found


def assert_equal(found: list[Any], expected: list[Any], within: float) -> None:
    assert [value for value, _ in found] == [pytest.approx(value, abs=within) for value, _ in expected]
    assert [greedy for _, greedy in found] == [greedy for _, greedy in expected]
