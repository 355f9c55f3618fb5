"""Tiny random bases of several families, adapters on them, and a run's artifacts for the model card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workbench.adapters.export.make import export, plan_export
from workbench.adapters.export.record import Base, ExportRecord, Format
from workbench.adapters.registry import Registered, resolve
from workbench.core.config import ModelConfig, TrainConfig
from workbench.core.parts import write_model
from workbench.core.paths import Project
from workbench.core.stage import Inputs
from workbench.models.adapter_files import NOTE, AdapterNote
from workbench.models.loading import load_tokenizer
from workbench.models.refs import model_fingerprint
from workbench.models.refs import resolve as resolve_model

SHAPE = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 1024,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 2,
}
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 256,
}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {"tie_word_embeddings": True},
    "llama-3": {"model_type": "llama", "tie_word_embeddings": False, "rope_parameters": LLAMA3_ROPE},
    "mistral": {"tie_word_embeddings": False},
    "qwen2": {"tie_word_embeddings": True},
    "qwen3": {"tie_word_embeddings": False, "head_dim": 32},
    "phi3": {"tie_word_embeddings": False},
    "gemma": {"tie_word_embeddings": True, "head_dim": 32},
}


def random_model(family: str, vocab_size: int) -> Any:
    """A model in fp32 whose weights, vectors included, are all different."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    settings = {"model_type": family} | SHAPE | FAMILIES[family]
    config = AutoConfig.for_model(settings.pop("model_type"), vocab_size=vocab_size, **settings)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = AutoModelForCausalLM.from_config(config).float().eval()
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(torch.randn_like(weight) * 0.1) if weight.dim() == 1 else weight.mul_(3)
    return model


def make_base(family: str, tiny_model_dir: Path, directory: Path) -> Path:
    """A bf16 base of a family, with the real tokenizer."""
    import torch

    tokenizer = load_tokenizer(ModelConfig(ref=str(tiny_model_dir)), Path())
    random_model(family, len(tokenizer)).to(torch.bfloat16).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


def make_adapter(base: Path, directory: Path, precision: str = "bf16", settings: Any = None) -> Path:
    """An adapter of a base that changes what it says; LoRA of rank 4 on all linear layers by default."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    chosen = settings or LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")
    with torch.random.fork_rng():
        torch.manual_seed(2)
        peft_model = get_peft_model(model, chosen)
        with torch.no_grad():
            for name, weight in peft_model.named_parameters():
                if weight.requires_grad and "magnitude" not in name:
                    weight.add_(torch.randn_like(weight) * 0.02)
    peft_model.save_pretrained(directory)
    note = AdapterNote(
        base=str(base),
        base_fingerprint=model_fingerprint(resolve_model(str(base), None, directory)),
        precision=precision,
        template_hash="",
        train=TrainConfig(),
        seed=0,
    )
    write_model(directory / NOTE, note)
    return directory


def as_registered(adapter: Path) -> Registered:
    """The adapter of a directory that nobody registered."""
    return resolve(Project(adapter.parent), str(adapter))


def make_export(
    adapter: Path, target: Path, format: Format, base: Base = "full", inputs: Inputs | None = None
) -> ExportRecord:
    """Plans and makes an export named `tiny`."""
    plan = plan_export(as_registered(adapter), inputs or {}, "tiny", target, format, base, adapter.parent)
    return export(plan, adapter.parent, at="2026-01-01T00:00:00Z", say=lambda text: None)

