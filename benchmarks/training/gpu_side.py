"""One measurement of the GPU check in a process of its own; the last line of its output is one JSON object.

    python -m training.gpu_side facts '{}'                     what torch and the libraries see
    python -m training.gpu_side speed '{"side": "trl", ...}'   `train()` of one side, with its peak memory
    python -m training.gpu_side train '{"root": "...", ...}'   the train stage, stopped after a step if so asked
    python -m training.gpu_side score '{"model": "...", ...}'  mean NLL of some answers

Which device it is depends on CUDA_VISIBLE_DEVICES, which the check sets.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from training.rows import docstring_records
from workbench.core.config import ModelConfig, Precision
from workbench.core.errors import WorkbenchError
from workbench.models.chat import encode_record
from workbench.models.likelihood import continuation_nll
from workbench.models.loading import load

KERNELS = ("flash-attn", "liger-kernel", "triton")


def main() -> None:
    """Measures what the command line names."""
    measurements: dict[str, Callable[..., dict[str, Any]]] = {
        "facts": facts,
        "speed": speed,
        "train": train,
        "score": score,
    }
    try:
        found = measurements[sys.argv[1]](**json.loads(sys.argv[2]))
    except WorkbenchError as error:
        print(f"\nerror: {error}", file=sys.stderr)
        raise SystemExit(int(error.exit_code)) from error
    print(json.dumps(found))


def facts() -> dict[str, Any]:
    """The device and the kernels for it."""
    versions = {name: metadata.version(name) for name in KERNELS if find_spec(name.replace("-", "_")) is not None}
    if not torch.cuda.is_available():
        return {"name": "CPU", "memory_bytes": None, "bf16": True, "cuda": None, "versions": versions}
    properties = torch.cuda.get_device_properties(0)
    return {
        "name": properties.name,
        "memory_bytes": int(properties.total_memory),
        "bf16": torch.cuda.is_bf16_supported(including_emulation=False),
        "cuda": torch.version.cuda,
        "versions": versions,
    }


def speed(side: str, model: str, steps: int, batch_size: int, length: int) -> dict[str, Any]:
    """Seconds of `train()` and the peak memory of torch on the device (of the process on a CPU)."""
    from memory import resident

    from training import side as sides
    from workbench.train.data import encode_all

    loaded = load(ModelConfig(ref=model), "nf4", Path())
    data = encode_all(loaded.tokenizer, docstring_records(steps * batch_size), length, None)
    with tempfile.TemporaryDirectory() as scratch:
        found = getattr(sides, side)(loaded, data, steps, batch_size, Path(scratch))
    on_gpu = torch.cuda.is_available()
    peak = int(torch.cuda.max_memory_allocated()) if on_gpu else resident("VmHWM")
    return {**found, "peak_bytes": peak, "longest": max(len(row.input_ids) for row in data.rows)}


def train(root: str, model: str, steps: int, stop_after: int | None) -> dict[str, Any]:
    """The train stage on `root`, cancelled after `stop_after` steps; adapter hash and losses, or nothing unless it
    is complete."""
    from workbench.core.config import TrainConfig
    from workbench.core.events import Event, NodeProgress
    from workbench.core.nodes import TrainNode
    from workbench.core.parts import write_rows
    from workbench.core.records import Manifest
    from workbench.core.stage import Artifact, Context, Done
    from workbench.train.stage import run

    place = Path(root)
    for name in ("mix", "out", "work"):
        (place / name).mkdir(exist_ok=True, parents=True)
    write_rows(place / "mix" / "train.jsonl", docstring_records(24))
    done = 0

    def hear(event: Event) -> None:
        nonlocal done
        if isinstance(event, NodeProgress):
            done = event.done

    settings = TrainConfig(
        max_steps=steps, batch_size=4, max_length=128, checkpoint_steps=2, dropout=0.1, samples=0, processes=1
    )
    context = Context(
        node="train", out_dir=place / "out", work_dir=place / "work", project=place, seed=0, emit=hear,
        clock=lambda: "", cancelled=lambda: stop_after is not None and done >= stop_after,
    )  # fmt: skip
    manifest = Manifest(
        node="mix", stage="mix", stage_version=1, fingerprint="", inputs={}, config={}, external={}, libraries={},
        parts=(), summary={}, created_at="", seconds=0.0,
    )  # fmt: skip
    node = TrainNode(train=settings, model=ModelConfig(ref=model, precision="nf4"), seed=0)
    outcome = run(node, {"mix": Artifact(place / "mix", manifest)}, context)
    if not isinstance(outcome, Done):
        return {}
    summary = json.loads((place / "out" / "training.json").read_text())
    curve = [json.loads(line)["loss"] for line in (place / "out" / "curve.jsonl").read_text().splitlines()]
    return {
        "adapter": summary["adapter_sha256"],
        "losses": curve,
        "resumed_from": summary["resumed_from"],
    }


def score(model: str, precision: Precision, documents: int) -> dict[str, Any]:
    """Mean NLL per token of the answers of some records."""
    loaded = load(ModelConfig(ref=model), precision, Path())
    rows = [encode_record(loaded.tokenizer, record, 256, None) for record in docstring_records(documents)]
    pairs = [(row.input_ids[: row.answer_starts], row.input_ids[row.answer_starts :]) for row in rows]
    scores = continuation_nll(loaded, pairs, batch_size=8)
    return {"nll": [found.nll_sum / found.tokens for found in scores]}


if __name__ == "__main__":
    main()
