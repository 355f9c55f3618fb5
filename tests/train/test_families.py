"""Random models of other families: trained, saved, and loaded again to the same logits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from reload_logits import logits
from training_run import TrainingRun, tiny_train_node, training_records

from workbench.core.config import ModelConfig
from workbench.core.errors import UsageError
from workbench.core.stage import Done
from workbench.models.loading import load

FAMILIES = ["Qwen2", "Mistral", "Gemma2", "Phi3", "GPT2"]
METHODS = [("qlora", "nf4"), ("full", "bf16"), ("prompt", "nf4")]


@pytest.fixture(scope="module")
def family_dir(tiny_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Directory of a random two-layer model of a family, with the real SmolLM2 tokenizer."""
    import transformers

    made: dict[str, Path] = {}

    def make(family: str) -> Path:
        if family in made:
            return made[family]
        tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_model_dir)
        ids = {"vocab_size": len(tokenizer), "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}
        sizes: dict[str, Any] = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
        sizes |= {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256}
        sizes |= {"head_dim": 16} if family == "Gemma2" else {}
        sizes = {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 256} if family == "GPT2" else sizes
        kind = "GPT2LMHeadModel" if family == "GPT2" else f"{family}ForCausalLM"
        made[family] = tmp_path_factory.mktemp(family)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = getattr(transformers, kind)(getattr(transformers, f"{family}Config")(**ids, **sizes))
        model.to(torch.bfloat16).save_pretrained(made[family])
        tokenizer.save_pretrained(made[family])
        return made[family]

    return make


@pytest.mark.slow
@pytest.mark.parametrize(("method", "precision"), METHODS)
@pytest.mark.parametrize("family", FAMILIES)
def test_family_trains_and_its_files_load(
    family_dir: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    family: str,
    method: str,
    precision: str,
) -> None:
    from workbench.train import export

    in_memory: list[Any] = []
    write = export.write_adapter

    def kept(model: Any, *arguments: Any) -> None:
        write(model, *arguments)
        for parameter in model.parameters() if method == "full" else ():
            parameter.data = parameter.data.bfloat16()
        in_memory.append(model)

    monkeypatch.setattr(export, "write_adapter", kept)
    settings: dict[str, Any] = {"method": method, "precision": precision, "max_steps": 2, "warmup_steps": 0}
    node = tiny_train_node(family_dir(family), **settings, learning_rate=1e-2)
    run = TrainingRun(tmp_path, node, training_records())
    assert isinstance(run.attempt(), Done)
    assert run.summary()["gradient_check"] == pytest.approx(1.0, abs=1e-4)
    base = load(ModelConfig(ref=node.model.ref), node.model.precision, tmp_path)
    again = load(ModelConfig(ref=node.model.ref), node.model.precision, tmp_path, run.out / "adapter")
    from accelerate.utils import extract_model_from_parallel

    trained = extract_model_from_parallel(in_memory[0], keep_fp32_wrapper=False)
    reloaded = logits(again.model)
    assert torch.equal(reloaded, logits(trained))
    assert float((reloaded - logits(base.model)).abs().max()) > 0.01


@pytest.mark.slow
@pytest.mark.parametrize("method", ["oft", "ia3"])
def test_layers_that_a_method_does_not_know_are_named(
    family_dir: Callable[[str], Path], tmp_path: Path, method: str
) -> None:
    node = tiny_train_node(family_dir("GPT2"), method=method, precision="bf16")
    with pytest.raises(UsageError, match=f"method {method} does not know the layers of GPT2LMHeadModel"):
        TrainingRun(tmp_path, node, training_records()).attempt()
