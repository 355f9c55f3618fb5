"""The budget of one endpoint: reserve before a request leaves, settle with what it really used.

    budget.refusal(request)  ->  None, or CallFailed("budget", "stopped at the budget: 200 of 200 requests")
"""

from __future__ import annotations

from workbench.core.config import EndpointConfig
from workbench.endpoints.calls import CallFailed, ChatRequest, Reply

_CHARACTERS_PER_TOKEN = 3
_TOKENS_PER_MESSAGE = 8


class Budget:
    """Counts every attempt, failed ones too: a server bills them all the same."""

    def __init__(self, config: EndpointConfig) -> None:
        self._max_requests = config.max_requests
        self._max_total_tokens = config.max_total_tokens
        self.requests = 0
        """Attempts sent."""
        self.tokens = 0
        """Tokens used, as the server reported them, or as estimated where it did not."""
        self._reserved = 0

    def refusal(self, request: ChatRequest) -> CallFailed | None:
        """None after reserving room for one attempt; otherwise the failure that says which limit is reached."""
        if self._max_requests is not None and self.requests >= self._max_requests:
            return CallFailed("budget", f"stopped at the budget: {self.requests} of {self._max_requests} requests")
        wanted = estimated_tokens(request)
        limit = self._max_total_tokens
        if limit is not None and self.tokens + self._reserved + wanted > limit:
            used = f"{self.tokens} of {limit} tokens used, the next call may need {wanted}"
            return CallFailed("budget", f"stopped at the budget: {used}")
        self.requests += 1
        self._reserved += wanted
        return None

    def settle(self, request: ChatRequest, answer: Reply | CallFailed) -> None:
        """Replaces the reservation of one attempt by its use; a failed attempt is counted with its prompt alone."""
        self._reserved -= estimated_tokens(request)
        reported = answer.prompt_tokens + answer.completion_tokens if isinstance(answer, Reply) else 0
        self.tokens += reported or estimated_tokens(request) - request.max_tokens


def estimated_tokens(request: ChatRequest) -> int:
    """Upper guess of a call's tokens: characters / 3 + 8 per message + the length limit of the answer."""
    characters = sum(len(message.content) for message in request.messages)
    return characters // _CHARACTERS_PER_TOKEN + _TOKENS_PER_MESSAGE * len(request.messages) + request.max_tokens
