"""What goes to a model server and what comes back: a reply, or a failure with its reason, which is never a score.

    ChatRequest((Message(role="user", content="Capital of Peru?"),), max_tokens=8)
    ->  Reply(text="Lima", finish_reason="stop", ...)   or   CallFailed("rate_limited", "429 after 5 attempts")
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from workbench.core.errors import IncompleteError, PrerequisiteError
from workbench.core.records import Message

if TYPE_CHECKING:
    from workbench.endpoints.budget import Budget

FailureReason = Literal[
    "unreachable",
    "timeout",
    "dropped",
    "rate_limited",
    "server_error",
    "auth",
    "not_found",
    "bad_request",
    "redirected",
    "not_json",
    "bad_reply",
    "no_choices",
    "no_content",
    "bad_logprobs",
    "length",
    "refusal",
    "budget",
    "cancelled",
]
TRANSIENT: frozenset[FailureReason] = frozenset({"unreachable", "timeout", "dropped", "rate_limited", "server_error"})
"""Reasons that may be gone a moment later: tried again, up to `max_retries`."""
_OUTAGE: frozenset[FailureReason] = TRANSIENT | {
    "auth",
    "not_found",
    "redirected",
    "not_json",
    "bad_reply",
    "no_choices",
}
"""Reasons that say something about the server and nothing about the question."""
_TOLERATED_OUTAGE_FRACTION = 0.1


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One question to a chat model."""

    messages: tuple[Message, ...]
    max_tokens: int
    temperature: float = 0.0
    seed: int = 0
    """Another seed is another question to the cache: this is how the same prompt is asked twice."""
    top_logprobs: int = 0
    """How many alternatives of the first token to report; 0 asks for none."""
    schema: dict[str, Any] | None = None
    """JSON Schema the answer must follow, for servers that obey one (`probe` tells)."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model answered."""

    text: str
    finish_reason: str
    first_token_logprobs: dict[str, float] | None
    """Token to natural-log probability at the first position; None where the server gives none."""
    prompt_tokens: int
    completion_tokens: int
    cached: bool = False
    """Taken from the response cache: nothing was paid."""
    model: str | None = None
    """Model that answered, by the server's own word; it may be another than was asked for."""


@dataclass(frozen=True, slots=True)
class CallFailed:
    """Why there is no usable answer."""

    reason: FailureReason
    message: str
    prompt_tokens: int = 0
    """As the server reported them: what is no answer is paid all the same."""
    completion_tokens: int = 0


Answer = Reply | CallFailed


def nobody(text: str) -> None:
    """Hears remarks that nobody wants to hear."""


def never_cancelled() -> bool:
    """For callers that cannot be cancelled."""
    return False


@dataclass(frozen=True, slots=True)
class Ability:
    """Whether something was seen to work."""

    works: bool
    remark: str = ""
    """What is wrong, for people."""


Abilities = dict[str, Ability]
"""What was tried, by name."""


class ServerChanged(IncompleteError):
    """A server can no longer do what questions of this run were put for: all are to be put anew, in another form."""


class Endpoint(Protocol):
    """A model that answers chats: a server, or the base model in this process."""

    @property
    def name(self) -> str:
        """Model and address, for people and records; holds no secret."""
        ...

    @property
    def budget(self) -> Budget:
        """What was used up so far, and of how much."""
        ...

    def abilities(self, wanted: Sequence[str], trial: Callable[[Endpoint], Abilities], *, anew: bool) -> Abilities:
        """What `trial` finds out by asking this endpoint, past its cache, on its budget and rates.

        What an earlier run found out holds until the first call that the cache cannot answer: `trial` is run right
        before it. If something ceased to work then, that `chat` raises ServerChanged, and the next call of `abilities`
        knows it. `anew` asks at once.
        """
        ...

    def chat(
        self,
        requests: Sequence[ChatRequest],
        on_done: Callable[[int], object] | None = None,
        cancelled: Callable[[], bool] = never_cancelled,
    ) -> Sequence[Answer]:
        """One answer per request, in their order. `on_done` hears how many are finished. Synchronous.

        `requests` is gone through more than once; answers are read from the response cache when they are looked at, so
        neither need be in memory as a whole.
        """
        ...


def refuse_outage(answers: Sequence[Answer], *, where: str) -> None:
    """Raises if a budget ended or too many calls failed because of the server, so that a half-empty result is not
    committed for good.

    PrerequisiteError if not one call was answered, IncompleteError if over a tenth failed that way or a single one is
    missing for the budget's sake. Answered calls are in the response cache, so the same command continues where this
    one stopped.
    """
    failed = Counter(answer.reason for answer in answers if isinstance(answer, CallFailed))
    if left := failed["budget"]:
        said = next(a.message for a in answers if isinstance(a, CallFailed) and a.reason == "budget")
        raise IncompleteError(
            f"{said}; {len(answers) - failed.total()} of {len(answers)} calls are answered, {left} are left",
            where=where,
            next_step="run the same command again, with the same budget anew or a larger one: it asks what is left",
        )
    outage = sum(count for reason, count in failed.items() if reason in _OUTAGE)
    if outage <= _TOLERATED_OUTAGE_FRACTION * len(answers):
        return
    reasons = ", ".join(f"{reason} {count}" for reason, count in failed.most_common())
    example = next(a.message for a in answers if isinstance(a, CallFailed) and a.reason in _OUTAGE)
    error = PrerequisiteError if sum(failed.values()) == len(answers) else IncompleteError
    raise error(
        f"{sum(failed.values())} of {len(answers)} calls failed ({reasons}); for example: {example}",
        where=where,
        next_step="see to the server, then run the same command again: answered calls are kept and not paid twice",
    )
