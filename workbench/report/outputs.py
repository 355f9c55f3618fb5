"""Raw outputs as people read them: a choice with its log-likelihoods becomes a sentence, text stays text.

'{"choice":1,"texts":["Lima","Quito"],"logprobs":[-2.9,-2.1]}', right choice 0
->  "Quito", "choice 2 of 2, log-likelihood −2.10; the right choice −2.90"
"""

from __future__ import annotations

from workbench.core.outputs import ChoiceOutput, read_choice
from workbench.core.records import Flip
from workbench.report import numbers


def shown_outputs(flip: Flip) -> tuple[str, str]:
    """The outputs before and after. Of a forgotten document the one before is right, of a learned one the one after."""
    before, after = read_choice(flip.before_output), read_choice(flip.after_output)
    if before is None or after is None or len(before.logprobs) != len(after.logprobs):
        return flip.before_output, flip.after_output
    if before.choice is None or after.choice is None:
        return flip.before_output, flip.after_output
    if flip.kind == "forgotten":
        return _right(before, before.choice, flip.target), _wrong(after, after.choice, before.choice)
    return _wrong(before, before.choice, after.choice), _right(after, after.choice, flip.target)


def _right(output: ChoiceOutput, choice: int, target: str) -> str:
    others = [value for place, value in enumerate(output.logprobs) if place != choice and value is not None]
    return f"{target}\n{_named(output, choice)}; the next best {numbers.plain(max(others), 2)}"


def _wrong(output: ChoiceOutput, choice: int, right: int) -> str:
    said = f"{output.said(choice)}\n" if output.texts else ""
    return f"{said}{_named(output, choice)}; the right choice {_likelihood(output, right)}"


def _named(output: ChoiceOutput, choice: int) -> str:
    return f"choice {choice + 1} of {len(output.logprobs)}, log-likelihood {_likelihood(output, choice)}"


def _likelihood(output: ChoiceOutput, place: int) -> str:
    value = output.logprobs[place]
    return "unknown" if value is None else numbers.plain(value, 2)
