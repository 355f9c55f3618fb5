"""Documents as texts to be read, for the kinds that ask how likely every token of a text is.

    {"text": "Lima", "prompt": "Capital of Peru?"}   ->  windows [([ids of the prompt], [ids of "Lima"])]
    {"text": 1,200 tokens}, a model of 512           ->  windows of 512, 512 and 176 tokens, the last with 337 before it

A text without a prompt follows the beginning-of-text token and is read to its end, in lm-eval's rolling windows: every
token is predicted once, and those of the last window have as much before them as the model can read. A text after a
prompt is cut where the model's length ends, because a window without the prompt would be another question.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from workbench.core.records import Message
from workbench.core.suites import SuiteDocument
from workbench.score.scoring import Job, text_field

if TYPE_CHECKING:
    from workbench.models.likelihood import Pair


@dataclass(frozen=True, slots=True)
class Passage:
    """One document's text as the model reads it, or why it cannot."""

    document: SuiteDocument
    windows: list[Pair] = field(default_factory=list)
    """What stands before, and what is predicted; together at most one token more than the model reads."""
    text: str = ""
    """What is predicted, as text: all of it unless it was cut."""
    cut: bool = False
    problem: str | None = None

    @property
    def tokens(self) -> int:
        """Tokens that are predicted."""
        return sum(len(continuation) for _, continuation in self.windows)

    @property
    def size_bytes(self) -> int:
        """Bytes of the text in UTF-8."""
        return len(self.text.encode())

    @property
    def words(self) -> int:
        """Words as lm-eval counts them: pieces between white space, an empty one at either end included."""
        return len(re.split(r"\s+", self.text))


def passages(job: Job) -> list[Passage]:
    """One passage per document, in order."""
    return [_passage(job, document) for document in job.documents]


def rolling_windows(ids: Sequence[int], before: int, max_length: int) -> Iterator[Pair]:
    """`ids` cut into windows for a model that reads `max_length` tokens; `before` stands in front of the first.

    The windows of lm-eval's `get_rolling_token_windows(context_len=1)` after `make_disjoint_window`.
    """
    whole = [before, *ids]
    for start in range(0, len(ids), max_length):
        end = min(start + max_length, len(ids))
        first = 0 if start == 0 else end - max_length
        yield whole[first : start + 1], whole[start + 1 : end + 1]


def per_byte(nats: float, size_bytes: int) -> float:
    """Bits per byte of a text whose log-likelihood is `-nats`."""
    return nats / math.log(2) / size_bytes


def _passage(job: Job, document: SuiteDocument) -> Passage:
    from workbench.models.chat import prompt_ids, start_ids, text_ids

    tokenizer = job.loaded.tokenizer
    text, prompt = text_field(document.fields, "text") or "", text_field(document.fields, "prompt")
    ids = text_ids(tokenizer, text)
    max_length = job.loaded.config.max_length
    if not ids:
        return Passage(document, problem="document has no `text`")
    if prompt is None:
        start = start_ids(tokenizer)
        if not start:
            return Passage(document, problem="the tokenizer has no token for a text to begin after; give it a `prompt`")
        return Passage(document, list(rolling_windows(ids, start[0], max_length)), text)
    if job.suite.chat:
        before = prompt_ids(tokenizer, [Message(role="user", content=prompt)], job.system_prompt)
    else:
        before = start_ids(tokenizer) + text_ids(tokenizer, prompt)
    room = max_length - len(before)
    if room < 1:
        return Passage(document, problem=f"prompt of {len(before)} tokens fills the model's length")
    if len(ids) <= room:
        return Passage(document, [(before, ids)], text)
    return Passage(document, [(before, ids[:room])], str(tokenizer.decode(ids[:room])), cut=True)
