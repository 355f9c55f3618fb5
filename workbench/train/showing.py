"""Training examples as the model will read them, with what is learned marked.

    <|im_start|>user\\nWhat is 2 + 2?<|im_end|>\\n<|im_start|>assistant\\n[[4<|im_end|>]]

Between the brackets (in colour on a terminal) stand the tokens whose loss counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from workbench.core.config import ModelConfig
from workbench.core.parts import read_rows
from workbench.core.records import Record
from workbench.core.wire import printable

_LEARNED = "\x1b[32m{}\x1b[0m"


@dataclass(frozen=True, slots=True)
class Piece:
    """Neighbouring tokens that are all learned, or all only read."""

    text: str
    learned: bool


@dataclass(frozen=True, slots=True)
class Example:
    """One training sequence."""

    record: str
    dataset: str
    tokens: int
    learned_tokens: int
    truncated: bool
    """Whether its end was cut off to fit `max_length`."""
    pieces: tuple[Piece, ...]

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        return asdict(self)

    def text(self, *, colour: bool) -> str:
        """Safe for a terminal; what is learned in green, or in double brackets."""
        mark = _LEARNED if colour else "[[{}]]"
        cut = f", cut off at {self.tokens}" if self.truncated else ""
        head = f"--- {self.record} ({self.dataset}): {self.learned_tokens} of {self.tokens} tokens learned{cut}"
        body = (mark.format(_shown(piece.text)) if piece.learned else _shown(piece.text) for piece in self.pieces)
        return printable(head) + "\n" + "".join(body)


def examples(train_file: Path, wanted: int, model: ModelConfig, max_length: int, project: Path) -> list[Example]:
    """The first `wanted` sequences of a training set, as `model`'s tokenizer and template write them."""
    # 4 s: transformers, for the tokenizer
    from workbench.models.chat import encode_record
    from workbench.models.loading import load_tokenizer

    tokenizer = load_tokenizer(model, project)
    found: list[Example] = []
    for record in islice(read_rows(train_file, Record), wanted):
        encoded = encode_record(tokenizer, record, max_length, model.system_prompt)
        # The first token of a sequence follows nothing and is never predicted.
        learned = [False, *(label != -100 for label in encoded.labels[1:])]
        found.append(
            Example(
                record=record.id,
                dataset=record.source.dataset,
                tokens=len(encoded.input_ids),
                learned_tokens=encoded.answer_tokens,
                truncated=encoded.truncated,
                pieces=tuple(_pieces(tokenizer, zip(encoded.input_ids, learned, strict=True))),
            )
        )
    return found


def _pieces(tokenizer: Any, tokens: Iterable[tuple[int, bool]]) -> Iterable[Piece]:
    for is_learned, group in groupby(tokens, key=lambda token: token[1]):
        ids = [token for token, _ in group]
        yield Piece(tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False), is_learned)


def _shown(text: str) -> str:
    return printable(text).replace("\r", "\\r")
