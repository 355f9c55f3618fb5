"""Is the number right? "So she pays $1,234.50 in all." against "1234.5" is 1; no number at all is `parsed` False.

The last number of the answer counts, or the first with `take: first`. Equal means equal as decimals ("7.0" is "7"), or
no further apart than `tolerance`.
"""

from __future__ import annotations

import re
from decimal import Decimal

from workbench.score.metrics.metric import Answered, Metric, Reading, Settings, each

_WHOLE = r"(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)"
_NUMBER = re.compile(rf"[-+\u2212]?(?:{_WHOLE}(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][-+]?[0-9]{{1,4}}(?![0-9]))?")


def read_number(text: str, take: str = "last") -> Decimal | None:
    """The first or last number of a text, or None. A hyphen between digits ("3-4") is no sign."""
    found = list(_NUMBER.finditer(text))
    if not found:
        return None
    match = found[0 if take == "first" else -1]
    number = match.group().replace(",", "").replace("\u2212", "-")
    if number[0] in "+-" and match.start() > 0 and text[match.start() - 1].isalnum():
        number = number[1:]
    return Decimal(number)


def _measure(answer: Answered, settings: Settings) -> Reading:
    given = read_number(answer.text, settings.get("take", "last"))
    if given is None:
        return Reading(0.0, parsed=False)
    right = [number for text in answer.references if (number := read_number(text)) is not None]
    if not right:
        return Reading(None, error="the right answer holds no number")
    tolerance = Decimal(str(settings.get("tolerance", 0)))
    return Reading(float(any(given == number or abs(given - number) <= tolerance > 0 for number in right)))


def _check(settings: Settings) -> None:
    if settings.get("take", "last") not in ("first", "last"):
        raise ValueError(f"take {settings['take']!r} is neither first nor last")
    if not 0 <= settings.get("tolerance", 0) < float("inf"):
        raise ValueError("`tolerance` must not be negative")


NUMERIC = Metric("numeric", each(_measure), settings={"take": str, "tolerance": (int, float)}, check=_check)
