"""Layers in fewer passes while a model reads, against transformers' own layers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, DynamicCache, GemmaConfig, LlamaConfig, MistralConfig, Qwen2Config

from workbench.models import heads
from workbench.models.fused_layers import Fused, reading

SIZES = {"vocab_size": 90, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
         "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64}  # fmt: skip
FAMILIES = {"llama": LlamaConfig, "mistral": MistralConfig, "qwen2": Qwen2Config}
IDS = torch.arange(3, 43).view(2, 20)


def tiny(family: str) -> Any:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(FAMILIES[family](**SIZES)).eval()
    for name, parameter in model.named_parameters():
        if "norm" in name or "bias" in name:
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
    return model


def adapted(model: Any) -> Any:
    return get_peft_model(model, LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False)).eval()


def replaced(model: Any) -> set[str]:
    return {type(module).__name__ for module in model.modules() if "forward" in vars(module)}


def read(model: Any, ids: Any, **inputs: Any) -> Any:
    with torch.inference_mode():
        return heads.hidden_states(model, ids, **inputs)


def passes(model: Any) -> list[Any]:
    """One row, two rows, and one row whose positions begin again."""
    return [read(model, IDS[:1]), read(model, IDS), read(model, IDS[:1], position_ids=torch.arange(20)[None] % 7)]


@pytest.mark.parametrize("with_adapter", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_reads_what_it_read_before(family: str, with_adapter: bool) -> None:
    model = adapted(tiny(family)) if with_adapter else tiny(family)
    own = passes(model)
    with reading(model):
        parts = {f"{family}{part}" for part in ("attention", "mlp", "rmsnorm")}
        assert {name.lower() for name in replaced(model)} == parts
        ours = passes(model)
    assert replaced(model) == set()
    torch.testing.assert_close(ours, own, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_bf16_is_no_further_from_fp32_than_it_was_before(family: str) -> None:
    exact = passes(adapted(tiny(family)))
    model = adapted(tiny(family)).to(torch.bfloat16)
    own = passes(model)
    with reading(model):
        ours = passes(model)
    for reference, one, other in zip(exact, own, ours, strict=True):
        assert other.dtype == torch.bfloat16
        assert float((other.float() - reference).norm()) < 1.3 * float((one.float() - reference).norm())


def test_what_stands_before_is_taken_from_a_cache_and_put_into_it() -> None:
    model, cache = tiny("llama"), DynamicCache()
    whole = read(model, IDS[:1])
    with reading(model):
        first = read(model, IDS[:1, :12], past_key_values=cache, use_cache=True)
        rest = read(model, IDS[:1, 12:], past_key_values=cache, use_cache=True)
    torch.testing.assert_close(torch.cat([first, rest], 1), whole)


def test_where_a_gradient_is_wanted_the_models_own_layers_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny("llama")

    def refused(*arguments: Any) -> Any:
        raise AssertionError("a replacement was used")

    monkeypatch.setattr("workbench.models.fused_layers.rms_norm", refused)
    with pytest.raises(AssertionError, match="a replacement was used"), reading(model):
        read(model, IDS)
    monkeypatch.undo()
    with reading(model):
        monkeypatch.setattr("workbench.models.fused_layers.rms_norm", refused)
        heads.hidden_states(model, IDS).sum().backward()


def test_norms_of_another_formula_and_forwards_of_somebody_else_are_left_alone() -> None:
    gemma = AutoModelForCausalLM.from_config(GemmaConfig(**SIZES, head_dim=8))
    with reading(gemma):
        assert replaced(gemma) == set()
    model = tiny("llama")
    norm = model.model.norm
    norm.forward = theirs = lambda x: x
    with reading(model):
        assert norm.forward is theirs and model.model.layers[0].input_layernorm.forward is not theirs
    assert norm.forward is theirs


def test_a_norm_in_another_precision_than_its_input_is_the_models_own() -> None:
    norm = tiny("llama").model.norm
    x = torch.randn(1, 3, 32).to(torch.bfloat16)
    own = norm(x)
    fused = Fused(learning=False)
    assert fused.replace_norm(norm)
    with torch.inference_mode():
        found = norm(x)
    assert found.dtype == own.dtype == torch.float32 and torch.equal(found, own)
