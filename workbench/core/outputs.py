"""The raw output of a choice: written by scoring, read by comparison, report and terminal.

ChoiceOutput(choice=1, texts=("was", "were"), logprobs=(-6.69, -6.44)).model_dump_json()
-> '{"choice":1,"texts":["was","were"],"logprobs":[-6.69,-6.44]}'
read_choice(that) -> the same; read_choice("Lima") -> None
"""

from __future__ import annotations

from pydantic import ValidationError, model_validator

from workbench.core.records import Text
from workbench.core.wire import Wire


class ChoiceOutput(Wire):
    """What a model made of a multiple-choice document."""

    choice: int | None
    """Place of the likeliest choice; None if a log-likelihood was not a number."""
    texts: tuple[Text, ...] = ()
    """What the choices say; empty where they were not kept."""
    logprobs: tuple[float | None, ...]
    """Log-likelihood of each choice, in nats; None where it was not a number."""

    @model_validator(mode="after")
    def _one_of_several(self) -> ChoiceOutput:
        count = len(self.logprobs)
        if count < 2 or len(self.texts) not in (0, count):
            raise ValueError("expected at least two choices, with a text for each or for none")
        if (self.choice is None) != (None in self.logprobs) or not 0 <= (self.choice or 0) < count:
            raise ValueError("choice must be the place of one of the log-likelihoods")
        return self

    def said(self, place: int) -> str:
        """Text of a choice on one line, or its number where texts were not kept."""
        return " ".join(self.texts[place].split()) if self.texts else f"choice {place + 1} of {len(self.logprobs)}"


def read_choice(output: str) -> ChoiceOutput | None:
    """The choice behind a raw output; None for anything else, such as generated text."""
    if not output.startswith('{"choice"'):
        return None
    try:
        return ChoiceOutput.model_validate_json(output)
    except ValidationError:
        return None
