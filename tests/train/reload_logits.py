"""Loads adapters in a process of its own: python reload_logits.py MODEL OUT 'NAME|PRECISION|DIRECTORY' ..."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from workbench.core.config import ModelConfig
from workbench.models.loading import load

PROMPT = [1, 50, 60, 70, 80, 90, 100]


def logits(model: Any) -> Any:
    """Logits of the prompt's own positions, fp32, in evaluation mode."""
    import torch

    model.eval()
    ids = torch.tensor([PROMPT])
    with torch.no_grad():
        found = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits
    return found[:, -len(PROMPT) :].float().contiguous()


def logits_in_a_new_process(model: Path, out: Path, jobs: Sequence[str]) -> dict[str, Any]:
    """`NAME|PRECISION` to the logits that the files give there; a job without a directory is the base."""
    from safetensors.torch import load_file

    subprocess.run([sys.executable, __file__, str(model), str(out), *jobs], check=True, timeout=280)
    found: dict[str, Any] = load_file(str(out))
    return found


if __name__ == "__main__":
    from safetensors.torch import save_file

    tensors = {}
    for job in sys.argv[3:]:
        name, precision, directory = job.split("|")
        adapter = Path(directory) if directory else None
        loaded = load(ModelConfig(ref=sys.argv[1]), precision, Path(), adapter)
        tensors[f"{name}|{precision}"] = logits(loaded.model)
    save_file(tensors, sys.argv[2])
