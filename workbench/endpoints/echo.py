"""Whether a server's log-probabilities of a prompt belong to its tokens: some give each token the value of another.

    check_echo(server, None)     ->  EchoCheck("shifted", "log-probabilities do not belong to their tokens: ...")
    check_echo(server, loaded)   ->  EchoCheck("right", "log-probabilities are the local model's, 0.04 nats apart")

A text that says the same words three times tells by itself: the third time every model knows what comes, so a right
value is near 0 and one read a place too late is far below. The weights that the server runs, loaded here, tell exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Literal, Protocol

from workbench.endpoints.calls import CallFailed
from workbench.endpoints.replies import EchoedPrompt

if TYPE_CHECKING:
    from workbench.models.loading import LoadedModel

_SAID_ONCE = "The harbour keeps seven yellow lanterns, a copper bell and two quiet engines below the northern stairs. "
_REPEATS = 3
TEXT = (_SAID_ONCE * _REPEATS).strip()
_RIGHT_ABOVE = -1.5
_SHIFTED_BELOW = -3.0
"""Mean log-probability, in nats, of the third repetition: SmolLM2-135M gives -0.3, and -12 read a place too late."""
_LEAST_GAIN = 1.0
"""Nats by which words are more likely the third time than the first; equal numbers say nothing of the tokens."""
_TOLERANCE = 0.5
"""Mean difference from the local model, in nats: quantised weights are up to 0.3 away, another place several."""


class Echoing(Protocol):
    """A server with `/completions`."""

    @property
    def name(self) -> str:
        """Model and address."""
        ...

    def echo(self, text: str) -> EchoedPrompt | CallFailed:
        """The server's tokens of `text` and their log-probabilities."""
        ...


@dataclass(frozen=True, slots=True)
class EchoCheck:
    """What was found."""

    state: Literal["right", "shifted", "unlike", "unsure", "absent"]
    """`unlike`: neither right nor shifted, as when the local model is another one. `absent`: there are none."""
    remark: str
    """For people."""


def check_echo(server: Echoing, local: LoadedModel | None) -> EchoCheck:
    """Asks for one echo and judges it: by the weights in `local`, which must be those the server runs, else by
    repetition. Raises nothing that the server does."""
    echoed = server.echo(TEXT)
    if isinstance(echoed, CallFailed):
        return EchoCheck("absent", f"{server.name}: gives no log-probabilities of prompts ({echoed.message})")
    check = _by_repetition(echoed) if local is None else _by_model(echoed, local)
    return EchoCheck(check.state, f"{server.name}: {check.remark}")


def _by_repetition(echoed: EchoedPrompt) -> EchoCheck:
    position = 0
    said: list[list[float]] = [[] for _ in range(_REPEATS)]
    for token, logprob in zip(echoed.tokens, echoed.logprobs, strict=True):
        if position < len(TEXT) and logprob is not None:
            said[position // len(_SAID_ONCE)].append(logprob)
        position += len(token)
    if not said[0] or not said[-1] or position < len(TEXT):
        return EchoCheck("unsure", "the tokens of the reply do not make up the prompt")
    first, mean = fmean(said[0]), fmean(said[-1])
    told = f"words said for the third time have a mean log-probability of {mean:.2f}, for the first of {first:.2f}"
    if mean >= _RIGHT_ABOVE and mean - first >= _LEAST_GAIN:
        return EchoCheck("right", f"log-probabilities of prompts belong to their tokens: {told}")
    if mean <= _SHIFTED_BELOW:
        return EchoCheck("shifted", f"log-probabilities of prompts do not belong to their tokens: {told}")
    return EchoCheck("unsure", f"log-probabilities of prompts cannot be judged: {told}; name a local model")


def _by_model(echoed: EchoedPrompt, local: LoadedModel) -> EchoCheck:
    right, late = _local_logprobs(local)
    extra = len(echoed.tokens) - len(right)
    if extra not in (0, 1):  # the one is the token that follows the prompt
        return EchoCheck("unlike", f"splits a text into {len(echoed.tokens)} tokens, the local model into {len(right)}")
    given = echoed.logprobs[: len(right)]
    readings = {
        "right": _distance(given[1:], right[1:]),
        "those a place later": _distance(given[1:], late[1:]),
        "the next token's": _distance(given[1:-1], right[2:]),
        "the previous token's": _distance(given[2:], right[1:-1]),
    }
    nearest = min(readings, key=readings.__getitem__)
    told = f"{readings[nearest]:.2f} nats apart on average"
    if readings[nearest] > _TOLERANCE:
        return EchoCheck(
            "unlike", f"log-probabilities of prompts are not the local model's, {readings['right']:.2f} nats apart"
        )
    if nearest == "right":
        return EchoCheck("right", f"log-probabilities of prompts are the local model's, {told}")
    return EchoCheck("shifted", f"log-probabilities of prompts are {nearest}, {told}: off by one")


def _local_logprobs(local: LoadedModel) -> tuple[list[float], list[float]]:
    """Log-probability of each token of the text after those before it, and as it comes out when read a place too
    late; the first of the former is 0."""
    import torch

    ids = torch.tensor([local.tokenizer(TEXT)["input_ids"]], device=local.model.device)
    with torch.inference_mode():
        logprobs = local.model(input_ids=ids, use_cache=False).logits[0].float().log_softmax(-1)
    late = logprobs.gather(1, ids[0, :, None])[:, 0].tolist()
    right = logprobs[:-1].gather(1, ids[0, 1:, None])[:, 0].tolist()
    return [0.0, *right], late


def _distance(given: Sequence[float | None], wanted: Sequence[float]) -> float:
    """Mean absolute difference where a value is given; infinite where none is."""
    both = [abs(value - other) for value, other in zip(given, wanted, strict=True) if value is not None]
    return sum(both) / len(both) if both else float("inf")
