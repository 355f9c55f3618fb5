"""Training beside a plain TRL script: same base, rows, order, schedule and first adapter, end to end in the trainer.

    python benchmarks/train.py              20 steps by both sides in turn, three times; a quarter of an hour
    python benchmarks/train.py --quick      3 steps once: shows that everything runs, measures nothing
    python benchmarks/train.py --json       the last line is one JSON object

- **speedup_vs_trl**: seconds of TRL's `train()` over ours, medians of the rounds; each run in a process of its own.
- **max_step_loss_rel_diff**: largest difference of a step's loss between the sides, as a share of it;
  **trl_own_step_loss_rel_diff** is that of TRL from itself on one thread, where sums round in another order.
- **grad_rel_err_vs_fp32**: error of our gradient on one batch against fp32 arithmetic on the same NF4 weights; TRL's
  stands beside it.
- **share_of_gemm_ceiling**: floating-point operations that a step cannot do without, per second, over those of a large
  bf16 product here: 4 per token and weight of the frozen layers and (for learned tokens) the head, 6 of the adapter.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from training.rows import docstring_records

from workbench.core.config import ModelConfig
from workbench.models.loading import load_tokenizer
from workbench.train.data import encode_all, row_order

BATCH_SIZE = 8
MAX_LENGTH = 256
LIBRARIES = ("torch", "transformers", "trl", "peft", "bitsandbytes")
MOST_LOSS_DIFFERENCE = 0.02
"""Above, the sides do not train the same thing, and no ratio is printed."""


def run_side(side: str, steps: int, **environment: str) -> dict[str, Any]:
    """One side in a process of its own."""
    command = [sys.executable, "-m", "training.side", side, str(steps), str(BATCH_SIZE), str(MAX_LENGTH)]
    here = Path(__file__).parent
    variables = os.environ | environment
    done = subprocess.run(command, cwd=here, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{side} failed:\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def learned_share(steps: int) -> float:
    """Share of the tokens that are learned, and so need the head."""
    data = encode_all(load_tokenizer(ModelConfig(), Path()), docstring_records(steps * BATCH_SIZE), MAX_LENGTH, None)
    lengths = [len(row.input_ids) for row in data.rows]
    order = row_order(lengths, BATCH_SIZE, steps, 0, grouped=False)
    rows = [data.rows[place] for place in order]
    return sum(row.answer_tokens for row in rows) / sum(len(row.input_ids) for row in rows)


def measure(steps: int, rounds: int) -> dict[str, Any]:
    """All figures; stops if the sides do not agree."""
    runs: dict[str, list[dict[str, Any]]] = {"trl": [], "workbench": []}
    for round_number in range(rounds):
        for side in ("trl", "workbench") if round_number % 2 == 0 else ("workbench", "trl"):
            runs[side].append(run_side(side, steps))
            print(f"round {round_number + 1}  {side:<10} {runs[side][-1]['seconds']:7.1f} s", flush=True)
    stock, ours = runs["trl"][0], runs["workbench"][0]
    assert ours["fast_path"], "the fast path was not taken"
    assert stock["tokens"] == ours["tokens"] and len(stock["losses"]) == len(ours["losses"]) == steps
    difference = _largest_difference(stock["losses"], ours["losses"])
    assert difference <= MOST_LOSS_DIFFERENCE, f"the sides disagree on a step's loss by {difference:.2%}"
    seconds = {side: statistics.median(run["seconds"] for run in found) for side, found in runs.items()}
    again = run_side("trl", steps, OMP_NUM_THREADS="1")
    exact = run_side("gradients", 1)
    weights = exact["parameters"]
    per_token = 4 * (weights["linear"] + learned_share(steps) * weights["head"]) + 6 * weights["adapter"]
    rate = ours["tokens"] / seconds["workbench"]
    return {
        "metrics": {
            "speedup_vs_trl": seconds["trl"] / seconds["workbench"],
            "trl_s": seconds["trl"],
            "workbench_s": seconds["workbench"],
            "trl_tokens_per_s": stock["tokens"] / seconds["trl"],
            "workbench_tokens_per_s": rate,
            "max_step_loss_rel_diff": difference,
            "trl_own_step_loss_rel_diff": _largest_difference(stock["losses"], again["losses"]),
            "grad_rel_err_vs_fp32": exact["fast"],
            "grad_rel_err_vs_fp32_stock": exact["stock"],
            "share_of_gemm_ceiling": rate * per_token / exact["gemm_flops"],
        },
        "conditions": {
            "model": ModelConfig().ref,
            "precision": "nf4",
            "steps": steps,
            "rounds": rounds,
            "batch_size": BATCH_SIZE,
            "max_length": MAX_LENGTH,
            "tokens": ours["tokens"],
            "gemm_gflops": exact["gemm_flops"] / 1e9,
            "cores": os.cpu_count(),
            "load": os.getloadavg()[0],
            "python": platform.python_version(),
            "versions": {name: metadata.version(name) for name in LIBRARIES},
        },
    }


def _largest_difference(losses: list[float], others: list[float]) -> float:
    return max(abs(a - b) / a for a, b in zip(losses, others, strict=True))


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="three steps once")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    options = parser.parse_args()
    result = measure(steps=3, rounds=1) if options.quick else measure(steps=20, rounds=3)
    for name, value in result["metrics"].items():
        print(f"  {name:<28} {value:10.4g}")
    if options.json:
        print(json.dumps({"benchmark": "train", **result}))


if __name__ == "__main__":
    main()
