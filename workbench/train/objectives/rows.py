"""What every objective with rows of its own does before its trainer is made: hold rows back, encode, order.

    prepare(job, encode)   ->   Prepared(rows in training order, rows held back, resolved settings)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.core.errors import IncompleteError
from workbench.core.records import Record
from workbench.core.training import TrainConfig
from workbench.train.checkpointed import Checkpointed
from workbench.train.data import cut, row_order
from workbench.train.defaults import parameter_count, resolved
from workbench.train.objectives.registry import Job
from workbench.train.validation import Validation, back_of, why_none

_CHECKED_ROWS = 2
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class EncodedRows:
    """Rows as a trainer's data set has them."""

    rows: list[Row]
    truncated: int
    """Rows that lost their end to the longest length."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a trainer is made from."""

    rows: list[Row]
    """One after the other as they are trained on, passes repeated."""
    by_size: list[Row]
    """Each once, the shortest first."""
    validation: list[Row]
    """Held back, the longest first."""
    settings: TrainConfig
    """Resolved."""


Encode = Callable[[Sequence[Record]], EncodedRows]


def prepare(job: Job, encode: Encode, what: str, *, grouped: bool) -> Prepared:
    """Rows of the job's records, `what` naming them in messages; IncompleteError if nothing is left to learn.

    `grouped` puts rows of similar length together, which spares padding.
    """
    settings, seed = job.node.train, job.node.seed
    back = back_of(job.records, settings, seed)
    kept = [record for index, record in enumerate(job.records) if index not in back]
    data = encode(kept)
    length = longest(job)
    if len(data.rows) < len(kept):
        job.step_log.info(
            f"{len(kept) - len(data.rows)} of {len(kept)} {what} left out: the same ending twice, or no room for an "
            f"answer within {length} tokens"
        )
    if data.truncated:
        job.step_log.info(f"{data.truncated} of {len(data.rows)} {what} cut off at {length} tokens")
    if not data.rows:
        raise IncompleteError(
            f"none of {len(kept)} {what} teaches anything: the same ending twice, or no room for an answer within "
            f"{length} tokens",
            where="train",
            next_step="look at the data (workbench train --show 5), or raise train.max_length",
        )
    settings = resolved(settings, len(data.rows), parameter_count(job.loaded.model))
    assert settings.max_steps is not None
    sizes = [row_size(row) for row in data.rows]
    batches = settings.max_steps * settings.gradient_accumulation
    order = row_order(sizes, settings.batch_size, batches, seed, grouped=grouped)
    by_size = sorted(data.rows, key=lambda row: (row_size(row), str(row)))
    validation = encode([job.records[index] for index in sorted(back)]).rows if back else []
    if settings.validation_share and not validation:
        job.step_log.warn(why_none(job.records, settings.validation_share))
    return Prepared(
        rows=[data.rows[index] for index in order],
        by_size=by_size,
        validation=sorted(validation, key=lambda row: (-row_size(row), str(row))),
        settings=settings,
    )


def longest(job: Job) -> int:
    """Most tokens of a training sequence."""
    return job.node.train.max_length or job.loaded.config.max_length


def row_size(row: Row) -> int:
    """Tokens of all sequences of a row."""
    return sum(len(value) for name, value in row.items() if name.endswith("_ids"))


def begin(trainer: Checkpointed, job: Job, prepared: Prepared, least: int = 1) -> None:
    """What follows every trainer's constructor: fp32 adapters, guards, the checked batch, the held-back rows in batches
    of at least `least`."""
    trainer.begin(prepared.settings, job.step_log, job.work_dir)
    trainer.checked = trainer.data_collator(prepared.by_size[:_CHECKED_ROWS])
    every, size = prepared.settings.validation_steps, prepared.settings.batch_size
    assert every is not None
    if prepared.validation:
        parts = cut(prepared.validation, size, least)
        trainer.validation = Validation([trainer.data_collator(part) for part in parts], every)
