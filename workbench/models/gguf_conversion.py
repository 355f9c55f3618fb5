"""GGUF files, dequantised once: bf16 safetensors and tokenizer in the user's cache, named by the file's hash.

    SmolLM2-135M-Instruct.Q4_1.gguf  ->  CACHE/models/b179c952.../{model.safetensors, config.json, tokenizer.json, ...}
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from workbench.core.errors import PrerequisiteError, UsageError
from workbench.core.paths import cache_dir
from workbench.models.refs import ModelSource, model_fingerprint


def converted_dir(source: ModelSource) -> Path:
    """Directory with the dequantised weights and tokenizer of a GGUF file; made if it is not there.

    It is made aside and renamed: a killed process leaves no half-made one, two processes do not disturb each other.
    Raises UsageError for a file that is no GGUF model, PrerequisiteError if the cache cannot be written.
    """
    target = cache_dir() / "models" / model_fingerprint(source)
    if target.is_dir():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".converting-") as scratch:
            made = Path(scratch) / "model"
            _dequantise(source, made)
            _publish(made, target)
    except PermissionError as error:
        raise PrerequisiteError(
            f"the model cache cannot be written: {error.strerror}",
            where=str(target.parent),
            next_step="set WORKBENCH_CACHE to a directory you may write",
        ) from error
    return target


def _dequantise(source: ModelSource, made: Path) -> None:
    # 6 s: torch, transformers and the dequantisation, once per file
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    assert source.path is not None and source.is_gguf, source
    directory = str(source.path.parent)
    place: dict[str, Any] = {"gguf_file": source.path.name, "local_files_only": True, "trust_remote_code": False}
    try:
        model = AutoModelForCausalLM.from_pretrained(
            directory, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True), **place
        )
        tokenizer = AutoTokenizer.from_pretrained(directory, **place)
    except (ValueError, KeyError, IndexError, NotImplementedError) as error:
        raise UsageError(
            f"the GGUF file cannot be converted: {error}",
            where=source.name,
            next_step="check that the file is complete and of an architecture that transformers reads from GGUF",
        ) from error
    model.save_pretrained(made)
    tokenizer.save_pretrained(made)


def _publish(made: Path, target: Path) -> None:
    try:
        made.rename(target)
    except OSError:
        # Another process was faster, and what it made is the same; without its directory the failure is real.
        if not target.is_dir():
            raise
