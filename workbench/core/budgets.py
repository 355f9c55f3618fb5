"""What a command may use: a time, or a number of something.

    read_budget("90min", "run")          ->  Budget(seconds=5400.0)
    read_budget("8 runs", "run")         ->  Budget(count=8)
    read_budget("soon", "run")           ->  ValueError: 'soon' is no budget: write a time (2h, 90min) or ... (8 runs)
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_SECONDS = {"s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True)
class Budget:
    """At most one of the two; neither is no limit."""

    seconds: float | None = None
    count: int | None = None


def read_budget(text: str | None, counted: str) -> Budget:
    """The budget that a person wrote; `counted` is what is counted, in the singular. ValueError if it is none."""
    if text is None:
        return Budget()
    found = re.fullmatch(rf"(\d+(?:\.\d+)?)\s*(s|min|m|h|{counted}s?)", text.strip())
    if found is None or float(found[1]) == 0:
        raise _unreadable(text, counted)
    if found[2] in _SECONDS:
        return Budget(seconds=float(found[1]) * _SECONDS[found[2]])
    if "." in found[1]:
        raise _unreadable(text, counted)
    return Budget(count=int(found[1]))


def _unreadable(text: str, counted: str) -> ValueError:
    return ValueError(f"{text!r} is no budget: write a time (2h, 90min, 300s) or a number of {counted}s (8 {counted}s)")
