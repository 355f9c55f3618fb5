"""llama.cpp itself reads what was exported: the same tokens, the same distribution, and files it quantised."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from export_models import make_adapter, make_export, random_model

from workbench.adapters.export.gguf import quantise, write_gguf
from workbench.core.config import ModelConfig
from workbench.core.errors import IncompleteError
from workbench.models.loading import load_tokenizer

llama_cpp = pytest.importorskip("llama_cpp", reason="llama-cpp-python, an extra, is not installed")

TEXT = "The 24 quick foxes jumped over 3.14 lazy dogs.\n\tdef f(x): return x ** 2  # naïve café, 東京"


@pytest.fixture(scope="module")
def tokenizer(tiny_model_dir: Path) -> Any:
    return load_tokenizer(ModelConfig(ref=str(tiny_model_dir)), Path())


def opened(file: Path) -> Any:
    return llama_cpp.Llama(str(file), n_ctx=256, logits_all=True, verbose=False, n_threads=1)


def log_probabilities(model: Any, ids: list[int]) -> Any:
    """Of the next token after each of `ids`, `[length, vocabulary]`."""
    import torch

    model.eval(ids)
    return torch.tensor(model.scores[: len(ids)]).log_softmax(-1)


@pytest.mark.parametrize("family", ["llama", "llama-3", "mistral", "qwen2", "qwen3", "phi3"])
def test_same_tokens_and_distribution(family: str, tokenizer: Any, tmp_path: Path) -> None:
    import torch

    model = random_model(family, len(tokenizer))
    write_gguf(model, tokenizer, tmp_path / "m.gguf", "f16", name="m", licence=None)
    read = opened(tmp_path / "m.gguf")
    ids = tokenizer(TEXT)["input_ids"]
    assert read.tokenize(TEXT.encode(), add_bos=False, special=False) == ids
    with torch.inference_mode():
        wanted = model(torch.tensor([ids])).logits[0].log_softmax(-1)
    found = log_probabilities(read, ids)
    likeliest = wanted.topk(5).indices
    assert (found.gather(1, likeliest) - wanted.gather(1, likeliest)).abs().max() < 0.02


def test_a_quantised_file_is_verified_and_read(
    tiny_model_dir: Path, tokenizer: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    record = make_export(make_adapter(tiny_model_dir, tmp_path / "adapter"), tmp_path / "out", "gguf-q4_k_m")
    assert record.checks[-1].found == "the gguf-q4_k_m file" and record.checks[-1].mean_kl > 0
    assert "converting" not in capfd.readouterr().err, "a line per tensor is no use to anybody"
    (file,) = (tmp_path / "out").glob("*.gguf")
    ids = tokenizer(TEXT)["input_ids"]
    assert log_probabilities(opened(file), ids).isfinite().all()


def test_a_file_that_llama_cpp_cannot_read_is_said(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF but not really")
    with pytest.raises(IncompleteError, match=r"broken.gguf: llama.cpp could not quantise the model \(code \d+\)"):
        quantise(broken, tmp_path / "out.gguf")
