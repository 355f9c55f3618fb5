"""When to try again, and how long to wait: by the server's word where it gives one, else doubling with jitter.

    Retry-After: 2      -> everybody waits 2 s          no header, third attempt  -> about 2 s
    Retry-After: 300    -> everybody waits 300 s        Retry-After: 7200         -> reported, not waited for
"""

from __future__ import annotations

import asyncio
import email.utils
import math
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from workbench.endpoints.calls import TRANSIENT, CallFailed

LONGEST_WAIT_S = 600.0
"""A server that asks for a longer pause is reported instead of waited for."""
_FIRST_DELAY_S = 0.5
_LONGEST_DELAY_S = 8.0


@dataclass(frozen=True, slots=True)
class Attempt:
    """A failed attempt and what the server said about trying again."""

    failure: CallFailed
    retry_after_s: float | None = None
    may_retry: bool = True


class Pauses:
    """One waiting line for all requests of an endpoint: when the server says wait, nobody knocks."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._closed_until = -math.inf

    async def wait_for_turn(self) -> None:
        """Returns once no pause asked for by the server is running."""
        while (left := self._closed_until - self._clock()) > 0:
            await self._sleep(left)

    async def after(self, attempt: Attempt, number: int, jitter: random.Random) -> bool:
        """Waits before attempt `number` + 1; False if it makes no sense to try again."""
        if not attempt.may_retry or attempt.failure.reason not in TRANSIENT:
            return False
        if attempt.retry_after_s is None:
            await self._sleep(min(_LONGEST_DELAY_S, _FIRST_DELAY_S * 2**number) * (0.75 + jitter.random() / 2))
            return True
        if attempt.retry_after_s > LONGEST_WAIT_S:
            return False
        self._closed_until = max(self._closed_until, self._clock() + attempt.retry_after_s)
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
