"""Train: an adapter from a training set, with its loss curve and a sham beside it.

    mix/train.jsonl    {"kind": "chat", "messages": [{"role": "user", "content": "What does len() do?"},
                                                     {"role": "assistant", "content": "Counts items."}], ...}
    ->
    adapter/           what the method trained, fp32 safetensors, and a note of what it was trained on and how
    sham/              an adapter of the same kind that changes nothing: scored like the adapter, it must give the base
    curve.jsonl        {"step": 1, "loss": 3.41, "learning_rate": 0.0, "grad_norm": 2.2, "tokens": 412, "seconds": 1.9}
    samples.jsonl      {"step": 40, "prompt": "What does len() do?", "answer": "Counts items.", ...}
    training.json      TrainSummary

A run killed at any moment and taken up again ends in the same adapter and the same losses, to the last bit.
"""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.core.errors import IncompleteError
from workbench.core.fingerprints import file_sha256
from workbench.core.nodes import TrainNode
from workbench.core.objectives import OBJECTIVES
from workbench.core.parts import read_rows, write_model, write_rows, write_text
from workbench.core.rates import wilson
from workbench.core.records import CurvePoint, Record
from workbench.core.results import TrainSummary
from workbench.core.stage import Cancelled, Context, Done, Inputs, Outcome, Stage
from workbench.models.refs import model_fingerprint, resolve
from workbench.train.objectives.rewards import reward_externals
from workbench.train.objectives.teacher import teacher_externals
from workbench.train.processes import process_count, run_in_processes, visible_gpus
from workbench.train.refusals import refuse, refuse_rows

if TYPE_CHECKING:
    from workbench.models.loading import LoadedModel
    from workbench.train.checkpointed import Checkpointed
    from workbench.train.group import Group
    from workbench.train.step_log import StepLog

_ATTEMPTS = "attempts.jsonl"
_TOO_LARGE = "out_of_memory.json"


def run(config: TrainNode, inputs: Inputs, ctx: Context) -> Outcome:
    """Trains the adapter, or goes on where an interrupted attempt left a valid checkpoint.

    Raises UsageError and PrerequisiteError as `refuse`, IncompleteError for an empty training set, a failed gradient
    self-check, a loss that is not finite, or a single sequence that does not fit into memory.
    """
    refuse(config.train, config.model)
    train_file = inputs["mix"].part("train.jsonl")
    records = list(read_rows(train_file, Record))
    refuse_rows(config.train.objective, records)
    _place_trackers(config, ctx)
    gpus = visible_gpus()
    count = process_count(config.train, len(gpus))
    if count > 1 or len(gpus) > 1:  # also a single one: it must see no GPU but its own
        return run_in_processes(config, train_file, ctx, count, gpus)
    with with_threads(config.train.threads):
        return _run(config, records, ctx)


def external(config: TrainNode, project: Path) -> dict[str, str]:
    """The base's weights, and what the objective reads: a teacher's, files with rewards, judges."""
    found = {"model": model_fingerprint(resolve(config.model.ref, config.model.revision, project))}
    if config.train.objective == "grpo":
        found |= reward_externals(config, project)
    if config.train.objective == "gkd":
        found |= teacher_externals(config, project)
    return found


@contextmanager
def with_threads(threads: int | None, processes: int = 1) -> Iterator[None]:
    """Within the block torch has `threads` CPU threads, or its share of those it would have had among `processes`."""
    # 8 s: torch, trl and peft; planning must not pay for them
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads or max(1, before // processes))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _run(config: TrainNode, records: Sequence[Record], ctx: Context) -> Outcome:
    from workbench.train.group import ALONE

    while not ctx.cancelled():
        outcome = attempt(config, records, ctx, ALONE)
        if outcome is not None:
            return outcome
        _release_memory()
    return Cancelled()


def _place_trackers(config: TrainNode, ctx: Context) -> None:
    """TensorBoard's files go beside the runs: the trainer's own directory is scratch."""
    if "tensorboard" in config.train.report_to:
        directory = ctx.project / ".workbench" / "tensorboard" / f"{ctx.node.replace(':', '-')}-{ctx.fingerprint[:12]}"
        os.environ["TENSORBOARD_LOGGING_DIR"] = str(directory)
        ctx.info(f"TensorBoard: tensorboard --logdir {directory}")


def attempt(config: TrainNode, records: Sequence[Record], ctx: Context, group: Group) -> Outcome | None:
    """Trains in batches as large as fit, as one process of `group`; None if these did not, which the next attempt will
    know. The leading process writes the parts."""
    from workbench.models.quiet import quiet_libraries

    quiet_libraries()  # before the others are imported, which tell things on the way
    from transformers import set_seed

    from workbench.models import gradient_guard
    from workbench.models.loading import load
    from workbench.train.checkpointed import trained_parameters
    from workbench.train.objectives.registry import Job, build
    from workbench.train.samples import samples_for
    from workbench.train.step_log import StepLog

    too_large = _too_large(ctx.work_dir)
    log = StepLog(lambda point, tokens_per_s: _tell_step(ctx, log, point, tokens_per_s), ctx.cancelled)
    log.on_validation = lambda step, loss: ctx.metric(step, validation_loss=loss)
    log.info, log.warn = ctx.info, ctx.warn
    rates = OBJECTIVES[config.train.objective].makes == "reward_model"
    share = config.train.batch_size * config.train.gradient_accumulation // group.count
    batch_size = _fitting(too_large[-1] // 2 if too_large else config.train.batch_size, share)
    try:
        if rates:
            set_seed(config.seed)  # the new output layer
        loaded = load(config.model, config.model.precision, ctx.project, rates=rates)
        trainer = build(Job(config, loaded, records, ctx.project, ctx.work_dir, log))
        trainer.join(group)
        if batch_size != trainer.args.per_device_train_batch_size:
            trainer.shrink(batch_size)
        trainer.samples = samples_for(loaded, records, config.train, trainer.settings, config.seed, ctx.sample)
        with gradient_guard.severed_gradients_are_errors():
            cosine = trainer.self_check()
            gradient_guard.require_gradient(cosine)
            resumed_from = _train(trainer, config, ctx)
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        _note_too_large(ctx, [*too_large, batch_size], share)
        return None
    if not trainer.finished:
        return Cancelled()
    group.require_equal(trained_parameters(trainer.model))
    if not group.leads:
        return Done({})
    _clear_scratch(ctx.work_dir)
    return _write_parts(_Trained(loaded, trainer, cosine, resumed_from, too_large), config, ctx)


def _is_out_of_memory(error: BaseException) -> bool:
    """Whether it says that memory is short; torch has a class for GPUs, and a message for the CPU."""
    import torch

    is_told = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return is_told or "DefaultCPUAllocator: can't allocate memory" in str(error)


def _fitting(most: int, share: int) -> int:
    """The largest batch of at most `most` sequences that divides a process's `share` of a step's sequences."""
    return next(size for size in range(most, 0, -1) if share % size == 0)


def _too_large(work_dir: Path) -> tuple[int, ...]:
    note = work_dir / _TOO_LARGE
    return tuple(json.loads(note.read_text(encoding="utf-8"))) if note.is_file() else ()


def _note_too_large(ctx: Context, sizes: list[int], share: int) -> None:
    """Records that batches of the last size did not fit; IncompleteError if there is no smaller one."""
    if sizes[-1] == 1:
        raise IncompleteError(
            "out of memory with a single sequence per forward pass",
            where="train",
            next_step="set train.gradient_checkpointing: true, lower train.max_length, or take train.method: qlora on "
            "an NF4 base",
        )
    write_text(ctx.work_dir / _TOO_LARGE, json.dumps(sizes))
    ctx.warn(
        f"out of memory with {sizes[-1]} sequences per forward pass: going on with "
        f"{_fitting(sizes[-1] // 2, share)}, at as many sequences per step"
    )


def _release_memory() -> None:
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _train(trainer: Checkpointed, config: TrainNode, ctx: Context) -> tuple[int, ...]:
    """Trains to the last step from the newest valid checkpoint on; returns the steps at which work was taken up."""
    from transformers import set_seed

    from workbench.train.checkpoints import newest_valid
    from workbench.train.step_log import read_curve

    def tell(path: Path, fault: str) -> None:
        ctx.warn(f"checkpoint {path.name} is passed over: {fault}")

    checkpoint = newest_valid(trainer.checkpoints_dir, tell)
    curve = read_curve(checkpoint) if checkpoint else []
    resumed_from = _note_attempt(ctx.work_dir, len(curve)) if trainer.group.leads else ()
    if curve:
        ctx.info(f"taking up training after step {len(curve)} of {trainer.step_log.steps}")
    trainer.step_log.resume(curve)
    set_seed(config.seed)
    trainer.group.seed(config.seed)
    trainer.train_from(checkpoint)
    if trainer.stopped_early and trainer.validation is not None:
        ctx.info(
            f"stopped after step {len(trainer.step_log.curve)}: the validation loss has not fallen since step "
            f"{trainer.validation.best_step}, whose adapter is kept"
        )
    return resumed_from


def _note_attempt(work_dir: Path, first_step: int) -> tuple[int, ...]:
    """Records that an attempt begins after `first_step`; returns the same of all attempts that took up earlier work."""
    note = work_dir / _ATTEMPTS
    attempts = json.loads(note.read_text(encoding="utf-8")) if note.is_file() else []
    attempts.append(first_step)
    write_text(note, json.dumps(attempts))
    return tuple(step for step in attempts if step > 0)


def _clear_scratch(work_dir: Path) -> None:
    """Removes what the trainer library puts beside our checkpoints."""
    import shutil

    shutil.rmtree(work_dir / "trainer", ignore_errors=True)


def _tell_step(ctx: Context, log: StepLog, point: CurvePoint, tokens_per_s: float) -> None:
    ctx.metric(
        point.step,
        loss=point.loss,
        learning_rate=point.learning_rate,
        grad_norm=point.grad_norm,
        tokens_per_s=tokens_per_s,
        memory_bytes=float(_peak_memory_bytes()),
        **point.measures,
    )
    left_s = point.seconds / point.step * (log.steps - point.step)
    ctx.progress(point.step, log.steps, "steps", f"loss {point.loss:.3f}, {_duration(left_s)} left")


def _peak_memory_bytes() -> int:
    """Largest memory so far: of the GPU where there is one, else of this process."""
    import resource
    import sys

    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


@dataclass(frozen=True, slots=True)
class _Trained:
    """What training left in memory."""

    loaded: LoadedModel
    trainer: Checkpointed
    cosine: float
    resumed_from: tuple[int, ...]
    too_large: tuple[int, ...]


def _write_parts(trained: _Trained, config: TrainNode, ctx: Context) -> Done:
    from workbench.models.adapter_files import AdapterNote
    from workbench.models.chat import template_hash
    from workbench.train.export import START, write_adapter, write_sham

    loaded, trainer, settings = trained.loaded, trained.trainer, trained.trainer.settings
    note = AdapterNote(
        base=config.model.ref,
        base_fingerprint=loaded.fingerprint,
        precision=config.model.precision,
        template_hash=template_hash(loaded.tokenizer, config.model.system_prompt),
        train=trainer.settings,
        seed=config.seed,
    )
    adapter, start = ctx.out_dir / "adapter", ctx.work_dir / START
    write_adapter(trainer.model, adapter, note, start)
    if OBJECTIVES[settings.objective].makes == "policy":
        write_sham(adapter, ctx.out_dir / "sham", note, start)
    write_rows(ctx.out_dir / "curve.jsonl", trainer.step_log.curve)
    if trainer.samples is not None:
        trainer.samples.write(ctx.out_dir)
    summary = _summary(trained, config, adapter)
    write_model(ctx.out_dir / "training.json", summary)
    return Done({"steps": summary.steps, "first_loss": summary.first_loss, "last_loss": summary.last_loss})


def _summary(trained: _Trained, config: TrainNode, adapter: Path) -> TrainSummary:
    from workbench.models.adapter_files import WEIGHTS
    from workbench.train.checkpointed import trained_parameters

    trainer, settings = trained.trainer, trained.trainer.settings
    curve, looks = trainer.step_log.curve, trainer.validation
    tenth = max(1, len(curve) // 10)
    ordered = trainer.held_back_order()
    return TrainSummary(
        objective=settings.objective,
        method=settings.method,
        base=config.model.ref,
        base_fingerprint=trained.loaded.fingerprint,
        precision=config.model.precision,
        trainable_parameters=sum(parameter.numel() for parameter in trained_parameters(trainer.model)),
        total_parameters=int(trainer.model.num_parameters()),
        steps=len(curve),
        answer_tokens=sum(point.tokens for point in curve),
        first_loss=_mean_loss(curve[:tenth]),
        last_loss=_mean_loss(curve[-tenth:]),
        first_reward=_mean_reward(curve[:tenth]),
        last_reward=_mean_reward(curve[-tenth:]),
        resumed_from=trained.resumed_from,
        gradient_check=trained.cosine,
        seconds=curve[-1].seconds,
        adapter_sha256=file_sha256(adapter / WEIGHTS),
        learning_rate=settings.learning_rate,
        dropout=settings.dropout,
        warmup_steps=settings.warmup_steps,
        batch_size=trainer.args.per_device_train_batch_size,
        gradient_accumulation=trainer.args.gradient_accumulation_steps,
        processes=trainer.group.count,
        out_of_memory=trained.too_large,
        validation_rows=0 if looks is None else sum(map(trainer.rows_of, looks.batches)),
        best_step=looks.best_step if looks is not None and looks.curve else None,
        best_validation_loss=looks.best_loss if looks is not None and looks.curve else None,
        held_back_pairs=0 if ordered is None else ordered[1],
        pairs_in_order=None if ordered is None else wilson(*ordered),
        stopped_early=len(curve) < trainer.step_log.steps,
        peak_memory_bytes=_peak_memory_bytes(),
    )


def _mean_loss(points: list[CurvePoint]) -> float:
    """Mean over answer tokens, not over steps, where tokens are counted."""
    weights = [point.tokens for point in points] if any(point.tokens for point in points) else [1] * len(points)
    return sum(point.loss * weight for point, weight in zip(points, weights, strict=True)) / sum(weights)


def _mean_reward(points: list[CurvePoint]) -> float | None:
    """Mean over the steps that have one; None for objectives without rewards."""
    rewards = [point.measures["reward"] for point in points if "reward" in point.measures]
    return sum(rewards) / len(rewards) if rewards else None


STAGE = Stage(
    name="train",
    version=2,
    config=TrainNode,
    run=run,
    libraries=("torch", "transformers", "peft", "trl", "bitsandbytes", "accelerate"),
    external=external,
)
