"""What cannot work, refused before anything is read, made or loaded.

    method full, objective dpo    ->   UsageError at train.objective: ... next: set train.method: lora
    method pissa, precision nf4   ->   UsageError at train.method: ... next: set train.method: qlora
    optimizer adamw_8bit, no GPU  ->   UsageError at train.optimizer: ... next: train.optimizer: adamw
    report_to [wandb], absent     ->   PrerequisiteError at train.report_to: ... next: pip install wandb
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from importlib.util import find_spec

from workbench.core.config import ArmConfig, ModelConfig
from workbench.core.errors import IncompleteError, PrerequisiteError, UsageError
from workbench.core.methods import METHODS, method_problem
from workbench.core.objectives import OBJECTIVES, Objective, row_kind, rows_problem
from workbench.core.records import Record
from workbench.core.training import TrainConfig


def refuse(settings: TrainConfig, model: ModelConfig) -> None:
    """Raises UsageError for settings that cannot work together or on this machine, PrerequisiteError for a tracker that
    is not installed."""
    if (problem := method_problem(settings.method, model.precision)) is not None:
        raise UsageError(problem[0], where="train.method", next_step=problem[1])
    kind = METHODS[settings.method].kind
    if settings.method == "lora+" and settings.optimizer != "adamw":
        raise UsageError(
            f"method lora+ is an optimiser of its own and cannot be {settings.optimizer} as well",
            where="train.optimizer",
            next_step="set train.optimizer: adamw, or train.method: qlora or lora",
        )
    if kind == "prompt" and settings.gradient_checkpointing:
        raise UsageError(
            f"method {settings.method} puts learned keys or tokens before the text, which computing activations again "
            "would drop",
            where="train.gradient_checkpointing",
            next_step="set train.gradient_checkpointing: false, or train.method: qlora or lora",
        )
    _refuse_without_gpu(settings)
    _refuse_more_than_gpus(settings)
    missing = [tracker for tracker in settings.report_to if find_spec(tracker) is None]
    if missing:
        raise PrerequisiteError(
            f"tracker {missing[0]} is not installed",
            where="train.report_to",
            next_step=f"pip install {' '.join(missing)}, or leave it out: the workbench shows and keeps every step",
        )


def refuse_arms(settings: TrainConfig, arms: Iterable[ArmConfig]) -> None:
    """UsageError for an arm (precision filled in) that the result of this training cannot be scored in."""
    facts = METHODS[settings.method]
    for arm in arms:
        if arm.adapter in ("train", "sham") and OBJECTIVES[settings.objective].makes == "reward_model":
            raise UsageError(
                f"objective {settings.objective} makes a model that rates answers, and arm {arm.name} has to give them",
                where="train.objective",
                next_step="train it alone (workbench train --data FILE), which measures it on held-back pairs, and let "
                "it rate data: curate.rating.reward_model",
            )
        if arm.adapter == "sham" and facts.sham == "none":
            raise UsageError(
                f"arm {arm.name} is a sham, but method {settings.method} has no adapter that changes nothing",
                where="score.arms",
                next_step="leave that arm and its pair out",
            )
        if arm.adapter in ("train", "sham") and facts.kind == "full" and arm.precision not in facts.precisions:
            raise UsageError(
                f"arm {arm.name} has precision {arm.precision}, but method {settings.method} gives weights that are "
                f"written over a base in {' or '.join(facts.precisions)}",
                where="score.arms",
                next_step=f"give that arm precision: {facts.precisions[0]}",
            )


def refuse_rows(objective: Objective, records: Iterable[Record]) -> None:
    """IncompleteError for a training set with rows that the objective does not learn from."""
    problem = rows_problem(objective, Counter(row_kind(record) for record in records))
    if problem is not None:
        raise IncompleteError(problem[0], where="train.objective", next_step=problem[1])


def fixed_steps(settings: TrainConfig) -> int:
    """`max_steps`; UsageError where the length depends on the data, for plans that train several sets equally long."""
    if settings.max_steps is None:
        raise UsageError(
            "how long is trained depends on the number of rows, and every arm must train equally long",
            where="train.max_steps",
            next_step="set train.max_steps",
        )
    return settings.max_steps


def _refuse_more_than_gpus(settings: TrainConfig) -> None:
    if settings.processes is None or settings.processes == 1:
        return
    import torch  # 3 s, and only where several processes are asked for

    gpus = torch.cuda.device_count()
    if 0 < gpus < settings.processes:
        raise UsageError(
            f"{settings.processes} processes need a GPU each, and {gpus} {'is' if gpus == 1 else 'are'} visible",
            where="train.processes",
            next_step=f"set train.processes: {gpus}, or raise train.gradient_accumulation",
        )


def _refuse_without_gpu(settings: TrainConfig) -> None:
    keys = [
        (settings.optimizer != "adamw", "optimizer", "adamw", f"bitsandbytes has {settings.optimizer} for GPUs only"),
        (
            settings.activation_offloading,
            "activation_offloading",
            "false",
            "activations are in CPU memory already: there is nowhere to offload them to",
        ),
    ]
    asked = [(key, instead, reason) for wanted, key, instead, reason in keys if wanted]
    if not asked:
        return
    import torch  # 3 s, and only where one of these keys is set

    if torch.cuda.is_available():
        return
    key, instead, reason = asked[0]
    raise UsageError(
        f"there is no GPU here, and {reason}", where=f"train.{key}", next_step=f"set train.{key}: {instead}"
    )
