"""Weights that were trained themselves, kept beside the base like an adapter.

    adapter_config.json        {"peft_type": "FULL", ...}
    adapter_model.safetensors  every trained weight under the base's own name, fp32

They are written over the base's when it is loaded; PEFT knows nothing of them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from workbench.core.errors import IncompleteError

FULL = "FULL"


def is_full(adapter: Path) -> bool:
    """Whether the directory of an adapter holds whole weights."""
    try:
        settings = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise IncompleteError(f"is no JSON: {error}", where=str(adapter / "adapter_config.json")) from None
    return isinstance(settings, dict) and settings.get("peft_type") == FULL


def overlaid(model: Any, adapter: Path) -> Any:
    """`model` with the trained weights in the place of its own, in its own precision.

    IncompleteError if a weight is not the base's, or the base is quantised."""
    import torch
    from safetensors.torch import load_file

    own = dict(model.named_parameters())
    with torch.no_grad():
        for name, weight in load_file(str(adapter / "adapter_model.safetensors")).items():
            if name not in own or own[name].shape != weight.shape or not own[name].is_floating_point():
                found = "absent" if name not in own else f"{list(own[name].shape)} {own[name].dtype}"
                raise IncompleteError(
                    f"weights do not fit the base: {name} is {list(weight.shape)}, the base's is {found}",
                    where=str(adapter),
                    next_step="score them with the base they were trained on, with precision bf16 or fp32",
                )
            own[name].copy_(weight)
    return model
