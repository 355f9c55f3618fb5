"""How many rows of each source make the wanted shares of trainable tokens.

    sources  manuals 1000 tokens, general 5000 tokens; wanted .95 and .05 of the 6000 tokens there are
      ->  manuals 5700 tokens wanted, 4000 had (repeated 4 times, the limit); general 300 of 5000
      ->  realised .93 and .07, and this is reported
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class Quota:
    """What one source may put into the mixture."""

    tokens: int
    """Trainable tokens wanted."""
    rows: int
    """Rows allowed, repeats counted."""


def largest_remainder(weights: Mapping[str, float], total: int) -> dict[str, int]:
    """`total` in whole parts proportional to `weights`: floors first, then one each to the largest remainders.

    Ties go to the earlier name. Hamilton's method; every part is within one of its exact share. All weights zero: all
    parts are zero.
    """
    whole = math.fsum(weights.values())
    if whole == 0:
        return dict.fromkeys(weights, 0)
    exact = {name: total * weight / whole for name, weight in weights.items()}
    parts = {name: math.floor(value) for name, value in exact.items()}
    left = total - sum(parts.values())
    for name in sorted(exact, key=lambda name: (parts[name] - exact[name], name))[:left]:
        parts[name] += 1
    return parts


def quotas(
    row_tokens: Mapping[str, Sequence[int]], shares: Mapping[str, float], max_repeat: float, max_rows: int | None
) -> dict[str, Quota]:
    """Tokens and rows for each source in `shares`; `row_tokens` holds the trainable tokens of each of its rows.

    The mixture is as large as its sources are together, in tokens, and shrinks in proportion if that would take more
    than `max_rows` rows.
    """
    available = {name: sum(row_tokens[name]) for name in shares}
    budget = sum(tokens for name, tokens in available.items() if shares[name] > 0)
    row_limits = {name: math.floor(max_repeat * len(row_tokens[name])) for name in shares}
    rows_wanted = {
        name: shares[name] * budget * len(row_tokens[name]) / available[name] for name in shares if available[name]
    }
    if max_rows is not None and sum(rows_wanted.values()) > max_rows:
        budget = math.floor(budget * max_rows / sum(rows_wanted.values()))
        for name, limit in largest_remainder(rows_wanted, max_rows).items():
            row_limits[name] = min(row_limits[name], limit)
    tokens_wanted = largest_remainder(shares, budget)
    return {name: Quota(tokens_wanted[name], row_limits[name]) for name in shares}


def pick(row_tokens: Sequence[int], quota: Quota, random: Random) -> list[int]:
    """Rows, by position, that come as close to the quota as whole rows in random order do.

    Every row is used once before one is used again, and each round has its own order. Near the end a row that would
    leave the sum further from the quota than before is passed over. Rows without tokens must not be among them.
    """
    assert all(row_tokens), "rows without trainable tokens are left out before"
    picked: list[int] = []
    missing = quota.tokens
    passed_over = not row_tokens
    while missing > 0 and len(picked) < quota.rows and not passed_over:
        for row in random.sample(range(len(row_tokens)), len(row_tokens)):
            if len(picked) == quota.rows or missing <= 0:
                break
            if row_tokens[row] > 2 * missing:
                passed_over = True
                continue
            picked.append(row)
            missing -= row_tokens[row]
    return picked
