"""The budget of one endpoint: reserve before a request leaves, settle with what it really used.

    budget.refusal(request)  ->  None, or CallFailed("budget", "stopped at the budget: 200 of 200 requests")
    budget.spent()           ->  Spent(requests=200, tokens=41000, cost=0.21, seconds=95.2)
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from workbench.core.config import EndpointConfig
from workbench.endpoints.calls import CallFailed, ChatRequest, FailureReason, Reply

_CHARACTERS_PER_TOKEN = 3
_TOKENS_PER_MESSAGE = 8
_PERHAPS_ANSWERED: frozenset[FailureReason] = frozenset({"timeout", "dropped"})
"""The server may have written the whole answer, and bill it, though it never came."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What an endpoint used up so far."""

    requests: int
    """Attempts that have ended."""
    tokens: int
    cost: float
    """In the currency of `prices`; 0 without prices."""
    seconds: float
    """Since the first request."""

    def since(self, earlier: Spent) -> Spent:
        """The difference to an earlier state."""
        return Spent(
            self.requests - earlier.requests,
            self.tokens - earlier.tokens,
            self.cost - earlier.cost,
            self.seconds - earlier.seconds,
        )

    def times(self, factor: float) -> Spent:
        """So many times as much."""
        return Spent(
            round(self.requests * factor), round(self.tokens * factor), self.cost * factor, self.seconds * factor
        )


class Budget:
    """Counts every attempt, failed ones too: a server bills them all the same."""

    def __init__(self, config: EndpointConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self._clock = clock
        self._began: float | None = None
        self.requests = 0
        """Attempts sent."""
        self.tokens = 0
        """Tokens used, as the server reported them, or as estimated where it did not."""
        self.cost = 0.0
        """In the currency of `prices`; 0 without prices."""
        self.priced = config.prices is not None
        """Whether there are prices, without which the cost says nothing."""
        self.projected_calls = 0
        """The most calls of one chat whose use was projected."""
        self._ended = 0
        self._reserved_tokens = 0
        self._reserved_cost = 0.0

    def refusal(self, request: ChatRequest) -> CallFailed | None:
        """None after reserving room for one attempt; otherwise the failure that says which limit is reached."""
        if self._began is None:
            self._began = self._clock()
        limits = self._config
        if limits.max_requests is not None and self.requests >= limits.max_requests:
            return _stopped(f"{self.requests} of {limits.max_requests} requests")
        if self.seconds_left() <= 0:
            return self.out_of_time()
        tokens, cost = estimated_tokens(request), self._price(prompt_tokens(request), request.max_tokens)
        most = limits.max_total_tokens
        if most is not None and self.tokens + self._reserved_tokens + tokens > most:
            return _stopped(f"{self.tokens} of {most} tokens used, the next call may need {tokens}")
        if limits.max_cost is not None and self.cost + self._reserved_cost + cost > limits.max_cost:
            return _stopped(f"{self.cost:.4g} of {limits.max_cost:g} spent, the next call may cost {cost:.2g}")
        self.requests += 1
        self._reserved_tokens += tokens
        self._reserved_cost += cost
        return None

    def settle(self, request: ChatRequest, answer: Reply | CallFailed) -> int:
        """Replaces the reservation of one attempt by its use, and returns that in tokens.

        What the server reports counts. Without a report, a call that found no server is free, one that was given up or
        broken off counts with its longest answer, any other with its prompt alone.
        """
        prompt, completion = answer.prompt_tokens, answer.completion_tokens
        if not prompt + completion:
            unreachable = isinstance(answer, CallFailed) and answer.reason == "unreachable"
            unknown = isinstance(answer, CallFailed) and answer.reason in _PERHAPS_ANSWERED
            prompt = 0 if unreachable else prompt_tokens(request)
            completion = request.max_tokens if unknown else 0
        self._ended += 1
        self._reserved_tokens -= estimated_tokens(request)
        self._reserved_cost -= self._price(prompt_tokens(request), request.max_tokens)
        self.tokens += prompt + completion
        self.cost += self._price(prompt, completion)
        return prompt + completion

    def seconds_left(self) -> float:
        """Until `max_seconds` after the first request; infinite without that limit."""
        if self._config.max_seconds is None:
            return float("inf")
        return self._config.max_seconds - self._seconds()

    def out_of_time(self) -> CallFailed:
        """The failure of a call that would begin too late."""
        return _stopped(f"{self._seconds():.0f} of {self._config.max_seconds or 0:g} s")

    def spent(self) -> Spent:
        """What was used up to now, by calls that have ended."""
        return Spent(self._ended, self.tokens, self.cost, self._seconds())

    def exceeded_by(self, total: Spent) -> str | None:
        """Which limits so much would break, in words."""
        limits = (
            ("max_requests", self._config.max_requests, total.requests),
            ("max_total_tokens", self._config.max_total_tokens, total.tokens),
            ("max_cost", self._config.max_cost, total.cost),
            ("max_seconds", self._config.max_seconds, total.seconds),
        )
        broken = [f"{name} {limit:g}" for name, limit, used in limits if limit is not None and used > limit]
        return ", ".join(broken) or None

    def _price(self, prompt: int, completion: int) -> float:
        prices = self._config.prices
        if prices is None:
            return 0.0
        return (prompt * prices.input_per_million + completion * prices.output_per_million) / 1e6

    def _seconds(self) -> float:
        return 0.0 if self._began is None else self._clock() - self._began


def prompt_tokens(request: ChatRequest) -> int:
    """Upper guess of a prompt's tokens: characters / 3 + 8 per message."""
    characters = sum(len(message.content) for message in request.messages)
    return characters // _CHARACTERS_PER_TOKEN + _TOKENS_PER_MESSAGE * len(request.messages)


def estimated_tokens(request: ChatRequest) -> int:
    """Upper guess of a call's tokens: its prompt's and the length limit of the answer."""
    return prompt_tokens(request) + request.max_tokens


def _stopped(where: str) -> CallFailed:
    return CallFailed("budget", f"stopped at the budget: {where}")
