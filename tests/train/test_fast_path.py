"""The loss and gradient of rows without padding, against each row by itself through the plain model."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from peft import LoraConfig, PromptTuningConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM

from workbench.train import segment_attention
from workbench.train.fast_path import fast_path_for

VOCABULARY = 97
SIZES = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512, "pad_token_id": 0,
    "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
FAMILIES = {
    "llama": {},
    "qwen2": {},
    "qwen3": {"head_dim": 8},
    "mistral": {"sliding_window": None},
    "gemma": {"head_dim": 8},
    "phi3": {},
    "gpt2": {"n_embd": 32, "n_head": 4, "n_layer": 2, "attn_pdrop": 0.0, "resid_pdrop": 0.0, "embd_pdrop": 0.0},
}
LENGTHS = (7, 3, 12, 1)


def tiny(family: str, attention: str = "sdpa", **changes: Any) -> Any:
    """A random model with a LoRA adapter whose second matrix is not zero, in fp32."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(family, **(SIZES | FAMILIES.get(family, {}) | changes))
    model = AutoModelForCausalLM.from_config(config, attn_implementation=attention)
    adapted = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", target_modules="all-linear", r=4, lora_dropout=0))
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.05)
    return adapted.train()


def made_up_batch(lengths: tuple[int, ...] = LENGTHS) -> dict[str, Any]:
    """Rows padded on the right; the first half of each is not learned, but all of the second row is."""
    generator = torch.Generator().manual_seed(1)
    longest = max(lengths)
    ids = torch.zeros(len(lengths), longest, dtype=torch.long)
    labels = torch.full_like(ids, -100)
    mask = torch.zeros_like(ids)
    for row, length in enumerate(lengths):
        ids[row, :length] = torch.randint(3, VOCABULARY, (length,), generator=generator)
        mask[row, :length] = 1
        learned = 0 if row == 1 else length // 2
        labels[row, learned:length] = ids[row, learned:length]
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def row_by_row(model: Any, batch: dict[str, Any]) -> Any:
    """Summed loss of each row alone: no padding, no fast path."""
    total = torch.zeros(())
    for ids, mask, labels in zip(batch["input_ids"], batch["attention_mask"], batch["labels"], strict=True):
        length = int(mask.sum())
        logits = model(input_ids=ids[None, :length], use_cache=False).logits[0, :-1].float()
        total = total + torch.nn.functional.cross_entropy(
            logits, labels[1:length], ignore_index=-100, reduction="sum"
        )
    return total


def gradients(model: Any, loss: Any) -> Any:
    model.zero_grad()
    loss.backward()
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.requires_grad]).clone()


@pytest.mark.parametrize("short", [0, 192])
@pytest.mark.parametrize("family", FAMILIES)
def test_loss_and_gradient_are_those_of_each_row_by_itself(
    family: str, short: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment_attention, "_SHORT", short)
    model, batch = tiny(family), made_up_batch()
    expected = row_by_row(model, batch)
    expected_gradient = gradients(model, expected)
    path = fast_path_for(model)
    assert path is not None
    found = path.nll(model, batch)
    assert float(found.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    assert torch.allclose(gradients(model, found), expected_gradient, rtol=1e-4, atol=1e-5)


def test_the_check_believes_what_agrees_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = tiny("llama"), made_up_batch()
    path = fast_path_for(model)
    assert path is not None and path.fused.modules
    assert path.agrees(model, batch)
    assert model.training and path.fused.on
    monkeypatch.setattr(segment_attention, "_SHORT", 0)
    monkeypatch.setattr(segment_attention, "_long", lambda q, k, v, scale, dropout: 3 * v[[0, 0, 1, 1]].transpose(0, 1))
    assert not path.agrees(model, batch)
    path.leave(model)
    assert model.get_base_model().config._attn_implementation == "sdpa"
    assert not any("forward" in vars(module) for module in model.get_base_model().modules())


def test_rows_do_not_see_each_other() -> None:
    model = tiny("llama")
    path = fast_path_for(model)
    assert path is not None
    batch = made_up_batch((5, 6))
    batch["labels"][0] = -100
    before = float(path.nll(model, batch).detach())
    batch["input_ids"][0, :5] = 50
    assert float(path.nll(model, batch).detach()) == pytest.approx(before, rel=1e-6)


def test_a_model_with_segments_still_evaluates_and_generates_as_before() -> None:
    model = tiny("llama").eval()
    batch = made_up_batch()
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    expected = model(**inputs).logits[batch["attention_mask"].bool()]
    said = model.generate(inputs["input_ids"][:1, :7], max_new_tokens=8, do_sample=False, pad_token_id=0)
    assert fast_path_for(model) is not None
    found = model(**inputs).logits[batch["attention_mask"].bool()]
    assert torch.allclose(found, expected, atol=1e-6)
    assert torch.equal(
        model.generate(inputs["input_ids"][:1, :7], max_new_tokens=8, do_sample=False, pad_token_id=0), said
    )


def test_gradient_checkpointing_computes_the_same_again() -> None:
    model, batch = tiny("llama"), made_up_batch()
    path = fast_path_for(model)
    assert path is not None
    plain = gradients(model, path.nll(model, batch))
    model.enable_input_require_grads()
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    assert torch.allclose(gradients(model, path.nll(model, batch)), plain, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("mistral", {"sliding_window": 4}),
        ("gemma2", {"head_dim": 8, "attention": "eager"}),
        ("llama", {"attention": "eager"}),
        ("cohere", {}),
    ],
)
def test_models_that_attend_or_score_otherwise_keep_the_stock_path(family: str, changes: dict[str, Any]) -> None:
    model = tiny(family, **changes)
    attention = model.get_base_model().config._attn_implementation
    assert fast_path_for(model) is None
    assert model.get_base_model().config._attn_implementation == attention


def test_prompt_learning_and_a_trained_head_keep_the_stock_path() -> None:
    base = tiny("llama").unload()
    prompted = get_peft_model(base, PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4))
    assert fast_path_for(prompted) is None
    headed = tiny("llama")
    headed.get_base_model().lm_head.weight.requires_grad_(True)
    assert fast_path_for(headed) is None
