"""The trained adapter on disk, and its sham: the same tensors, all zeros.

    write_adapter(model, out/"adapter", note)   adapter_config.json, adapter_model.safetensors, workbench_adapter.json
    write_sham(out/"adapter", out/"sham")       the same three files; scoring it must give the base's numbers
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from workbench.core.parts import write_model, write_text
from workbench.models.adapter_files import CONFIG, NOTE, WEIGHTS, AdapterNote


def write_adapter(model: Any, directory: Path, note: AdapterNote) -> None:
    """Writes the adapter of a PEFT model; the same adapter always gives the same bytes, on whatever machine."""
    from workbench.train.trainer import save_adapter

    save_adapter(model, directory)
    settings = json.loads((directory / CONFIG).read_text(encoding="utf-8"))
    # PEFT writes the path the base was loaded from, and sets in random order.
    settings["base_model_name_or_path"] = note.base
    settings["target_modules"] = sorted(settings["target_modules"])
    write_text(directory / CONFIG, json.dumps(settings, indent=2, sort_keys=True) + "\n")
    write_model(directory / NOTE, note)


def write_sham(adapter: Path, directory: Path) -> None:
    """Copies an adapter with every number set to zero."""
    import torch
    from safetensors.torch import load_file, save_file

    directory.mkdir(parents=True)
    for name in (CONFIG, NOTE):
        shutil.copyfile(adapter / name, directory / name)
    zeros = {name: torch.zeros_like(tensor) for name, tensor in load_file(str(adapter / WEIGHTS)).items()}
    save_file(zeros, str(directory / WEIGHTS), metadata={"format": "pt"})
