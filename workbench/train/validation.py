"""Rows held back from training: when to stop, and which adapter to keep.

    step 10: 3.20   20: 3.05   30: 3.06   40: 3.09   50: 3.11   ->   stopped at 50, the adapter of step 20 is kept

Records that share a prompt or were cut from the same text are held back together: a row whose twin is trained on says
nothing.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.core.parts import write_text
from workbench.core.records import Record
from workbench.core.training import TrainConfig
from workbench.train.defaults import split_sizes

_CURVE = "validation.json"
_BEST = "best.safetensors"


def held_back(records: Sequence[Record], wanted: int, seed: int) -> set[int]:
    """Indices of about `wanted` records to hold back, whole groups only, chosen by the seed; never all of them."""
    groups: dict[str, list[int]] = {}
    for index, record in enumerate(records):
        groups.setdefault(_group(record), []).append(index)
    order = sorted(groups)
    random.Random(f"validation of {seed}").shuffle(order)
    chosen: set[int] = set()
    for name in order:
        if len(chosen) >= wanted:
            break
        if len(chosen) + len(groups[name]) <= max(wanted, 1) and len(groups[name]) < len(records):
            chosen.update(groups[name])
    return chosen


def back_of(records: Sequence[Record], settings: TrainConfig, seed: int) -> set[int]:
    """Indices of the records that `settings` (as configured) hold back; what trains and what samples must agree."""
    wanted = split_sizes(settings, max(1, len(records))).validation
    return held_back(records, wanted, seed) if wanted else set()


def why_none(records: Sequence[Record], share: float) -> str:
    """Why a share of the records that was asked for gave nothing to validate on."""
    wanted, asked = int(len(records) * share), f"train.validation_share {share:g} of {len(records)} rows"
    if wanted == 0:
        reason = "is less than one row"
    elif len({_group(record) for record in records}) == 1:
        reason = "cannot be held back: all have the same prompt or text, and such rows stay on one side"
    else:
        reason = (
            f"cannot be held back: rows with the same prompt or text stay on one side, and no such group has at most "
            f"{wanted} rows with an answer to learn from"
        )
    return f"nothing is validated, and the last adapter is kept: {asked} {reason}"


def _group(record: Record) -> str:
    if record.source.part_of is not None:
        return f"part {record.source.dataset} {record.source.part_of}"
    asked = record.prompt() if record.kind != "document" else record.text or ""
    return "text " + " ".join(asked.lower().split())


@dataclass(slots=True)
class Validation:
    """The held-back rows and what was seen of them."""

    batches: list[dict[str, Any]]
    """Collated, labels included."""
    every: int
    """Steps between two looks."""
    curve: list[tuple[int, float]] = field(default_factory=list)
    """Step and mean loss over the answer tokens, in nats."""
    best: dict[str, Any] = field(default_factory=dict)
    """Trained parameters and the method's own state (the ranks of `adalora`) at the lowest loss, on the CPU."""

    @property
    def best_step(self) -> int:
        """Step with the lowest loss, the first of equals."""
        return min(self.curve, key=lambda look: look[1])[0]

    @property
    def best_loss(self) -> float:
        """Lowest loss."""
        return min(loss for _, loss in self.curve)

    @property
    def looks_since_best(self) -> int:
        """Looks after the best one; 0 before the first."""
        if not self.curve:
            return 0
        return sum(step > self.best_step for step, _ in self.curve)

    def looked_at(self, step: int) -> bool:
        """Whether the last look was at this step."""
        return bool(self.curve) and self.curve[-1][0] == step

    def look(self, trainer: Any) -> float:
        """Mean loss over the held-back rows; keeps the adapter if it is the best so far."""
        from workbench.train.checkpointed import named_trained
        from workbench.train.methods import method_state
        from workbench.train.step_log import require_finite

        loss: float = trainer.group.of_leader(lambda: float(trainer.validation_loss(self.batches)))
        require_finite(loss, "validation loss", trainer.state.global_step)
        if not self.curve or loss < self.best_loss:
            kept = dict(named_trained(trainer.model)) | method_state(trainer.model)
            self.best = {name: tensor.detach().cpu().clone() for name, tensor in kept.items()}
        self.curve.append((trainer.state.global_step, loss))
        return loss

    def restore_best(self, model: Any) -> None:
        """Puts the best adapter back into the model."""
        import torch

        from workbench.train.checkpointed import named_trained
        from workbench.train.methods import keep_ranks_in_use, load_method_state

        kept = dict(self.best)
        with torch.no_grad():
            for name, parameter in named_trained(model):
                parameter.copy_(kept.pop(name))
        load_method_state(model, kept)
        keep_ranks_in_use(model)

    def write(self, directory: Path) -> None:
        """Adds what was seen to a checkpoint."""
        from safetensors.torch import save_file

        write_text(directory / _CURVE, json.dumps(self.curve))
        if self.best:
            save_file(self.best, str(directory / _BEST))

    def read(self, directory: Path) -> None:
        """Takes up what a checkpoint holds."""
        from safetensors.torch import load_file

        self.curve = [(int(step), float(loss)) for step, loss in json.loads((directory / _CURVE).read_text("utf-8"))]
        self.best = load_file(str(directory / _BEST)) if self.curve else {}
