"""Raw outputs as people read them: a choice with its log-likelihoods becomes a sentence, text stays text.

'{"choice": 1, "texts": ["Lima", "Quito"], "logprobs": [-2.9, -2.1]}', right choice 0
->  "Quito", "choice 2 of 2, log-likelihood −2.10; the right choice −2.90"
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from workbench.core.records import Flip
from workbench.report import numbers


@dataclass(frozen=True, slots=True)
class Choice:
    """What a multiple-choice document was answered with."""

    index: int
    logprobs: tuple[float, ...]
    text: str
    """What the choice says; empty where the row does not hold it."""


def shown_outputs(flip: Flip) -> tuple[str, str]:
    """The outputs before and after. Of a forgotten document the one before is right, of a learned one the one after."""
    before, after = _choice(flip.before_output), _choice(flip.after_output)
    if before is None or after is None or len(before.logprobs) != len(after.logprobs):
        return flip.before_output, flip.after_output
    if flip.kind == "forgotten":
        return _right(before, flip.target), _wrong(after, before.index)
    return _wrong(before, after.index), _right(after, flip.target)


def _choice(output: str) -> Choice | None:
    if not output.startswith("{"):
        return None
    try:
        fields = json.loads(output)
    except (json.JSONDecodeError, RecursionError):
        return None
    index, logprobs = fields.get("choice"), fields.get("logprobs")
    if not isinstance(index, int) or not isinstance(logprobs, list) or not 0 <= index < len(logprobs):
        return None
    if not all(isinstance(value, int | float) for value in logprobs):
        return None
    texts = fields.get("texts")
    known = isinstance(texts, list) and len(texts) == len(logprobs)
    return Choice(index, tuple(float(value) for value in logprobs), str(texts[index]) if known else "")


def _right(choice: Choice, target: str) -> str:
    others = [value for index, value in enumerate(choice.logprobs) if index != choice.index]
    rival = f"; the next best {numbers.plain(max(others), 2)}" if others else ""
    return f"{target}\n{_named(choice)}{rival}"


def _wrong(choice: Choice, right: int) -> str:
    said = f"{choice.text}\n" if choice.text else ""
    return f"{said}{_named(choice)}; the right choice {numbers.plain(choice.logprobs[right], 2)}"


def _named(choice: Choice) -> str:
    likelihood = numbers.plain(choice.logprobs[choice.index], 2)
    return f"choice {choice.index + 1} of {len(choice.logprobs)}, log-likelihood {likelihood}"
