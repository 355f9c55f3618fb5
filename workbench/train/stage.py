"""Train: an adapter from a training set, with its loss curve and a sham beside it.

    mix/train.jsonl    {"kind": "chat", "messages": [{"role": "user", "content": "What does len() do?"},
                                                     {"role": "assistant", "content": "Counts items."}], ...}
    ->
    adapter/           LoRA on all linear layers of the frozen base, fp32 safetensors, and what it was trained on
    sham/              the same shapes, all zeros: scored like the adapter, it must change nothing
    curve.jsonl        {"step": 1, "loss": 3.41, "learning_rate": 0.0, "grad_norm": 2.2, "tokens": 412, "seconds": 1.9}
    training.json      TrainSummary

A run killed at any moment and taken up again ends in the same adapter and the same losses, to the last bit.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.core.errors import UsageError
from workbench.core.fingerprints import file_sha256
from workbench.core.nodes import TrainNode
from workbench.core.parts import read_rows, write_model, write_rows, write_text
from workbench.core.records import CurvePoint, Record
from workbench.core.results import TrainSummary
from workbench.core.stage import Cancelled, Context, Done, Inputs, Outcome, Stage
from workbench.models.refs import model_fingerprint, resolve

if TYPE_CHECKING:
    from workbench.models.loading import LoadedModel
    from workbench.train.trainer import AdapterTrainer

_ATTEMPTS = "attempts.jsonl"


def run(config: TrainNode, inputs: Inputs, ctx: Context) -> Outcome:
    """Trains the adapter, or goes on where an interrupted attempt left a valid checkpoint.

    Raises UsageError if method and precision do not go together, IncompleteError for an empty training set, a failed
    gradient self-check or a loss that is not finite.
    """
    _check_method(config)
    # 8 s: torch, trl and peft; planning must not pay for them
    import torch

    threads = torch.get_num_threads()
    if config.train.threads is not None:
        torch.set_num_threads(config.train.threads)
    try:
        return _run(config, inputs["mix"].part("train.jsonl"), ctx)
    finally:
        torch.set_num_threads(threads)


def external(config: TrainNode, project: Path) -> dict[str, str]:
    """The base's weights."""
    return {"model": model_fingerprint(resolve(config.model.ref, config.model.revision, project))}


def _check_method(config: TrainNode) -> None:
    needs = {"qlora": ("nf4",), "lora": ("bf16", "fp32")}[config.train.method]
    if config.model.precision not in needs:
        raise UsageError(
            f"method {config.train.method} needs a base in {' or '.join(needs)}, but model.precision is "
            f"{config.model.precision}",
            where="train.method",
            next_step="set train.method: lora for a bf16 or fp32 base, or model.precision: nf4 for qlora",
        )


def _run(config: TrainNode, train_file: Path, ctx: Context) -> Outcome:
    from workbench.models.quiet import quiet_libraries

    quiet_libraries()
    from workbench.models import gradient_guard
    from workbench.models.loading import load, load_tokenizer
    from workbench.train.data import encode_all
    from workbench.train.trainer import StepLog, build_trainer, clear_scratch, self_check

    tokenizer = load_tokenizer(config.model, ctx.project)
    max_length = config.train.max_length or config.model.max_length
    data = encode_all(tokenizer, read_rows(train_file, Record), max_length, config.model.system_prompt)
    if data.skipped:
        ctx.warn(f"{data.skipped} records left out: their prompt alone fills {max_length} tokens")
    if data.truncated:
        ctx.info(f"{data.truncated} of {len(data.rows)} answers cut off at {max_length} tokens")
    if ctx.cancelled():
        return Cancelled()

    loaded = load(config.model, config.model.precision, ctx.project)
    log = StepLog(_reporter(config, ctx), ctx.cancelled)
    trainer = build_trainer(loaded, data, config.train, config.seed, ctx.work_dir, log)
    with gradient_guard.severed_gradients_are_errors():
        cosine = self_check(trainer, data)
        gradient_guard.require_gradient(cosine)
        resumed_from = _train(trainer, config, ctx)
    clear_scratch(ctx.work_dir)
    if len(log.curve) < config.train.max_steps:
        return Cancelled()
    return _write_parts(_Trained(loaded, trainer, cosine, resumed_from), config, ctx)


def _train(trainer: AdapterTrainer, config: TrainNode, ctx: Context) -> tuple[int, ...]:
    """Trains to the last step from the newest valid checkpoint on; returns the steps at which work was taken up."""
    from transformers import set_seed

    from workbench.train.checkpoints import newest_valid
    from workbench.train.trainer import read_curve

    def tell(path: Path, fault: str) -> None:
        ctx.warn(f"checkpoint {path.name} is passed over: {fault}")

    checkpoint = newest_valid(trainer.checkpoints_dir, tell)
    curve = read_curve(checkpoint) if checkpoint else []
    resumed_from = _note_attempt(ctx.work_dir, len(curve))
    if curve:
        ctx.info(f"taking up training after step {len(curve)} of {config.train.max_steps}")
    trainer.step_log.resume(curve)
    set_seed(config.seed)
    if checkpoint and len(curve) >= config.train.max_steps:
        trainer.resume_state(checkpoint)
    else:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    return resumed_from


def _note_attempt(work_dir: Path, first_step: int) -> tuple[int, ...]:
    """Records that an attempt begins after `first_step`; returns the same of all attempts that took up earlier work."""
    note = work_dir / _ATTEMPTS
    attempts = json.loads(note.read_text(encoding="utf-8")) if note.is_file() else []
    attempts.append(first_step)
    write_text(note, json.dumps(attempts))
    return tuple(step for step in attempts if step > 0)


def _reporter(config: TrainNode, ctx: Context) -> Any:
    steps = config.train.max_steps

    def on_step(point: CurvePoint, tokens_per_s: float) -> None:
        ctx.metric(
            point.step,
            loss=point.loss,
            learning_rate=point.learning_rate,
            grad_norm=point.grad_norm,
            tokens_per_s=tokens_per_s,
        )
        left_s = point.seconds / point.step * (steps - point.step)
        ctx.progress(point.step, steps, "steps", f"loss {point.loss:.3f}, {_duration(left_s)} left")

    return on_step


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


@dataclass(frozen=True, slots=True)
class _Trained:
    """What training left in memory."""

    loaded: LoadedModel
    trainer: AdapterTrainer
    cosine: float
    resumed_from: tuple[int, ...]


def _write_parts(trained: _Trained, config: TrainNode, ctx: Context) -> Done:
    from workbench.models.adapter_files import WEIGHTS, AdapterNote
    from workbench.models.chat import template_hash
    from workbench.train.export import write_adapter, write_sham
    from workbench.train.trainer import trained_parameters

    loaded, model, curve = trained.loaded, trained.trainer.model, trained.trainer.step_log.curve
    note = AdapterNote(
        base=config.model.ref,
        base_fingerprint=loaded.fingerprint,
        precision=config.model.precision,
        template_hash=template_hash(loaded.tokenizer, config.model.system_prompt),
        train=config.train,
        seed=config.seed,
    )
    adapter = ctx.out_dir / "adapter"
    write_adapter(model, adapter, note)
    write_sham(adapter, ctx.out_dir / "sham")
    write_rows(ctx.out_dir / "curve.jsonl", curve)
    tenth = max(1, len(curve) // 10)
    summary = TrainSummary(
        method=config.train.method,
        base=config.model.ref,
        base_fingerprint=loaded.fingerprint,
        precision=config.model.precision,
        trainable_parameters=sum(parameter.numel() for parameter in trained_parameters(model)),
        total_parameters=int(model.num_parameters()),
        steps=len(curve),
        answer_tokens=sum(point.tokens for point in curve),
        first_loss=_mean_loss(curve[:tenth]),
        last_loss=_mean_loss(curve[-tenth:]),
        resumed_from=trained.resumed_from,
        gradient_check=trained.cosine,
        seconds=curve[-1].seconds,
        adapter_sha256=file_sha256(adapter / WEIGHTS),
    )
    write_model(ctx.out_dir / "training.json", summary)
    return Done({"steps": summary.steps, "first_loss": summary.first_loss, "last_loss": summary.last_loss})


def _mean_loss(points: list[CurvePoint]) -> float:
    """Mean over answer tokens, not over steps."""
    return sum(point.loss * point.tokens for point in points) / sum(point.tokens for point in points)


STAGE = Stage(
    name="train",
    version=1,
    config=TrainNode,
    run=run,
    libraries=("torch", "transformers", "peft", "trl", "bitsandbytes", "accelerate"),
    external=external,
)
