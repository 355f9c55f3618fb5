"""When to ask, when to ask again, and how long to wait: by the server's word where it gives one, else doubling with
jitter; never faster than the configured rates.

    Retry-After: 2      -> everybody waits 2 s          no header, third attempt  -> about 2 s
    Retry-After: 300    -> everybody waits 300 s        Retry-After: 7200         -> reported, not waited for
    requests_per_minute: 60  -> one a second, however many workers there are
"""

from __future__ import annotations

import asyncio
import email.utils
import math
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from workbench.core.config import EndpointConfig
from workbench.endpoints.calls import TRANSIENT, CallFailed, nobody

LONGEST_WAIT_S = 600.0
"""A server that asks for a longer pause is reported instead of waited for."""
_FIRST_DELAY_S = 0.5
_LONGEST_DELAY_S = 8.0
_WORTH_A_WORD_S = 10.0


@dataclass(frozen=True, slots=True)
class Attempt:
    """A failed attempt and what the server said about trying again."""

    failure: CallFailed
    retry_after_s: float | None = None
    may_retry: bool = True


@dataclass(slots=True)
class _Rate:
    """Even distances (generic cell rate algorithm, ITU-T I.371, without burst): `units` more take `units` / per_s."""

    per_s: float
    free_at: float = -math.inf

    def use(self, units: float, now: float) -> None:
        self.free_at = max(self.free_at, now) + units / self.per_s


class Rates:
    """The rates of one endpoint, over all its calls."""

    def __init__(self, config: EndpointConfig) -> None:
        requests, tokens = config.requests_per_minute, config.tokens_per_minute
        self._requests = _Rate(math.inf if requests is None else requests / 60)
        self._tokens = _Rate(math.inf if tokens is None else tokens / 60)

    def fastest_s(self, requests: int, tokens: int) -> float:
        """How long so many take at least."""
        return max(requests / self._requests.per_s, tokens / self._tokens.per_s)

    def free_at(self) -> float:
        """The time from which on the next request may leave."""
        return max(self._requests.free_at, self._tokens.free_at)

    def take(self, tokens: int, now: float) -> None:
        """Counts one request with so many tokens."""
        self._requests.use(1, now)
        self._tokens.use(tokens, now)

    def correct(self, tokens: int, now: float) -> None:
        """Counts `tokens` more (or fewer, below 0) than was estimated."""
        self._tokens.use(tokens, now)


class Pauses:
    """One waiting line for all requests of a chat: when the server says wait, nobody knocks, and rates are kept."""

    def __init__(
        self,
        rates: Rates,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        say: Callable[[str], object] = nobody,
    ) -> None:
        """`say` hears of a pause that somebody might take for a standstill."""
        self._say = say
        self.rates = rates
        self.clock = clock
        self._sleep = sleep
        self._closed_until = -math.inf
        self._line = asyncio.Lock()

    async def wait_for_turn(self, tokens: int, patience_s: Callable[[], float]) -> bool:
        """Returns when a request of so many tokens may leave, and counts it; False if that is beyond all patience.

        The next in line goes on once this one has left: those whose answers came together would else all leave
        together, and their answers come together again and wait for each other every time.
        """
        await self._line.acquire()
        try:
            while (left := max(self._closed_until, self.rates.free_at()) - self.clock()) > 0:
                if left > patience_s():
                    return False
                await self._sleep(left)
            self.rates.take(tokens, self.clock())
        finally:
            asyncio.get_running_loop().call_soon(self._line.release)
        return True

    async def after(self, attempt: Attempt, number: int, jitter: random.Random) -> bool:
        """Waits before attempt `number` + 1; False if it makes no sense to try again."""
        if not attempt.may_retry or attempt.failure.reason not in TRANSIENT:
            return False
        if attempt.retry_after_s is None:
            await self._sleep(min(_LONGEST_DELAY_S, _FIRST_DELAY_S * 2**number) * (0.75 + jitter.random() / 2))
            return True
        if attempt.retry_after_s > LONGEST_WAIT_S:
            return False
        until = self.clock() + attempt.retry_after_s
        if until - max(self._closed_until, self.clock()) > _WORTH_A_WORD_S:
            self._say(f"waiting {attempt.retry_after_s:.0f} s, as the server asks: {attempt.failure.message}")
        self._closed_until = max(self._closed_until, until)
        return True


def retry_after_s(headers: Mapping[str, str], now: Callable[[], float] = time.time) -> float | None:
    """Seconds of a Retry-After header, given as a number or a date; None if there is none that can be read."""
    if (milliseconds := _number(headers.get("retry-after-ms"))) is not None:
        return milliseconds / 1000
    value = headers.get("retry-after")
    if value is None:
        return None
    if (seconds := _number(value)) is not None:
        return seconds
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - now())
    except (ValueError, OverflowError):
        return None


def _number(value: str | None) -> float | None:
    try:
        number = float(value) if value is not None else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None
