"""What all calls of one `chat` will take, said once a twentieth of them is answered.

    "20 of 400 calls took 21 requests, 4,100 tokens, 0.0021 and 6 s: all of them would take about 420 requests, ..."
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from workbench.endpoints.budget import Budget, Spent

_SHARE = 0.05
_FEWEST_CALLS = 20
"""Fewer are done before anybody has read the line."""


class Projection:
    """Speaks once, after 5% of `calls`, unless the endpoint spoke of as many before: rows may come in equal pieces."""

    def __init__(
        self,
        budget: Budget,
        calls: int,
        say: Callable[[str], object],
        *,
        in_flight: int = 1,
        fastest_s: Callable[[Spent], float] = lambda _: 0.0,
    ) -> None:
        """`in_flight` calls at a time; so much takes at least `fastest_s` by the configured rates."""
        self._budget = budget
        self._calls = calls
        self._say = say
        self._in_flight = min(in_flight, calls)
        self._fastest_s = fastest_s
        self._before = budget.spent()
        self._finished = 0
        self._took_s = 0.0

    def note(self, took_s: float) -> None:
        """Takes notice of one finished call, which took so long with all its waiting."""
        self._finished += 1
        self._took_s += took_s
        fewest = max(_FEWEST_CALLS, self._budget.projected_calls + 1)
        if self._calls < fewest or self._finished != math.ceil(self._calls * _SHARE):
            return
        self._budget.projected_calls = self._calls
        part = self._budget.spent().since(self._before)
        whole = self._all(part)
        text = f"{self._finished:,} of {self._calls:,} calls took {self._words(part)}: "
        text += f"all of them would take about {self._words(whole)}"
        if broken := self._budget.exceeded_by(
            Spent(
                self._before.requests + whole.requests,
                self._before.tokens + whole.tokens,
                self._before.cost + whole.cost,
                self._before.seconds + whole.seconds,
            )
        ):
            text += f"; the budget ({broken}) will end them before"
        self._say(text)

    def _all(self, part: Spent) -> Spent:
        """Little's law: the time of a call times the calls is that of all, over those in flight at a time. The clock
        alone would count the filling of the line as many times as the calls that fill it."""
        whole = part.times(self._calls / self._finished)
        seconds = self._took_s / self._finished * self._calls / self._in_flight
        return replace(whole, seconds=max(seconds, self._fastest_s(whole)))

    def _words(self, spent: Spent) -> str:
        cost = f", {spent.cost:.4g} by `prices`" if self._budget.priced else ""
        return f"{spent.requests:,} requests, {spent.tokens:,} tokens{cost} and {spent.seconds:.0f} s"
