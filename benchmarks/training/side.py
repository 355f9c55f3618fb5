"""One side of the training benchmark in a process of its own; prints one JSON object.

    python -m training.side trl 20 8 256          a plain TRL script: steps, rows per step, longest row in tokens
    python -m training.side workbench 20 8 256    the trainer of the `train` stage
    python -m training.side gradients 1 8 256     one batch's gradient by both and in fp32, and the peak of a bf16 GEMM

Both train the same NF4 base with LoRA of rank 16 on all linear layers, the same rows in the same order, AdamW with the
same schedule, and start from the same adapter. Seconds are those of `train()`: optimiser, logging and all.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from transformers import set_seed
from trl import SFTConfig, SFTTrainer

from training.rows import docstring_records
from workbench.core.config import ModelConfig
from workbench.core.training import TrainConfig
from workbench.models import gradient_guard
from workbench.models.loading import LoadedModel, load
from workbench.train.data import EncodedSet, collate, encode_all, row_order
from workbench.train.step_log import StepLog
from workbench.train.trainer import build_trainer

LEARNING_RATE = 2e-4
RANK, ALPHA = 16, 32


def main() -> None:
    """Runs the side named on the command line."""
    side, steps, batch_size, max_length = sys.argv[1], *map(int, sys.argv[2:5])
    loaded = load(ModelConfig(), "nf4", Path())
    gradient_guard.disable_packed_path(loaded.model)
    data = encode_all(loaded.tokenizer, docstring_records(steps * batch_size), max_length, None)
    sides = {"trl": trl, "workbench": workbench, "gradients": gradients}
    with tempfile.TemporaryDirectory() as scratch:
        print(json.dumps(sides[side](loaded, data, steps, batch_size, Path(scratch))))


def lora() -> LoraConfig:
    """The adapter of both sides."""
    return LoraConfig(
        task_type="CAUSAL_LM", target_modules="all-linear", r=RANK, lora_alpha=ALPHA, lora_dropout=0.0, bias="none"
    )


def trl(loaded: LoadedModel, data: EncodedSet, steps: int, batch_size: int, scratch: Path) -> dict[str, Any]:
    """As in TRL's own examples, with gradient checkpointing off and the rows in the order of the other side."""
    order = row_order([len(row.input_ids) for row in data.rows], batch_size, steps, 0, grouped=False)
    rows = [
        {"input_ids": row.input_ids, "completion_mask": [int(label != -100) for label in row.labels]}
        for row in (data.rows[place] for place in order)
    ]
    set_seed(0)
    trainer = SFTTrainer(
        model=loaded.model,
        args=SFTConfig(
            output_dir=str(scratch),
            max_steps=steps,
            per_device_train_batch_size=batch_size,
            learning_rate=LEARNING_RATE,
            lr_scheduler_type="cosine",
            warmup_steps=2,
            bf16=True,
            use_cpu=not torch.cuda.is_available(),
            gradient_checkpointing=False,
            train_sampling_strategy="sequential",
            dataloader_pin_memory=False,
            completion_only_loss=True,
            max_length=None,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            seed=0,
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=loaded.tokenizer,
        peft_config=lora(),
    )
    began = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - began
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return {"seconds": seconds, "losses": losses, "tokens": sum(len(row["input_ids"]) for row in rows)}


def workbench(loaded: LoadedModel, data: EncodedSet, steps: int, batch_size: int, scratch: Path) -> dict[str, Any]:
    """What `workbench run` trains with."""
    config = TrainConfig(
        rank=RANK, alpha=ALPHA, dropout=0.0, learning_rate=LEARNING_RATE, warmup_steps=2, max_steps=steps,
        batch_size=batch_size, checkpoint_steps=steps + 1,
    )  # fmt: skip
    tokens: list[float] = []
    log = StepLog(lambda point, tokens_per_s: tokens.append(tokens_per_s), lambda: False)
    set_seed(0)
    trainer = build_trainer(loaded, data, config, 0, scratch, log)
    trainer.choose_path()
    set_seed(0)
    log.resume([])
    began = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - began
    order = row_order([len(row.input_ids) for row in data.rows], batch_size, steps, 0, grouped=False)
    return {
        "seconds": seconds,
        "losses": [point.loss for point in log.curve],
        "tokens": sum(len(data.rows[place].input_ids) for place in order),
        "fast_path": trainer.fast_path is not None,
    }


def gradients(loaded: LoadedModel, data: EncodedSet, steps: int, batch_size: int, scratch: Path) -> dict[str, Any]:
    """Relative error of the adapter's gradient on one batch against fp32 arithmetic on the same NF4 weights."""
    from workbench.train.fast_path import fast_path_for

    set_seed(0)
    model = get_peft_model(loaded.model, lora()).train()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.01)
    rows = [{"input_ids": row.input_ids, "labels": row.labels} for row in data.rows[:batch_size]]
    batch = collate(loaded.tokenizer.pad_token_id)(rows)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        stock = _gradient(model, _stock_nll(model, batch))
    path = fast_path_for(model)
    assert path is not None, "this model trains without the fast path"
    with torch.autocast("cpu", dtype=torch.bfloat16):
        fast = _gradient(model, path.nll(model, batch))
    path.leave(model)
    model.float()
    for module in gradient_guard.four_bit_layers(model):
        module.compute_dtype = torch.float32
    exact = _gradient(model, _stock_nll(model, batch))
    size = exact.norm()
    return {
        "stock": float((stock - exact).norm() / size),
        "fast": float((fast - exact).norm() / size),
        "gemm_flops": gemm_peak(),
        "parameters": _parameters(model),
    }


def _stock_nll(model: Any, batch: dict[str, Any]) -> Any:
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False).logits
    targets = batch["labels"][:, 1:].reshape(-1)
    return torch.nn.functional.cross_entropy(
        logits[:, :-1].reshape(len(targets), -1).float(), targets, reduction="sum"
    )


def _gradient(model: Any, loss: Any) -> Any:
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return torch.cat([gradient.reshape(-1).float() for gradient in torch.autograd.grad(loss, parameters)])


def _parameters(model: Any) -> dict[str, int]:
    """Weights in the linear layers, in the adapter and in the head."""
    bare = model.get_base_model()
    linear = sum(module.in_features * module.out_features for module in gradient_guard.four_bit_layers(model))
    adapter = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    return {"linear": linear, "adapter": adapter, "head": bare.get_output_embeddings().weight.numel()}


def gemm_peak(size: int = 2048, rounds: int = 7) -> float:
    """Floating-point operations per second of a square bf16 product, the best of some rounds."""
    left, right = torch.randn(2, size, size, dtype=torch.bfloat16)
    best = 0.0
    for _ in range(rounds):
        began = time.perf_counter()
        torch.mm(left, right)
        best = max(best, 2 * size**3 / (time.perf_counter() - began))
    return best


if __name__ == "__main__":
    main()
