"""Speed of the loss on answer rows against TRL's stock loss, on the same batches of the demo's model, in one run.

    python benchmarks/train.py                 three rounds over six batches
    python benchmarks/train.py --quick         three rounds over two batches
    python benchmarks/train.py --json          the last line is one JSON object

A round is forward and backward of every batch by both sides in turn; times are medians over rounds, the ratio is stock
over ours. Both sides must agree on the loss, or nothing is printed.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import statistics
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workbench.core.config import ModelConfig, TrainConfig
from workbench.core.records import Message, Record, Source

ROUNDS = 3
BATCH_SIZE = 8
MAX_LENGTH = 256
MAX_LOSS_DIFFERENCE = 0.02


def docstring_records(wanted: int) -> list[Record]:
    """Questions about the standard library's functions, answered by their docstrings, in file order."""
    library = Path(sysconfig.get_paths()["stdlib"])
    records: list[Record] = []
    for name in ("argparse", "ast", "bisect", "calendar", "csv", "datetime", "difflib", "shutil"):
        for function, text in _docstrings(library / f"{name}.py"):
            question = Message(role="user", content=f"What does `{function}` in the Python module `{name}` do?")
            turns = (question, Message(role="assistant", content=text))
            source = Source(dataset="stdlib", part_of=name)
            records.append(Record(id=f"{len(records):016x}", kind="chat", messages=turns, source=source))
    return records[:wanted]


def _docstrings(path: Path) -> Iterator[tuple[str, str]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            text = ast.get_docstring(node)
            if text and len(text.split()) >= 12:
                yield node.name, text


def step(trainer: Any, batch: dict[str, Any], *, answer_rows_only: bool) -> tuple[float, float]:
    """Wall seconds of one forward and backward, and its loss."""
    trainer.answer_rows_only = answer_rows_only
    learned = (batch["labels"][:, 1:] != -100).sum()
    began = time.perf_counter()
    with trainer.accelerator.autocast():
        loss = trainer.compute_loss(trainer.model, dict(batch), num_items_in_batch=learned)
    loss.backward()
    seconds = time.perf_counter() - began
    trainer.model.zero_grad()
    return seconds, float(loss.detach())


def measure(batches: int) -> dict[str, Any]:
    """Seconds per pass over the batches for both sides, tokens per second, ratio and largest difference in loss."""
    import torch

    from workbench.models.loading import load
    from workbench.train.data import encode_all
    from workbench.train.trainer import StepLog, build_trainer

    loaded = load(ModelConfig(), "nf4", Path())
    data = encode_all(loaded.tokenizer, docstring_records(BATCH_SIZE * batches), MAX_LENGTH, None)
    config = TrainConfig(max_steps=batches, batch_size=BATCH_SIZE, dropout=0.0)
    with tempfile.TemporaryDirectory() as work:
        silent = StepLog(lambda point, tokens_per_s: None, lambda: False)
        trainer = build_trainer(loaded, data, config, 0, Path(work), silent)
    trainer.model.train()
    inputs = list(trainer.get_train_dataloader())
    step(trainer, inputs[0], answer_rows_only=True)
    step(trainer, inputs[0], answer_rows_only=False)
    seconds: dict[bool, list[float]] = {True: [], False: []}
    difference = 0.0
    for _ in range(ROUNDS):
        passes = {True: 0.0, False: 0.0}
        for batch in inputs:
            losses = {}
            for ours in (True, False):
                took, losses[ours] = step(trainer, batch, answer_rows_only=ours)
                passes[ours] += took
            difference = max(difference, abs(losses[True] - losses[False]))
        for ours, took in passes.items():
            seconds[ours].append(took)
    assert difference < MAX_LOSS_DIFFERENCE, f"the two sides disagree on the loss by {difference}"
    tokens = sum(int(batch["attention_mask"].sum()) for batch in inputs)
    answer_rows, stock = statistics.median(seconds[True]), statistics.median(seconds[False])
    return {
        "metrics": {
            "answer_rows_s": answer_rows,
            "stock_trl_s": stock,
            "ratio": stock / answer_rows,
            "answer_rows_tokens_per_s": tokens / answer_rows,
            "stock_trl_tokens_per_s": tokens / stock,
            "max_loss_difference": difference,
        },
        "conditions": {
            "model": ModelConfig().ref,
            "precision": "nf4",
            "batches": len(inputs),
            "batch_size": BATCH_SIZE,
            "max_length": MAX_LENGTH,
            "tokens": tokens,
            "rounds": ROUNDS,
            "threads": torch.get_num_threads(),
            "load": os.getloadavg()[0],
        },
    }


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two batches instead of six")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    options = parser.parse_args()
    result = measure(batches=2 if options.quick else 6)
    metrics, conditions = result["metrics"], result["conditions"]
    print(f"forward and backward of {conditions['batches']} batches, {conditions['tokens']} tokens, NF4 base")
    for label, side in (("loss on answer rows", "answer_rows"), ("stock TRL", "stock_trl")):
        print(f"  {label:<20} {metrics[side + '_s']:6.2f} s  {metrics[side + '_tokens_per_s']:6.0f} tokens/s")
    print(f"  ratio                {metrics['ratio']:6.2f}")
    print(f"  largest difference in loss {metrics['max_loss_difference']:.4f}")
    if options.json:
        print(json.dumps({"benchmark": "train", **result}))


if __name__ == "__main__":
    main()
