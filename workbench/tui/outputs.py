"""Raw outputs as people read them: a choice with its log-likelihoods, a likelihood per token, or the text as it is.

readable('{"choice":1,"texts":["was","were"],"logprobs":[-6.69,-6.44]}')
->  "were\\nlog-likelihood  -6.69 was  -6.44 were"
"""

from __future__ import annotations

import json

from workbench.core.outputs import ChoiceOutput, read_choice


def readable(output: str) -> str:
    """The output for the screen of one document; text that is no choice or likelihood comes back unchanged."""
    if (choice := read_choice(output)) is not None:
        values = "  ".join(f"{_number(value)} {choice.said(place)}" for place, value in enumerate(choice.logprobs))
        return f"{_answer(choice)}\nlog-likelihood  {values}"
    return _likelihood(output) or output


def in_brief(output: str) -> str:
    """The same for a cell: one line of a choice, a likelihood or a text as it is."""
    choice = read_choice(output)
    return readable(output) if choice is None else _answer(choice)


def _answer(output: ChoiceOutput) -> str:
    return f"no choice of {len(output.logprobs)}" if output.choice is None else output.said(output.choice)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _likelihood(output: str) -> str | None:
    """Nats per token of a perplexity row's output; None for anything else."""
    if not output.startswith('{"nll"') or len(output) > 200:
        return None
    try:
        said = json.loads(output)
    except ValueError:
        return None
    nll, tokens = said.get("nll"), said.get("tokens")
    if not isinstance(nll, int | float) or not isinstance(tokens, int) or tokens <= 0:
        return None
    return f"{nll / tokens:.3f} nats per token over {tokens} tokens"
