"""How many trainable tokens each source may put into the mixture, and which of its rows come to that.

    manuals 1000 tokens, tickets 5000 tokens; shares .95 and .05 of the 6000 tokens there are
      ->  manuals: 5700 tokens wanted, 4000 had (repeated 4 times, the limit); tickets: 300 of 5000
      ->  realised .93 and .07, and this is reported with its reason
    the same with replay {datasets: [general], share: .1}
      ->  6000 tokens as before, and 667 tokens of general: a tenth of all 6667
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from random import Random

from workbench.core.errors import UsageError

_MOST_EXCHANGES = 100


@dataclass(frozen=True, slots=True)
class Demand:
    """What a mixture should consist of."""

    shares: Mapping[str, float]
    """Source to its share of what is not replayed; empty: every source that is not replayed, once."""
    replayed: Sequence[str]
    """Sources of general data."""
    replay_share: float
    """Their share of all trainable tokens."""

    def requested(self, available: Mapping[str, int]) -> dict[str, float]:
        """Source to the wanted share of all trainable tokens; `available` are the tokens of each source."""
        task = self._task(available)
        replay = {name: float(available[name]) for name in self.replayed}
        share = self.replay_share if replay else 0.0
        return _scaled(task, 1 - share) | _scaled(replay, share)

    def tokens(self, available: Mapping[str, int]) -> dict[str, int]:
        """Source to wanted tokens: as many as its own sources have together, and the replayed ones besides."""
        task = self._task(available)
        whole = sum(available[name] for name, share in task.items() if share > 0)
        replay = {name: float(available[name]) for name in self.replayed}
        replayed = round(whole * self.replay_share / (1 - self.replay_share))
        return largest_remainder(task, whole) | largest_remainder(replay, replayed)

    def _task(self, available: Mapping[str, int]) -> dict[str, float]:
        if self.shares:
            return {name: share for name, share in self.shares.items() if name in available}
        return {name: float(tokens) for name, tokens in available.items() if tokens and name not in self.replayed}


def refuse_unknown_sources(shares: Iterable[str], sources: Sequence[str]) -> None:
    """UsageError for a share of a source that is none of `sources`."""
    if unknown := [name for name in shares if name not in sources]:
        raise UsageError(
            f"no source {', '.join(map(repr, unknown))}; sources: {', '.join(sources) or 'none'}",
            where="mix.shares",
            next_step="name these in mix.shares, or leave it out: then everything goes in once",
        )


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
    whole = sum(map(Fraction, weights.values()))
    if whole == 0:
        return dict.fromkeys(weights, 0)
    exact = {name: total * Fraction(weight) / whole for name, weight in weights.items()}
    parts = {name: math.floor(value) for name, value in exact.items()}
    left = total - sum(parts.values())
    for name in sorted(exact, key=lambda name: (parts[name] - exact[name], name))[:left]:
        parts[name] += 1
    return parts


def quotas(
    row_tokens: Mapping[str, Sequence[int]], demand: Demand, max_repeat: float, max_rows: int | None
) -> dict[str, Quota]:
    """Tokens and rows for each source wanted; `row_tokens` holds the trainable tokens of each of its rows.

    If the tokens would take more than `max_rows` rows, all sources shrink in proportion.
    """
    available = {name: sum(tokens) for name, tokens in row_tokens.items()}
    wanted = demand.tokens(available)
    limits = {name: math.floor(max_repeat * len(row_tokens[name])) for name in wanted}
    rows = {name: wanted[name] * len(row_tokens[name]) / available[name] for name in wanted if available[name]}
    if max_rows is not None and sum(rows.values()) > max_rows:
        wanted = largest_remainder(wanted, round(sum(wanted.values()) * max_rows / sum(rows.values())))
        for name, limit in largest_remainder(rows, max_rows).items():
            limits[name] = min(limits[name], limit)
    return {name: Quota(wanted[name], limits[name]) for name in wanted}


def pick(row_tokens: Sequence[int], quota: Quota, random: Random) -> list[int]:
    """Rows, by position, whose tokens come to the quota as nearly as whole rows can; rows without tokens must not be
    among them.

    Every row is used once before one is used again, and each round has an order of its own.
    """
    assert all(row_tokens), "rows without trainable tokens are left out before"
    picked: list[int] = []
    missing, total = quota.tokens, sum(row_tokens)
    while row_tokens and missing >= total and len(picked) + len(row_tokens) <= quota.rows:
        picked += random.sample(range(len(row_tokens)), len(row_tokens))
        missing -= total
    return picked + nearest(row_tokens, missing, quota.rows - len(picked), random)


def nearest(row_tokens: Sequence[int], wanted: int, most: int, random: Random) -> list[int]:
    """At most `most` rows, none twice, drawn at random, whose tokens come as near to `wanted` as exchanges of single
    rows bring them: nearly always to the very token, where there are more than a handful of rows."""
    order = random.sample(range(len(row_tokens)), len(row_tokens))
    taken: list[int] = []
    left: list[int] = []
    missing = wanted
    for row in order:
        if len(taken) < most and row_tokens[row] <= missing:
            taken.append(row)
            missing -= row_tokens[row]
        else:
            left.append(row)
    for _ in range(_MOST_EXCHANGES):
        exchange = _best_exchange(row_tokens, taken, left, missing, may_add=len(taken) < most)
        if exchange is None:
            break
        out, into = exchange
        missing -= row_tokens[left[into]] - (0 if out is None else row_tokens[taken[out]])
        if out is None:
            taken.append(left.pop(into))
        else:
            taken[out], left[into] = left[into], taken[out]
    return taken


def _best_exchange(
    row_tokens: Sequence[int], taken: Sequence[int], left: Sequence[int], missing: int, *, may_add: bool
) -> tuple[int | None, int] | None:
    """Positions in `taken` and `left` whose exchange (or addition, None) brings the sum nearest; None if none helps."""
    if missing == 0:
        return None
    first_left = _first_places(row_tokens, left)
    first_taken: dict[int, int | None] = {**_first_places(row_tokens, taken)}
    if may_add:
        first_taken[0] = None
    sizes = sorted(first_left)
    best = abs(missing)
    found: tuple[int | None, int] | None = None
    for size, place in first_taken.items():
        at = bisect_left(sizes, size + missing)
        for other in sizes[max(0, at - 1) : at + 1]:
            off = abs(missing - (other - size))
            if off < best:
                best, found = off, (place, first_left[other])
    return found


def _first_places(row_tokens: Sequence[int], rows: Sequence[int]) -> dict[int, int]:
    """Number of tokens to the first place in `rows` of a row with so many."""
    first: dict[int, int] = {}
    for place, row in enumerate(rows):
        first.setdefault(row_tokens[row], place)
    return first


def _scaled(weights: Mapping[str, float], total: float) -> dict[str, float]:
    whole = math.fsum(weights.values())
    if whole == 0:
        # A source without a token still has its part in what was asked for.
        return {name: total / len(weights) for name in weights}
    return {name: total * weight / whole for name, weight in weights.items()}
