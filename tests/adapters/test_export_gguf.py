"""GGUF: other readers give back the model and the tokenizer, and what cannot be written is refused."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from export_models import LLAMA3_ROPE, SHAPE, make_adapter, make_base, make_export, random_model

from workbench.adapters.export.gguf import check_tensors, logits_of_file, write_gguf
from workbench.adapters.export.gguf_families import FAMILIES, family_of, rotary_factors
from workbench.adapters.export.gguf_vocabulary import vocabulary
from workbench.adapters.export.verify import agreement, logits_on, texts_for
from workbench.core.config import ModelConfig
from workbench.core.errors import IncompleteError, PrerequisiteError, UsageError
from workbench.models.loading import load_tokenizer


@pytest.fixture(scope="module")
def tokenizer(tiny_model_dir: Path) -> Any:
    return load_tokenizer(ModelConfig(ref=str(tiny_model_dir)), Path())


@pytest.fixture
def written(tokenizer: Any, tmp_path: Path) -> tuple[Path, Any]:
    """A random Llama as an f16 file, and the model."""
    model = random_model("llama", len(tokenizer))
    write_gguf(model, tokenizer, tmp_path / "m.gguf", "f16", name="m", licence="mit")
    return tmp_path / "m.gguf", model


@pytest.mark.parametrize("family", ["llama", "llama-3", "mistral", "qwen2", "qwen3", "phi3"])
def test_transformers_reads_back_the_same_logits(family: str, tokenizer: Any, tmp_path: Path) -> None:
    model = random_model(family, len(tokenizer))
    texts = texts_for(tokenizer, [], None)[:2]
    wanted = logits_on(model, texts)
    write_gguf(model, tokenizer, tmp_path / "m.gguf", "f16", name="m", licence=None)
    found = agreement("model", wanted, "file", logits_of_file(tmp_path / "m.gguf", model, texts))
    assert wanted.values.std() > 0.3 and found.max_logit_difference < 0.01, found


def test_logits_of_a_batch_are_those_of_each_text_alone_up_to_the_limit(tokenizer: Any) -> None:
    import torch

    model = random_model("llama", len(tokenizer))
    texts = [list(range(1000, 1000 + length)) for length in (96, 50, 96, 7, 96, 96, 96, 96, 96, 96)]
    found = logits_on(model, texts)
    with torch.inference_mode():
        alone = [model(torch.tensor([ids])).logits[0, :-1] for ids in texts]
    assert len(found.values) == len(found.targets) == 640
    assert torch.allclose(found.values, torch.cat(alone)[:640], atol=1e-4)
    assert found.targets.tolist() == [token for ids in texts for token in ids[1:]][:640]


def test_the_families_tested_are_those_offered() -> None:
    assert set(FAMILIES) == {"llama", "mistral", "qwen2", "qwen3", "phi3"}


def test_transformers_reads_back_settings_and_token_ids(written: tuple[Path, Any], tokenizer: Any) -> None:
    from transformers import AutoConfig, AutoTokenizer

    file, model = written
    config = AutoConfig.from_pretrained(file.parent, gguf_file=file.name)
    names = ["hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads"]
    for name in [*names, "max_position_embeddings", "vocab_size", "tie_word_embeddings", "eos_token_id"]:
        assert getattr(config, name) == getattr(model.config, name), name
    assert config.rms_norm_eps == pytest.approx(model.config.rms_norm_eps)
    assert config.rope_parameters["rope_theta"] == model.config.rope_parameters["rope_theta"]
    read = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    text = "<|im_start|>user\nWie spät ist es um 12345?\n\tdef f(x):  return x<|im_end|>"
    assert read(text).input_ids == tokenizer(text).input_ids
    assert read.chat_template == tokenizer.chat_template


def test_settings_that_the_other_reader_ignores_are_in_the_file(tokenizer: Any, tmp_path: Path) -> None:
    import gguf

    write_gguf(random_model("qwen3", len(tokenizer)), tokenizer, tmp_path / "m.gguf", "q8_0", name="m", licence="mit")
    reader = gguf.GGUFReader(tmp_path / "m.gguf")
    expected = {
        "general.architecture": "qwen3",
        "general.license": "mit",
        "general.file_type": 7,
        "qwen3.attention.key_length": 32,
        "qwen3.attention.value_length": 32,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.add_bos_token": False,
    }
    assert {key: reader.get_field(key).contents() for key in expected} == expected
    kinds = {tensor.name: tensor.tensor_type.name for tensor in reader.tensors}
    assert kinds["blk.0.attn_q.weight"] == "Q8_0" and kinds["blk.0.attn_norm.weight"] == "F32"


def test_llama3_rotary_factors_are_those_of_transformers() -> None:
    import torch
    from transformers import LlamaConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    config = LlamaConfig(**SHAPE, rope_parameters=LLAMA3_ROPE)
    scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](config, device="cpu")
    size = SHAPE["hidden_size"] // SHAPE["num_attention_heads"]
    plain = 1 / 500000.0 ** (torch.arange(0, size, 2) / size)
    factors = rotary_factors(config)
    assert factors == pytest.approx((plain / scaled).tolist(), rel=1e-5)
    assert 1 < sum(factors) / len(factors) < 8


def test_a_changed_byte_in_a_tensor_is_found(written: tuple[Path, Any]) -> None:
    import gguf

    file, model = written
    check_tensors(file, model, "f16")
    place = next(tensor for tensor in gguf.GGUFReader(file).tensors if tensor.name == "blk.1.ffn_up.weight").data_offset
    with file.open("r+b") as stream:
        stream.seek(place + 101)
        byte = stream.read(1)[0]
        stream.seek(place + 101)
        stream.write(bytes([byte ^ 0x08]))
    with pytest.raises(IncompleteError, match=r"blk\.1\.ffn_up\.weight is off"):
        check_tensors(file, model, "f16")


def test_a_weight_beyond_f16_is_refused_and_q8_holds_it(tokenizer: Any, tmp_path: Path) -> None:
    import torch

    model = random_model("llama", len(tokenizer))
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight[0, 0] = 70000.0
    with pytest.raises(IncompleteError, match="more than f16 can hold"):
        write_gguf(model, tokenizer, tmp_path / "a.gguf", "f16", name="m", licence=None)
    write_gguf(model, tokenizer, tmp_path / "b.gguf", "q8_0", name="m", licence=None)
    assert check_tensors(tmp_path / "b.gguf", model, "q8_0").tensors == 20


def test_unknown_architectures_and_rotary_scalings_are_refused() -> None:
    from transformers import GPT2Config, LlamaConfig

    with pytest.raises(UsageError, match="architecture 'gpt2'"):
        family_of(GPT2Config())
    yarn = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 256}
    with pytest.raises(UsageError, match="rotary scaling 'yarn'"):
        family_of(LlamaConfig(**SHAPE, rope_parameters=yarn))


def with_cutting(tokenizer: Any, steps: list[dict[str, Any]], **model: Any) -> Any:
    """A tokenizer that cuts text by other steps before merging."""
    settings = json.loads(tokenizer.backend_tokenizer.to_str())
    settings["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": steps}
    settings["model"] |= model
    backend = SimpleNamespace(to_str=lambda: json.dumps(settings))
    return SimpleNamespace(
        backend_tokenizer=backend,
        bos_token_id=None,
        eos_token_id=2,
        unk_token_id=None,
        pad_token_id=2,
        chat_template=None,
    )


BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
BYTES_ALONE = BYTES | {"use_regex": False}


def split(pattern: str) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def test_cutting_of_text_is_named_as_llama_cpp_names_it(tokenizer: Any) -> None:
    from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

    size = len(tokenizer)
    llama3 = PRETOKENIZE_REGEX.replace(r"|\p{N}|", r"|\p{N}{1,3}|")
    known = {
        "gpt-2": [BYTES],
        "smollm": [{"type": "Digits", "individual_digits": True}, BYTES],
        "qwen2": [split(PRETOKENIZE_REGEX), BYTES_ALONE],
        "llama-bpe": [split(llama3), BYTES_ALONE],
    }
    for name, steps in known.items():
        assert vocabulary(with_cutting(tokenizer, steps), size).pre == name


def test_tokenizers_that_llama_cpp_might_cut_otherwise_are_refused(tokenizer: Any) -> None:
    size = len(tokenizer)
    for steps in ([split(r"\w+|\W+"), BYTES_ALONE], [{"type": "Metaspace"}], [BYTES | {"add_prefix_space": True}]):
        with pytest.raises(UsageError, match="tokenizer of this model cannot be written"):
            vocabulary(with_cutting(tokenizer, steps), size)
    with pytest.raises(UsageError, match="byte fallback"):
        vocabulary(with_cutting(tokenizer, [BYTES], byte_fallback=True), size)


def test_rows_beyond_the_vocabulary_are_marked_as_unused(tokenizer: Any) -> None:
    found = vocabulary(tokenizer, len(tokenizer) + 2)
    assert found.tokens[-2:] == [f"[PAD{len(tokenizer)}]", f"[PAD{len(tokenizer) + 1}]"]
    assert found.types[-2:] == [5, 5] and found.types[1] == 3 and found.types[500] == 1


@pytest.mark.parametrize(("format", "merged_into"), [("gguf-f16", "full"), ("gguf-q8_0", "dequantised")])
def test_export_writes_a_verified_file_with_its_modelfile(
    format: Any, merged_into: Any, tiny_model_dir: Path, tmp_path: Path
) -> None:
    adapter = make_adapter(make_base("qwen2", tiny_model_dir, tmp_path / "base"), tmp_path / "adapter", "nf4")
    record = make_export(adapter, tmp_path / "out", format, merged_into)
    stored = format.removeprefix("gguf-")
    names = {f"tiny.{stored}.gguf", "Modelfile", "README.md"}
    assert {part.path for part in record.files} == names and (tmp_path / "out" / "export.json").is_file()
    assert record.tensors == 26 and len(record.checks) == 3
    assert f"FROM ./tiny.{stored}.gguf" in (tmp_path / "out" / "Modelfile").read_text()


def test_q4_k_m_needs_llama_cpp(tiny_model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llama_cpp", None)
    adapter = make_adapter(tiny_model_dir, tmp_path / "adapter")
    with pytest.raises(PrerequisiteError, match="llama-cpp-python is not installed"):
        make_export(adapter, tmp_path / "out", "gguf-q4_k_m")


def test_q4_k_m_is_made_from_f16_and_compared(
    tiny_model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ctypes
    from importlib.machinery import ModuleSpec

    class Settings(ctypes.Structure):
        _fields_ = [("ftype", ctypes.c_int)]

    asked: list[int] = []

    def quantize(source: bytes, target: bytes, settings: Any) -> int:
        asked.append(settings._obj.ftype)
        shutil.copyfile(source.decode(), target.decode())
        return 0

    stand_in = SimpleNamespace(
        __spec__=ModuleSpec("llama_cpp", None),
        LLAMA_FTYPE_MOSTLY_Q4_K_M=15,
        llama_model_quantize_default_params=Settings,
        llama_model_quantize=quantize,
    )
    monkeypatch.setitem(sys.modules, "llama_cpp", stand_in)
    adapter = make_adapter(tiny_model_dir, tmp_path / "adapter")
    record = make_export(adapter, tmp_path / "out", "gguf-q4_k_m")
    assert asked == [15]
    assert record.checks[-1].found == "the gguf-q4_k_m file" and record.checks[-1].mean_kl < 1e-3
    assert not list((tmp_path / "out").glob("*f16*"))
