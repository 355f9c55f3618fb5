"""The memory formula against PEFT's counts, bitsandbytes' storage, torch's own saved tensors, and figures in print."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from workbench.core.methods import METHODS, Method
from workbench.core.training import TrainConfig
from workbench.models.architecture import Architecture, read_architecture
from workbench.models.memory import (
    GIB,
    TrainingSetting,
    activation_bytes,
    estimate,
    step_flops,
    trained_parameters,
    weight_bytes,
)

SHAPES = {"vocab_size": 500, "hidden_size": 128, "intermediate_size": 256, "num_attention_heads": 4}
HEADS = {"num_key_value_heads": 2, "head_dim": 32, "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 1}
LAYERS, ROWS, LENGTH, RANK = 4, 2, 96, 8
TOLERANCE = 0.09
"""The first layer keeps less than the others (nothing before it is learned), which the formula leaves out."""


def bare_model(family: str, directory: Path) -> Any:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(family, **SHAPES, **HEADS, num_hidden_layers=LAYERS)
    config.save_pretrained(directory)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)


def with_adapter(model: Any, method: Method, dropout: float) -> Any:
    """As the trainer does it: fp32 where something is learned, the base as it was."""
    from peft import get_peft_model

    from workbench.train.methods import adapter_config

    config = adapter_config(model, TrainConfig(method=method, rank=RANK, dropout=dropout), 100)
    made = model if config is None else get_peft_model(model, config)
    for parameter in made.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return made.train()


def kept_bytes(model: Any) -> int:
    """Bytes of all storages that autograd keeps in a forward pass, parameters and buffers left out."""
    import torch

    own = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    kept: dict[int, Any] = {}

    def pack(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage  # held, so that no address comes twice
        return tensor

    ids = torch.randint(2, SHAPES["vocab_size"], (ROWS, LENGTH), generator=torch.Generator().manual_seed(0))
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), torch.autocast("cpu", torch.bfloat16):
        inner = model.get_base_model() if hasattr(model, "get_base_model") else model
        inner.base_model(input_ids=ids, use_cache=False)
    return sum(storage.nbytes() for storage in kept.values())


def shapes_of(directory: Path) -> Architecture:
    return read_architecture(str(directory), None, Path())


@pytest.mark.parametrize("method", METHODS)
def test_trained_parameters_are_those_peft_makes(method: Method, tmp_path: Path) -> None:
    model = with_adapter(bare_model("llama", tmp_path), method, 0.0)
    made = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    precision = METHODS[method].precisions[-1]
    setting = TrainingSetting(method, precision, LENGTH, ROWS, rank=RANK)
    assert trained_parameters(shapes_of(tmp_path), setting) == made


@pytest.mark.parametrize(
    ("family", "method", "dropout"),
    [
        *(("llama", method, 0.0) for method in ("lora", "dora", "adalora", "vera", "oft", "ia3", "full")),
        *(("llama", method, 0.05) for method in ("lora", "dora", "vera")),
        *((family, "lora", 0.0) for family in ("qwen2", "qwen3", "mistral", "phi3", "gemma3_text", "phi", "olmo2")),
    ],
)
def test_activations_are_what_torch_keeps(family: str, method: Method, dropout: float, tmp_path: Path) -> None:
    model = with_adapter(bare_model(family, tmp_path), method, dropout)
    architecture = shapes_of(tmp_path)
    setting = TrainingSetting(method, "bf16", LENGTH, ROWS, rank=RANK, dropout=dropout > 0)
    # autocast keeps a 16-bit copy of every fp32 matrix it multiplies with; the formula counts these with the buffers
    cast = architecture.linear_parameters if method == "full" else trained_parameters(architecture, setting)
    assert activation_bytes(architecture, setting) + 2 * cast == pytest.approx(kept_bytes(model), rel=TOLERANCE)


def test_nf4_weights_take_what_bitsandbytes_stores(tiny_model_dir: Path) -> None:
    from workbench.core.config import ModelConfig
    from workbench.models.loading import load

    model = load(ModelConfig(ref=str(tiny_model_dir)), "nf4", Path()).model
    stored = 0
    for parameter in model.parameters():
        stored += parameter.numel() * parameter.element_size()
        if (state := getattr(parameter, "quant_state", None)) is not None:
            stored += state.absmax.numel() * state.absmax.element_size() + state.state2.absmax.numel() * 4
    setting = TrainingSetting("qlora", "nf4", 64, 1)
    assert weight_bytes(shapes_of(tiny_model_dir), setting) == pytest.approx(stored, rel=0.001)


@pytest.mark.parametrize(
    ("model", "method", "precision", "in_print"),
    [
        # trainable parameters that fine-tuning logs of Llama 3 show for rank 16 on all linear layers
        ("llama-3-8b", "qlora", "nf4", 41_943_040),
        ("llama-3-70b", "lora", "bf16", 207_093_760),
    ],
)
def test_adapter_sizes_of_large_models_are_those_in_print(
    model: str, method: Method, precision: Any, in_print: int
) -> None:
    setting = TrainingSetting(method, precision, 512, 1, rank=16, device="cuda")
    assert trained_parameters(read_architecture(model, None, Path()), setting) == in_print


def test_large_models_need_about_what_guides_say() -> None:
    eight, seventy = (read_architecture(name, None, Path()) for name in ("llama-3-8b", "llama-3-70b"))
    small = TrainingSetting("qlora", "nf4", 512, 1, device="cuda", dropout=False, gradient_checkpointing=True)
    # "8B QLoRA: 5 to 8 GB", "8B LoRA: 16 GB" (which is about the weights), "70B QLoRA: one 48 GB card"
    assert 5 < estimate(eight, small).total / GIB < 8
    assert 16 < estimate(eight, replace(small, method="lora", precision="bf16")).total / GIB < 18
    assert 40 < estimate(seventy, small).total / GIB < 48
    # 16 bytes per parameter with fp32 weights, gradients and moments (Rajbhandari et al. 2020, ZeRO, section 3.1)
    full = estimate(eight, replace(small, method="full", precision="bf16"))
    assert full.trained + full.gradients + full.optimizer == 16 * eight.parameters


def test_peak_counts_gradients_beside_activations_only_if_they_are_there_together() -> None:
    architecture = read_architecture("smollm2-135m", None, Path())
    once = estimate(architecture, TrainingSetting("full", "bf16", 256, 4))
    often = estimate(architecture, TrainingSetting("full", "bf16", 256, 4, gradient_accumulation=2))
    assert often.total - once.total == min(once.gradients, once.activations + once.logits)


def test_checkpointing_trades_activations_for_operations() -> None:
    architecture = read_architecture("smollm2-135m", None, Path())
    plain = TrainingSetting("lora", "bf16", 512, 4, dropout=False)
    again = replace(plain, gradient_checkpointing=True)
    assert activation_bytes(architecture, again) < activation_bytes(architecture, plain) / 5
    assert 1.3 < step_flops(architecture, again, 1000) / step_flops(architecture, plain, 1000) < 1.5


def test_operations_of_full_training_are_six_per_parameter_and_token() -> None:
    architecture = read_architecture("llama-3-8b", None, Path())
    flops = step_flops(architecture, TrainingSetting("full", "bf16", 1, 1), 1)
    embedding = architecture.vocabulary * architecture.hidden
    # the head's gradient is computed for answers only, like the head itself: 4 instead of 6 for it
    assert flops == pytest.approx(6 * (architecture.parameters - 2 * embedding) + 4 * embedding, rel=0.001)


def test_precision_that_a_method_does_not_have_is_refused() -> None:
    architecture = read_architecture("smollm2-135m", None, Path())
    with pytest.raises(ValueError, match="pissa does not train on a base in nf4"):
        estimate(architecture, TrainingSetting("pissa", "nf4", 64, 1))
