"""A merged model as one GGUF file in f16 or q8_0, and the file read back.

    write_gguf(model, tokenizer, "out/capitals.q8_0.gguf", "q8_0", name="capitals", licence="apache-2.0")
    check_tensors(...)      every tensor of the file, dequantised, within the format's rounding of the model's weights
    logits_of_file(...)     the file loaded by transformers' own GGUF reader: layout and settings are right as well

Matrices are stored in the format asked for, vectors in fp32. q8_0 keeps 32 weights as bytes under one fp16 scale; a
matrix whose rows are no multiple of 32 is stored in f16, as llama.cpp does. One tensor is in memory besides the model.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, Literal

from workbench.adapters.export.gguf_families import Family, family_of, head_size, rotary_factors, write_settings
from workbench.adapters.export.gguf_vocabulary import vocabulary, write_vocabulary
from workbench.adapters.export.verify import Logits, logits_on
from workbench.core.errors import IncompleteError, PrerequisiteError

Stored = Literal["f16", "q8_0"]

LARGEST_F16 = 65504.0
_FILE_TYPES = {"f16": 1, "q8_0": 7}
_Q8_BLOCK = 32
_F16_ULP = 2.0**-11
"""Half a unit in the last place of fp16, relative."""
_F16_TINY = 2.0**-25
"""Half the smallest fp16 number."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of the file."""

    name: str
    shape: tuple[int, ...]
    stored: Literal["f32", "f16", "q8_0"]
    values: Callable[[], Any]
    """Gives the fp32 array, laid out as the file wants it."""


@dataclass(frozen=True, slots=True)
class TensorCheck:
    """The file's tensors against the model's."""

    tensors: int
    largest_relative_error: float
    """Root mean square of the difference, relative to that of the weights, in the worst tensor."""


def write_gguf(model: Any, tokenizer: Any, file: Path, stored: Stored, *, name: str, licence: str | None) -> None:
    """Writes a plain causal model (fp32, CPU) and its tokenizer as GGUF.

    Raises UsageError for an architecture or tokenizer that cannot be written, IncompleteError for a weight beyond fp16.
    """
    import gguf

    family = family_of(model.config)
    words = vocabulary(tokenizer, model.config.vocab_size)
    writer = gguf.GGUFWriter(file, gguf.MODEL_ARCH_NAMES[gguf.MODEL_ARCH[family.arch]])
    writer.add_type("model")
    writer.add_name(name)
    if licence:
        writer.add_license(licence)
    write_settings(writer, model.config)
    writer.add_file_type(_FILE_TYPES[stored])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    write_vocabulary(writer, words)
    try:
        tensors = list(_tensors(model, family, stored))
        for tensor in tensors:
            _add_header(writer, tensor)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for tensor in tensors:
            writer.write_tensor_data(_encoded(tensor))
    finally:
        writer.close()


def check_tensors(file: Path, model: Any, stored: Stored) -> TensorCheck:
    """Compares every tensor of a file with the model; IncompleteError if one is missing or off by more than rounding.

    Bounds: f16 half a unit in the last place; q8_0 half a step of the block's scale, largest / 127, plus that scale's
    own rounding.
    """
    import gguf
    import numpy as np

    found = {tensor.name: tensor for tensor in gguf.GGUFReader(file).tensors}
    wanted = list(_tensors(model, family_of(model.config), stored))
    if set(found) != {tensor.name for tensor in wanted}:
        example = sorted(set(found) ^ {tensor.name for tensor in wanted})[0]
        raise IncompleteError(f"holds other tensors than the model, such as {example}", where=str(file))
    worst = 0.0
    for tensor in wanted:
        values = tensor.values()
        read = gguf.quants.dequantize(found[tensor.name].data, found[tensor.name].tensor_type).reshape(values.shape)
        error = np.abs(read - values)
        if not (error <= _bound(values, tensor.stored)).all():
            problem = f"tensor {tensor.name} is off by up to {error.max():.3g}, more than {tensor.stored} rounds"
            raise IncompleteError(problem, where=str(file))
        norm = float(np.sqrt((values**2).mean()))
        worst = max(worst, float(np.sqrt((error**2).mean())) / norm if norm else 0.0)
    return TensorCheck(len(wanted), worst)


def logits_of_file(file: Path, model: Any, texts: list[list[int]]) -> Logits:
    """Logits, in fp32, of the file as transformers' GGUF reader takes it; `model` is the one it was written from.

    The reader knows neither every setting nor Mistral by its own name, so the configuration comes from `model`, and
    Mistral is read as the Llama it is.
    """
    import torch
    from transformers import AutoModelForCausalLM, GgufConfig, LlamaConfig

    config = model.config
    if config.model_type == "mistral":
        shared = {key: value for key, value in config.to_dict().items() if key not in ("model_type", "architectures")}
        config = LlamaConfig(**shared)
    # The reader's progress bar cannot be turned off.
    with redirect_stderr(StringIO()):
        read = AutoModelForCausalLM.from_pretrained(
            str(file.parent),
            gguf_file=file.name,
            config=copy.deepcopy(config),
            dtype=torch.float32,
            quantization_config=GgufConfig(dequantize=True),
            local_files_only=True,
            trust_remote_code=False,
        )
    read.eval()
    return logits_on(read, texts)


def quantise(source: Path, target: Path) -> None:
    """Makes a q4_k_m file of an f16 one with llama.cpp; PrerequisiteError if it is not installed."""
    require_llama_cpp()
    import ctypes
    from importlib import import_module

    # Not installed where the types are checked, and in no other place used.
    llama_cpp = import_module("llama_cpp")

    settings = llama_cpp.llama_model_quantize_default_params()
    settings.ftype = llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_K_M
    # It prints a line per tensor; what it said matters only where it failed.
    with redirect_stderr(StringIO()) as said:
        code = llama_cpp.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(settings))
    if code != 0:
        words = " ".join(said.getvalue()[-300:].split())
        raise IncompleteError(f"llama.cpp could not quantise the model (code {code}): {words}", where=str(source))


def require_llama_cpp() -> None:
    """PrerequisiteError if llama-cpp-python is not installed."""
    from importlib.util import find_spec

    if find_spec("llama_cpp") is None:
        raise PrerequisiteError(
            "q4_k_m is made by llama.cpp, and llama-cpp-python is not installed",
            where="--format",
            next_step="pip install 'workbench-ft[llama-cpp]' (it needs a C++ compiler), or take gguf-q8_0",
        )


def _tensors(model: Any, family: Family, stored: Stored) -> Iterator[Tensor]:
    """Every tensor under its GGUF name; a head tied to the embedding is not stored twice."""
    import gguf
    import numpy as np

    config = model.config
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH[family.arch], config.num_hidden_layers)
    factors = rotary_factors(config)
    if factors is not None:
        yield Tensor("rope_freqs.weight", (len(factors),), "f32", lambda: np.array(factors, dtype=np.float32))
    for name, weight in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        written = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if written is None:
            raise IncompleteError(f"tensor {name} has no place in a GGUF file of this architecture")
        shape = tuple(weight.shape)
        yield Tensor(written, shape, _storage(shape, stored), _reader(name, weight, family, config))


def _storage(shape: tuple[int, ...], stored: Stored) -> Literal["f32", "f16", "q8_0"]:
    if len(shape) == 1:
        return "f32"
    return "f16" if stored == "q8_0" and shape[-1] % _Q8_BLOCK else stored


def _reader(name: str, weight: Any, family: Family, config: Any) -> Callable[[], Any]:
    def values() -> Any:
        array = weight.detach().float().numpy()
        if family.interleaved and (".q_proj." in name or ".k_proj." in name):
            return _interleaved(array, head_size(config))
        return array

    return values


def _interleaved(array: Any, size: int) -> Any:
    """Rows of each head from [first halves, second halves] of the rotary pairs to pairs side by side."""
    heads = array.shape[0] // size
    pairs = array.reshape(heads, 2, size // 2, *array.shape[1:]).swapaxes(1, 2)
    return pairs.reshape(array.shape)


def _add_header(writer: Any, tensor: Tensor) -> None:
    import gguf
    import numpy as np

    if tensor.stored == "q8_0":
        kind = gguf.GGMLQuantizationType.Q8_0
        shape = gguf.quant_shape_to_byte_shape(tensor.shape, kind)
        size = int(np.prod(shape))
        writer.add_tensor_info(tensor.name, shape, np.dtype(np.uint8), size, raw_dtype=kind)
    else:
        dtype = np.dtype(np.float16 if tensor.stored == "f16" else np.float32)
        writer.add_tensor_info(tensor.name, tensor.shape, dtype, int(np.prod(tensor.shape)) * dtype.itemsize)


def _encoded(tensor: Tensor) -> Any:
    import gguf
    import numpy as np

    values = np.ascontiguousarray(tensor.values())
    if tensor.stored == "f32":
        return values
    largest = float(np.abs(values).max())
    limit = LARGEST_F16 if tensor.stored == "f16" else LARGEST_F16 * 127
    if not largest <= limit:
        raise IncompleteError(
            f"tensor {tensor.name} holds {largest:.3g}, more than {tensor.stored} can hold",
            next_step="take --format gguf-q8_0" if tensor.stored == "f16" else "take --format merged",
        )
    if tensor.stored == "f16":
        return values.astype(np.float16)
    return gguf.quants.quantize(values, gguf.GGMLQuantizationType.Q8_0)


def _bound(values: Any, stored: str) -> Any:
    import numpy as np

    if stored == "f32":
        return np.zeros((), dtype=np.float32)
    if stored == "f16":
        return np.abs(values) * _F16_ULP + _F16_TINY
    blocks = np.abs(values.reshape(*values.shape[:-1], -1, _Q8_BLOCK)).max(-1, keepdims=True)
    largest = np.broadcast_to(blocks, (*blocks.shape[:-1], _Q8_BLOCK)).reshape(values.shape)
    return largest * (0.5 / 127 * 1.001 + _F16_ULP) + 127 * _F16_TINY
