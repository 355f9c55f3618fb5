"""Training examples as the model will read them, with what is learned marked.

    <|im_start|>user\\nWhat is 2 + 2?<|im_end|>\\n<|im_start|>assistant\\n[[4<|im_end|>]]

Between the brackets (in colour on a terminal) stand the tokens whose loss counts. A pair is shown twice, with its
chosen and its rejected ending; a long document that is learned whole, window by window.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.core.config import ModelConfig
from workbench.core.objectives import OBJECTIVES, Objective
from workbench.core.parts import read_rows
from workbench.core.records import Record
from workbench.core.wire import printable

if TYPE_CHECKING:
    from workbench.models.chat import Encoded

_LEARNED = "\x1b[32m{}\x1b[0m"
_SHOWN_REFERENCE = 80
"""Characters."""


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
    part: str = ""
    """`chosen` or `rejected` ending, `good` or `bad` answer, which window of a document, or a prompt's reference."""

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        return asdict(self)

    def text(self, *, colour: bool) -> str:
        """Safe for a terminal; what is learned in green, or in double brackets."""
        mark = _LEARNED if colour else "[[{}]]"
        cut = f", cut off at {self.tokens}" if self.truncated else ""
        part = f", {self.part}" if self.part else ""
        head = f"--- {self.record} ({self.dataset}{part}): {self.learned_tokens} of {self.tokens} tokens learned{cut}"
        body = (mark.format(_shown(piece.text)) if piece.learned else _shown(piece.text) for piece in self.pieces)
        return printable(head) + "\n" + "".join(body)


def examples(
    train_file: Path, wanted: int, model: ModelConfig, max_length: int, project: Path, objective: Objective = "sft"
) -> list[Example]:
    """The sequences of the first `wanted` rows of a training set, as `model`'s tokenizer and template write them."""
    # 4 s: transformers, for the tokenizer
    from workbench.models.loading import load_tokenizer

    tokenizer = load_tokenizer(model, project)
    found: list[Example] = []
    for record in islice(read_rows(train_file, Record), wanted):
        for part, encoded in _sequences(tokenizer, record, max_length, model.system_prompt, objective):
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
                    part=part,
                )
            )
    return found


def _sequences(
    tokenizer: Any, record: Record, max_length: int, system_prompt: str | None, objective: Objective
) -> Iterator[tuple[str, Encoded]]:
    """What is trained on of one record, each sequence with its name."""
    from workbench.models.chat import IGNORED, Encoded, encode_record, prompt_ids
    from workbench.train.data import encode_windows

    if objective == "pretrain":
        windows = encode_windows(tokenizer, [record], max_length, system_prompt).rows
        for number, window in enumerate(windows, start=1):
            yield (f"window {number} of {len(windows)}" if len(windows) > 1 else ""), window
        return
    if objective == "grpo":
        # The model writes the answer; the row's own is what rewards compare it with.
        ids = prompt_ids(tokenizer, record.messages[:-1], system_prompt)
        yield f"prompt, reference {record.answer()[:_SHOWN_REFERENCE]!r}", Encoded(ids, [IGNORED] * len(ids))
        return
    if OBJECTIVES[objective].makes == "reward_model":
        system_prompt = None
    whole = encode_record(tokenizer, record, max_length, system_prompt)
    if OBJECTIVES[objective].rows == ("preference",):
        yield "chosen", whole
        yield "rejected", encode_record(tokenizer, record.with_rejected(), max_length, system_prompt)
    elif objective == "kto":
        yield ("good" if record.label else "bad"), whole
    else:
        yield "", whole


def _pieces(tokenizer: Any, tokens: Iterable[tuple[int, bool]]) -> Iterable[Piece]:
    for is_learned, group in groupby(tokens, key=lambda token: token[1]):
        ids = [token for token, _ in group]
        yield Piece(tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False), is_learned)


def _shown(text: str) -> str:
    return printable(text).replace("\r", "\\r")
