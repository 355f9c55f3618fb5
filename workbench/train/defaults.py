"""Settings that depend on the data or the model: what is used where the configuration says nothing.

    600 rows, 135 M parameters, qlora   ->   dropout 0.1, learning rate 2e-4, 3 epochs of 8 rows = 225 steps, 23 warm-up
    600 pairs, 135 M parameters, dpo    ->   dropout 0,   learning rate 5e-6, 3 epochs of 8 pairs = 225 steps
    60,000 rows, 70 B parameters        ->   dropout 0,   learning rate 1e-4, 1 epoch = 7,500 steps, 750 warm-up

The reasons stand in docs/training.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from workbench.core.methods import METHODS
from workbench.core.objectives import OBJECTIVES
from workbench.core.training import TrainConfig

LARGE_MODEL = 13_000_000_000
"""Parameters above which the learning rate is halved (QLoRA, arXiv 2305.14314, table 9)."""
MAX_VALIDATION_ROWS = 200
MIN_VALIDATION_ROWS = 20
_VALIDATION_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Split:
    """How many rows are trained on, and how many held back."""

    train: int
    validation: int


def split_sizes(settings: TrainConfig, rows: int) -> Split:
    """Rows to train on and to hold back, of `rows` in all.

    Without a share in the configuration nothing is held back where no row is read twice, or where it would be fewer
    than 20 rows: too noisy to stop by.
    """
    share = settings.validation_share
    held = min(MAX_VALIDATION_ROWS, int(rows * (_VALIDATION_SHARE if share is None else share)))
    if not OBJECTIVES[settings.objective].validates:
        held = 0
    if share is None and (held < MIN_VALIDATION_ROWS or passes(settings, rows) <= 1):
        held = 0
    return Split(rows - held, held)


def passes(settings: TrainConfig, rows: int) -> float:
    """How often each of `rows` is read."""
    if settings.max_steps is not None:
        return settings.max_steps * settings.batch_size * settings.gradient_accumulation / rows
    if settings.epochs is not None:
        return settings.epochs
    return 3 if rows < 2_000 else 2 if rows < 20_000 else 1


def steps_of(settings: TrainConfig, rows: int) -> int:
    """Optimiser steps over `rows` training rows; the last one of an epoch may reach into the next."""
    if settings.max_steps is not None:
        return settings.max_steps
    step_rows = settings.batch_size * settings.gradient_accumulation
    return max(1, math.ceil(passes(settings, rows) * rows / step_rows))


def learning_rate_of(settings: TrainConfig, parameters: int) -> float:
    """Peak learning rate for a base of `parameters`."""
    if settings.learning_rate is not None:
        return settings.learning_rate
    rate = METHODS[settings.method].learning_rate * OBJECTIVES[settings.objective].learning_rate_factor
    return rate / 2 if parameters > LARGE_MODEL else rate


def dropout_of(settings: TrainConfig, rows: int) -> float:
    """Dropout on the adapter's input: the fewer rows, the easier they are learned by heart. None for
    objectives that compare two passes, which would then differ by chance."""
    if settings.dropout is not None:
        return settings.dropout
    if not OBJECTIVES[settings.objective].dropout:
        return 0.0
    return 0.1 if rows < 1_000 else 0.05 if rows < 50_000 else 0.0


def resolved(settings: TrainConfig, rows: int, parameters: int) -> TrainConfig:
    """`settings` with nothing left open, for `rows` training rows and a base of `parameters`; resolving again changes
    nothing."""
    steps = steps_of(settings, rows)
    warmup = settings.warmup_steps
    return settings.model_copy(
        update={
            "max_steps": steps,
            "epochs": None,
            "dropout": dropout_of(settings, rows),
            "learning_rate": learning_rate_of(settings, parameters),
            "warmup_steps": math.ceil(steps * settings.warmup_share) if warmup is None else warmup,
            "validation_steps": settings.validation_steps or max(1, steps // 10),
        }
    )


def parameter_count(model: Any) -> int:
    """Weights of a transformers model; 4-bit weights, of which a byte holds two, are counted as what they stand for."""
    from math import prod

    total = 0
    for parameter in model.parameters():
        state = getattr(parameter, "quant_state", None)
        total += int(parameter.numel()) if state is None else prod(state.shape)
    return total
