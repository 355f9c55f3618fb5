"""What the steps of a training gave so far, and whom to tell.

    log.begin_step()                         the clock of the step runs
    log.close_step(7, logged, measures)      CurvePoint(step=7, loss=2.91, ...) joins the curve; the stage hears
    read_curve(checkpoint)                   the curve up to there

Imported from inside `run` only: torch takes 3 s.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from workbench.core.errors import IncompleteError
from workbench.core.parts import read_rows
from workbench.core.records import CurvePoint
from workbench.train.group import Group

CURVE = "curve.jsonl"


@dataclass(slots=True)
class StepLog:
    """What the steps gave so far, and whom to tell."""

    on_step: Callable[[CurvePoint, float], object]
    """Hears of every finished step, with its tokens per second."""
    cancelled: Callable[[], bool]
    on_validation: Callable[[int, float], object] = lambda step, loss: None
    """Hears of every look at the validation rows: step and mean loss."""
    info: Callable[[str], object] = lambda message: None
    """Remarks for people."""
    warn: Callable[[str], object] = lambda message: None
    """Tells people what they should not overlook."""
    curve: list[CurvePoint] = field(default_factory=list)
    steps: int = 0
    """Steps in all, once the trainer is built."""
    loss: float = 0.0
    """Of the step being computed: summed over its passes, each divided by the step's answer tokens."""
    answer_tokens: int = 0
    read_tokens: int = 0
    began: float = 0.0
    """Clock at which the attempt would have begun, had it done all steps so far."""
    step_began: float = 0.0
    """Clock at which the step being computed began: what lies between two steps is no part of their speed."""

    def resume(self, curve: list[CurvePoint]) -> None:
        """Takes up the curve of an earlier attempt; its seconds count, those lost since its checkpoint do not."""
        self.curve = curve
        self.began = time.monotonic() - (curve[-1].seconds if curve else 0.0)

    def begin_step(self) -> None:
        """Starts the clock of a step."""
        self.step_began = time.monotonic()

    def close_step(self, step: int, logged: dict[str, float], measures: dict[str, float]) -> None:
        """Adds the finished step to the curve and tells the stage."""
        now = time.monotonic()
        point = CurvePoint(
            step=step,
            loss=self.loss,
            learning_rate=logged["learning_rate"],
            grad_norm=logged["grad_norm"],
            tokens=self.answer_tokens,
            seconds=now - self.began,
            measures=measures,
        )
        self.curve.append(point)
        self.on_step(point, self.read_tokens / max(now - self.step_began, 1e-9))
        self.forget_step()

    def sum_over(self, group: Group) -> None:
        """The step's loss and tokens over all processes."""
        sums = group.sum([self.loss, self.answer_tokens, self.read_tokens])
        self.loss, self.answer_tokens, self.read_tokens = sums[0], int(sums[1]), int(sums[2])

    def forget_step(self) -> None:
        """Nothing was computed since the last step."""
        self.loss, self.answer_tokens, self.read_tokens = 0.0, 0, 0


def read_curve(checkpoint: Path) -> list[CurvePoint]:
    """The curve up to a checkpoint."""
    return list(read_rows(checkpoint / CURVE, CurvePoint))


def require_finite(value: float, what: str, step: int) -> None:
    """IncompleteError if a number of `step` is not finite."""
    if not math.isfinite(value):
        raise IncompleteError(
            f"training diverged: the {what} of step {step} is {value}",
            where="train.learning_rate",
            next_step="lower train.learning_rate (to a third, say) or train.max_grad_norm, or raise train.warmup_steps",
        )
