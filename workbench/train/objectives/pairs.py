"""Pairs of endings as token ids, for the objectives that learn from which of two is better.

    {"kind": "preference", "messages": [user "Capital of Peru?"], "chosen": "Lima", "rejected": "Quito"}
    ->  chosen     <|im_start|>user\\nCapital of Peru?<|im_end|>\\n<|im_start|>assistant\\n[[Lima<|im_end|>]]
        rejected   the same prompt                                                       [[Quito<|im_end|>]]

    collate(pad)([pair, pair])   ->   four rows: both chosen endings, then both rejected ones, padded on the right
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.core.records import Record
from workbench.models.chat import IGNORED, Encoded, encode_record
from workbench.train.data import collate


@dataclass(frozen=True, slots=True)
class Pair:
    """One prompt with two endings, each a whole sequence."""

    chosen: Encoded
    rejected: Encoded

    @property
    def teaches(self) -> bool:
        """Whether both endings have a token within the length, and are not the same."""
        both = self.chosen.answer_tokens > 0 and self.rejected.answer_tokens > 0
        return both and self.chosen.input_ids != self.rejected.input_ids

    def as_row(self) -> dict[str, list[int]]:
        """For a data set."""
        return {
            "chosen_ids": self.chosen.input_ids,
            "chosen_labels": self.chosen.labels,
            "rejected_ids": self.rejected.input_ids,
            "rejected_labels": self.rejected.labels,
        }


def encode_pairs(
    tokenizer: Any, records: Iterable[Record], max_length: int, system_prompt: str | None
) -> tuple[list[Pair], int]:
    """The pairs that teach something, and how many of them lost the end of an ending to `max_length`."""
    pairs = [
        Pair(*(encode_record(tokenizer, one, max_length, system_prompt) for one in (record, record.with_rejected())))
        for record in records
    ]
    kept = [pair for pair in pairs if pair.teaches]
    return kept, sum(pair.chosen.truncated or pair.rejected.truncated for pair in kept)


def collate_pairs(pad_id: int) -> Callable[[Sequence[dict[str, list[int]]]], dict[str, Any]]:
    """Collator in TRL's layout: `input_ids`, `attention_mask` and `completion_mask`, `[2 x pairs, length]`."""
    padded = collate(pad_id)

    def collated(rows: Sequence[dict[str, list[int]]]) -> dict[str, Any]:
        batch = padded(
            [
                {"input_ids": row[f"{ending}_ids"], "labels": row[f"{ending}_labels"]}
                for ending in ("chosen", "rejected")
                for row in rows
            ]
        )
        batch["completion_mask"] = (batch.pop("labels") != IGNORED).long()
        return batch

    return collated
