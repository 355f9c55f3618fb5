"""Layers computed in fewer passes, against finite differences, transformers' own layers, and PEFT's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from test_fast_path import gradients, made_up_batch, tiny
from transformers.models.gemma.modeling_gemma import GemmaRMSNorm
from transformers.models.llama.modeling_llama import LlamaRMSNorm, apply_rotary_pos_emb

from workbench.models.row_functions import gated, rms_norm, rotated
from workbench.train import segment_attention
from workbench.train.fast_path import fast_path_for
from workbench.train.fused_layers import fuse
from workbench.train.lora_products import products


def lora_layers(dropout: float = 0.0, **options: Any) -> Any:
    """Two linear layers that read the same eight numbers, with rank 2 and rank 3 on them, in double precision."""
    torch.manual_seed(0)
    bare = torch.nn.ModuleDict({"a": torch.nn.Linear(8, 5), "b": torch.nn.Linear(8, 6, bias=False)})
    settings = LoraConfig(target_modules=["a", "b"], r=2, rank_pattern={"b": 3}, lora_alpha=3, lora_dropout=dropout)
    for name, value in options.items():
        setattr(settings, name, value)
    model = get_peft_model(bare, settings).double().train()
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
    return model


def layers_of(model: Any) -> list[Any]:
    inner = model.get_base_model()
    return [inner["a"], inner["b"]]


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_gradient_of_lora_products_is_that_of_finite_differences(dropout: float) -> None:
    layers = layers_of(lora_layers(dropout))
    matrices = [one.weight for layer in layers for one in (layer.lora_A["default"], layer.lora_B["default"])]
    x = torch.randn(1, 7, 8, dtype=torch.float64, requires_grad=True)

    def same_masks(x: Any, *adapters: Any) -> Any:
        torch.manual_seed(1)
        return products(layers, x)

    assert torch.autograd.gradcheck(same_masks, (x, *matrices))


def test_lora_products_are_those_of_peft_side_by_side() -> None:
    layers = layers_of(lora_layers())
    x = torch.randn(3, 4, 8, dtype=torch.float64)
    torch.testing.assert_close(products(layers, x), torch.cat([layer(x) for layer in layers], -1))


def test_dropout_keeps_the_expected_product_and_ends_with_training() -> None:
    model = lora_layers(0.3)
    layers = layers_of(model)
    x = torch.randn(1, 8, dtype=torch.float64)
    draws = torch.stack([products(layers, x)[0] for _ in range(4000)])
    model.eval()
    expected = torch.cat([layer(x) for layer in layers], -1)[0]
    error = draws.std(0) / len(draws) ** 0.5
    assert bool(((draws.mean(0) - expected).abs() < 5 * error).all())
    torch.testing.assert_close(products(layers, x)[0], expected)


@pytest.mark.parametrize(
    ("function", "shape"),
    [
        (gated, (2, 70, 6)),
        (lambda x: rotated(x, torch.linspace(-1, 1, 20).view(5, 4), torch.linspace(2, 3, 20).view(5, 4), 2), (5, 12)),
    ],
)
def test_gradient_of_row_functions_is_that_of_finite_differences(
    function: Callable[[Any], Any], shape: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    assert torch.autograd.gradcheck(function, torch.randn(shape, dtype=torch.float64, requires_grad=True))


def test_rotation_is_that_of_transformers() -> None:
    torch.manual_seed(0)
    joint, cos, sin = torch.randn(5, 4 * 8), torch.randn(5, 8), torch.randn(5, 8)
    heads = joint.view(1, 5, 4, 8).transpose(1, 2)
    query, key = apply_rotary_pos_emb(heads[:, :2], heads[:, 2:3], cos[None], sin[None])
    torch.testing.assert_close(rotated(joint, cos, sin, 3)[None], torch.cat([query, key, heads[:, 3:]], 1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_norm_and_its_gradient_are_those_of_transformers(dtype: Any) -> None:
    torch.manual_seed(0)
    norm = LlamaRMSNorm(64, 1e-5).to(dtype).requires_grad_(False)
    norm.weight.normal_()
    given, above = torch.randn(2, 3, 64).to(dtype), torch.randn(2, 3, 64).to(dtype)
    found, expected = given.clone().requires_grad_(), given.double().requires_grad_()
    out = rms_norm(found, norm.weight, 1e-5)
    out.backward(above)
    assert torch.allclose(out, norm(given), rtol=1e-2 if dtype == torch.bfloat16 else 1e-5)
    exact = expected * (expected.pow(2).mean(-1, keepdim=True) + 1e-5).rsqrt() * norm.weight.double()
    exact.backward(above.double())
    error = (found.grad.double() - expected.grad).norm() / expected.grad.norm()
    assert float(error) < (4e-3 if dtype == torch.bfloat16 else 1e-6)


def test_norm_with_another_formula_or_a_trained_weight_is_left_alone() -> None:
    model = tiny("llama").get_base_model()
    norms = [module for module in model.modules() if isinstance(module, LlamaRMSNorm)]
    norms[0].weight.requires_grad_(True)
    model.model.norm = GemmaRMSNorm(32).requires_grad_(False)
    replaced = fuse(model).modules
    assert norms[0] not in replaced and model.model.norm not in replaced and norms[1] in replaced


@pytest.mark.parametrize("option", ["use_dora", "lora_bias"])
def test_adapters_with_more_than_two_matrices_are_left_alone(option: str) -> None:
    model = tiny("llama").unload()
    settings = LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj", "k_proj", "v_proj", "o_proj"], r=4)
    setattr(settings, option, True)
    fused = fuse(get_peft_model(model, settings))
    assert {type(module).__name__ for module in fused.modules} == {"LlamaRMSNorm"}


@pytest.mark.parametrize("family", ["llama", "qwen2", "mistral"])
def test_blocks_are_replaced_as_a_whole(family: str) -> None:
    replaced = {type(module).__name__.lower() for module in fuse(tiny(family)).modules}
    assert {f"{family}attention", f"{family}mlp", f"{family}rmsnorm", "linear"} <= replaced


def test_without_a_gradient_or_an_adapter_the_models_own_layers_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = tiny("llama"), made_up_batch()
    path = fast_path_for(model)
    assert path is not None

    def refused(*arguments: Any) -> Any:
        raise AssertionError("a replacement was used")

    monkeypatch.setattr("workbench.train.fused_layers.products", refused)
    with torch.no_grad():
        path.nll(model, batch)
    with model.disable_adapter():
        path.nll(model, batch)
    with pytest.raises(AssertionError, match="a replacement was used"):
        path.nll(model, batch)


def test_checkpointing_draws_the_same_dropout_again() -> None:
    model, batch = tiny("llama"), made_up_batch()
    for module in model.modules():
        if hasattr(module, "lora_dropout"):
            module.lora_dropout["default"] = torch.nn.Dropout(0.2)
    path = fast_path_for(model)
    assert path is not None
    found = []
    for checkpointing in (False, True):
        if checkpointing:
            model.enable_input_require_grads()
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        torch.manual_seed(3)
        found.append(gradients(model, path.nll(model, batch)))
    assert torch.allclose(*found, rtol=1e-5, atol=1e-7)


def test_long_and_short_sequences_of_one_row_attend_as_each_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    lengths = [3, 9, 8, 2, 5]
    monkeypatch.setattr(segment_attention, "_SHORT", 6)
    inputs = [torch.randn(1, heads, sum(lengths), 4, requires_grad=True) for heads in (4, 2, 2)]
    bounds = torch.tensor([0, *lengths]).cumsum(0)
    found, _ = segment_attention.attend(None, *inputs, None, cu_seq_lens_q=bounds)
    above = torch.randn_like(found)
    parts = zip(*(one.split(lengths, 2) for one in inputs), strict=True)
    expected = torch.cat(
        [torch.nn.functional.scaled_dot_product_attention(*part, is_causal=True, enable_gqa=True) for part in parts], 2
    ).transpose(1, 2)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        torch.autograd.grad(found, inputs, above), torch.autograd.grad(expected, inputs, above), rtol=1e-4, atol=1e-5
    )
