"""`workbench adapters export` and `upload`, as typed."""

from __future__ import annotations

import json
from pathlib import Path

from command_runs import workbench


def lora_of(base: Path, directory: Path) -> Path:
    """A LoRA adapter of the tiny model, with the note that names its base."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from workbench.core.config import TrainConfig
    from workbench.core.parts import write_model
    from workbench.models.adapter_files import NOTE, AdapterNote
    from workbench.models.refs import model_fingerprint, resolve

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    settings = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
    get_peft_model(model, settings).save_pretrained(directory)
    found = model_fingerprint(resolve(str(base), None, directory))
    note = AdapterNote(
        base=str(base), base_fingerprint=found, precision="bf16", template_hash="", train=TrainConfig(), seed=0
    )
    write_model(directory / NOTE, note)
    return directory


def test_export_and_upload_print_one_document_and_dry_runs_write_nothing(tiny_model_dir: Path, tmp_path: Path) -> None:
    lora_of(tiny_model_dir, tmp_path / "lora")
    planned = workbench("adapters", "export", "./lora", "--to", "out", "--dry-run", "--json", cwd=tmp_path)
    assert planned.returncode == 0, planned.stderr
    assert json.loads(planned.stdout)["files"][0] == "model.safetensors" and not (tmp_path / "out").exists()

    made = workbench("adapters", "export", "./lora", "--to", "out", "--name", "tiny", "--json", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    document = json.loads(made.stdout)
    assert document["schema_version"] == 1 and document["export"]["name"] == "tiny"
    assert (tmp_path / "out" / "model.safetensors").is_file()

    listed = workbench("adapters", "upload", "out", "me/tiny", "--dry-run", "--json", cwd=tmp_path)
    assert listed.returncode == 0, listed.stderr
    sent = {file["path"] for file in json.loads(listed.stdout)["files"]}
    assert sent == {path.name for path in (tmp_path / "out").iterdir()}


def test_what_cannot_be_exported_ends_in_one_message_and_its_exit_code(tmp_path: Path) -> None:
    unknown = workbench("adapters", "export", "./lora", "--to", "out", "--format", "onnx", cwd=tmp_path)
    assert unknown.returncode == 2 and "gguf-q8_0" in unknown.stderr
    missing = workbench("adapters", "export", "support@3", "--to", "out", cwd=tmp_path)
    assert missing.returncode == 2 and "named 'support'" in missing.stderr
    for run in (unknown, missing):
        assert "Traceback" not in run.stderr and not (tmp_path / "out").exists()
