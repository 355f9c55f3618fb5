"""Training rows: records as token ids, in an order fixed by the seed.

    a document of 1,000 tokens, windows of 512   ->   512 + 489 tokens: the last of one begins the next, none is lost
    3 records, batch of 2, 4 steps, seed 0   ->   order [1, 0,  2, 2,  0, 1,  1, 0]: one shuffled pass after the other
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.core.errors import IncompleteError
from workbench.core.records import Record
from workbench.models.chat import IGNORED, NO_LIMIT, Encoded, encode_record

_POOL_BATCHES = 8
"""Batches that are filled from one pool sorted by length: less padding, and still mixed."""


@dataclass(frozen=True, slots=True)
class EncodedSet:
    """The training set as token ids."""

    rows: list[Encoded]
    truncated: int
    """Rows whose end was cut off."""
    skipped: int
    """Records left out because no answer token fits beside the prompt."""


def encode_all(tokenizer: Any, records: Iterable[Record], max_length: int, system_prompt: str | None) -> EncodedSet:
    """Ids and labels of all records; IncompleteError if there is nothing to learn."""
    rows: list[Encoded] = []
    truncated = skipped = 0
    for record in records:
        encoded = encode_record(tokenizer, record, max_length, system_prompt)
        if encoded.answer_tokens == 0:
            skipped += 1
            continue
        truncated += encoded.truncated
        rows.append(encoded)
    if not rows:
        reason = f"no answer of {skipped} records begins within {max_length} tokens" if skipped else "it has no records"
        raise IncompleteError(
            f"the training set is empty: {reason}",
            where="train",
            next_step="look at what curation dropped (funnel.json), or raise train.max_length",
        )
    return EncodedSet(rows, truncated, skipped)


def encode_windows(
    tokenizer: Any, records: Iterable[Record], max_length: int, system_prompt: str | None
) -> EncodedSet:
    """Ids of whole documents, long ones in windows of `max_length` tokens; IncompleteError if nothing is to be learned.

    Each window begins with the last token of the one before, so that every token but the text's first is predicted
    exactly once.
    """
    rows: list[Encoded] = []
    skipped = 0
    for record in records:
        whole = encode_record(tokenizer, record, NO_LIMIT, system_prompt)
        if whole.answer_tokens == 0:
            skipped += 1
            continue
        for start in range(0, len(whole.input_ids) - 1, max_length - 1):
            window = slice(start, start + max_length)
            rows.append(Encoded(whole.input_ids[window], whole.labels[window]))
    if not rows:
        raise IncompleteError(
            f"the training set is empty: {skipped} documents have no text",
            where="train",
            next_step="look at what curation dropped (funnel.json)",
        )
    return EncodedSet(rows, 0, skipped)


def row_order(lengths: Sequence[int], batch_size: int, batches: int, seed: int, *, grouped: bool) -> list[int]:
    """Row indices for `batches` batches, one shuffled pass over all rows after the other.

    `grouped` spares padding: within a pool of some batches rows are sorted by length before they are cut into batches,
    and the batches shuffled.
    """
    order: list[int] = []
    wanted = batch_size * batches
    number = 0
    while len(order) < wanted:
        one_pass = list(range(len(lengths)))
        random.Random(f"pass {number} of {seed}").shuffle(one_pass)
        order += one_pass
        number += 1
    order = order[:wanted]
    return _grouped(order, lengths, batch_size, random.Random(f"batches of {seed}")) if grouped else order


def cut(rows: Sequence[dict[str, Any]], size: int, least: int = 1) -> list[Sequence[dict[str, Any]]]:
    """Batches of `size` rows; a rest of fewer than `least` joins the batch before it, where there is one.

        seven rows, size 3, at least 2   ->   3 and 4 rows
    """
    ends = list(range(size, len(rows), size))
    if ends and len(rows) - ends[-1] < least:
        ends.pop()
    return [rows[start:end] for start, end in zip([0, *ends], [*ends, len(rows)], strict=True)]


def collate(pad_id: int) -> Callable[[Sequence[dict[str, list[int]]]], dict[str, Any]]:
    """Collator: pads a batch on the right to its longest row."""
    import torch

    def padded(rows: Sequence[dict[str, list[int]]]) -> dict[str, Any]:
        longest = max(len(row["input_ids"]) for row in rows)

        def filled(key: str, filler: int) -> Any:
            return torch.tensor([row[key] + [filler] * (longest - len(row[key])) for row in rows])

        mask = [[1] * len(row["input_ids"]) + [0] * (longest - len(row["input_ids"])) for row in rows]
        return {
            "input_ids": filled("input_ids", pad_id),
            "attention_mask": torch.tensor(mask),
            "labels": filled("labels", IGNORED),
        }

    return padded


def _grouped(order: list[int], lengths: Sequence[int], batch_size: int, rng: random.Random) -> list[int]:
    grouped: list[int] = []
    pool_rows = batch_size * _POOL_BATCHES
    for start in range(0, len(order), pool_rows):
        pool = sorted(order[start : start + pool_rows], key=lambda row: lengths[row])
        batches = [pool[first : first + batch_size] for first in range(0, len(pool), batch_size)]
        rng.shuffle(batches)
        grouped += [row for batch in batches for row in batch]
    return grouped
