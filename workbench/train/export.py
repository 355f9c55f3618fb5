"""What was trained, on disk, and its sham: the same files, changing nothing.

    write_adapter(model, out/"adapter", note, start)     adapter_config.json, adapter_model.safetensors,
                                                         workbench_adapter.json
    write_sham(out/"adapter", out/"sham", note, start)   the same three files; scoring it must give the base's numbers

`pissa` and `olora` are written as plain LoRA of twice the rank that fits the untouched base; `full` as the weights
themselves, under the name of an adapter's.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from workbench.core.errors import IncompleteError
from workbench.core.fingerprints import file_sha256
from workbench.core.methods import METHODS, Method
from workbench.core.parts import write_model, write_text
from workbench.models.adapter_files import CONFIG, NOTE, WEIGHTS, AdapterNote
from workbench.models.full_weights import FULL

START = "start"
_SETS = ("target_modules", "feedforward_modules")
"""Settings that PEFT holds as sets, which are written in another order each time."""
_LENGTH = "lora_magnitude_vector"


def write_adapter(model: Any, directory: Path, note: AdapterNote, start: Path) -> None:
    """Writes what was trained; the same training always gives the same bytes, on whatever machine.

    `start` is the directory of the untrained adapter, where the method needs one (`needs_start`)."""
    facts = METHODS[note.train.method]
    if facts.kind == "full":
        _write_full(model, directory)
    elif facts.off_is_base:
        save_adapter(model, directory)
    else:
        model.save_pretrained(
            str(directory), save_embedding_layers=False, path_initial_model_for_weight_conversion=str(start)
        )
        (directory / "README.md").unlink(missing_ok=True)
    settings = json.loads((directory / CONFIG).read_text(encoding="utf-8"))
    # PEFT writes the path the base was loaded from.
    settings["base_model_name_or_path"] = note.base
    for name in _SETS:
        if isinstance(settings.get(name), list):
            settings[name] = sorted(settings[name])
    write_text(directory / CONFIG, json.dumps(settings, indent=2, sort_keys=True) + "\n")
    write_model(directory / NOTE, note)


def write_sham(adapter: Path, directory: Path, note: AdapterNote, start: Path) -> None:
    """An adapter of the same kind that changes nothing; none where the method has none."""
    import torch
    from safetensors.torch import load_file, save_file

    facts = METHODS[note.train.method]
    if facts.sham == "none":
        return
    directory.mkdir(parents=True)
    shutil.copyfile(adapter / NOTE, directory / NOTE)
    settings = json.loads((adapter / CONFIG).read_text(encoding="utf-8"))
    if settings.get("use_dora"):
        # The length of a weight, divided by itself in bf16, is not always 1: without lengths it is LoRA of zeros.
        settings["use_dora"] = False
    write_text(directory / CONFIG, json.dumps(settings, indent=2, sort_keys=True) + "\n")
    if facts.sham == "untrained":
        shutil.copyfile(start / WEIGHTS, directory / WEIGHTS)
        return
    # No weight at all is written over the base's where the weights themselves were trained.
    trained = {} if facts.kind == "full" else load_file(str(adapter / WEIGHTS))
    zeros = {name: torch.zeros_like(tensor) for name, tensor in trained.items() if _LENGTH not in name}
    save_file(zeros, str(directory / WEIGHTS), metadata={"format": "pt"})


def needs_start(method: Method) -> bool:
    """Whether the untrained adapter is needed once training is done."""
    facts = METHODS[method]
    return facts.sham == "untrained" or (facts.kind == "lora" and not facts.off_is_base)


def save_start(model: Any, method: Method, directory: Path) -> None:
    """Keeps the untrained adapter; IncompleteError if an earlier attempt began with another one.

    `pissa` and `olora` take theirs out of the base's weights: a checkpoint fits no other start."""
    aside = directory.with_name(f".{directory.name}.tmp")
    shutil.rmtree(aside, ignore_errors=True)
    settings = model.peft_config["default"]
    initial = getattr(settings, "init_lora_weights", None)
    if not METHODS[method].off_is_base:
        settings.init_lora_weights = True  # as PEFT asks for: it would subtract the start from the base once more
    save_adapter(model, aside)
    if not METHODS[method].off_is_base:
        settings.init_lora_weights = initial
    if directory.is_dir():
        if file_sha256(directory / WEIGHTS) != file_sha256(aside / WEIGHTS):
            raise IncompleteError(
                "the adapter does not begin as it did in the interrupted attempt: its start was computed on another "
                "machine or with other threads",
                where=str(directory),
                next_step="go on where training began, or remove this directory's parent to begin anew",
            )
        shutil.rmtree(aside)
    else:
        aside.rename(directory)


def save_adapter(model: Any, directory: Path) -> None:
    """PEFT's files for the adapter of `model`, without its model card."""
    model.save_pretrained(str(directory), save_embedding_layers=False)
    (directory / "README.md").unlink(missing_ok=True)


def _write_full(model: Any, directory: Path) -> None:
    from safetensors.torch import save_file

    directory.mkdir(parents=True, exist_ok=True)
    trained = ((name, weight) for name, weight in model.named_parameters() if weight.requires_grad)
    weights = {name: weight.detach().cpu().contiguous() for name, weight in trained}
    save_file(weights, str(directory / WEIGHTS), metadata={"format": "pt"})
    write_text(directory / CONFIG, json.dumps({"peft_type": FULL, "task_type": "CAUSAL_LM"}))
