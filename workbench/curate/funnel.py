"""The funnel: what happened to every row, counted by reason.

    3 rows with findings {a, b}, {a}, {b}  ->  a: 2 rows, 1 of them by a alone;  b: 2 rows, 1 by b alone
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from workbench.core.records import Finding, Record
from workbench.core.results import ReasonCount
from workbench.text.normalise import words

_EXAMPLES = 3
_EXCERPT_CHARS = 70
_DETAIL_CHARS = 100
_ACTIONS = ("drop", "flag", "repair")


def reason_counts(records: Sequence[Record], findings: Sequence[Sequence[Finding]]) -> tuple[ReasonCount, ...]:
    """Counts and examples by action and reason: drops first, then by frequency. `findings[row]` is about that row."""
    rows_of: dict[tuple[str, str], list[int]] = {}
    alone: dict[tuple[str, str], int] = {}
    for row, of_row in enumerate(findings):
        keys = list(dict.fromkeys((finding.action, finding.reason) for finding in of_row))
        for key in keys:
            rows_of.setdefault(key, []).append(row)
            alone[key] = alone.get(key, 0) + (sum(other[0] == key[0] for other in keys) == 1)
    ordered = sorted(rows_of, key=lambda key: (_ACTIONS.index(key[0]), -len(rows_of[key]), key[1]))
    return tuple(
        ReasonCount(
            reason=reason,
            action=action,
            rows=len(rows_of[action, reason]),
            only=alone[action, reason],
            examples=tuple(
                _example(records[row], findings[row], reason) for row in rows_of[action, reason][:_EXAMPLES]
            ),
        )
        for action, reason in ordered
    )


def excerpt(text: str, limit: int) -> str:
    """The beginning of `text` on one line."""
    line = " ".join(text[: 20 * limit].split())
    return line if len(line) <= limit else line[:limit].rstrip() + "..."


def word_quantiles(records: Iterable[Record]) -> dict[str, int]:
    """Length in words that 50, 90, 99 and 100% of the records do not exceed (nearest rank); empty for no records."""
    lengths = sorted(len(words(record.full_text())) for record in records)
    if not lengths:
        return {}
    ranks = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
    return {name: lengths[math.ceil(share * len(lengths)) - 1] for name, share in ranks.items()}


def largest_clusters(
    exact: Sequence[Sequence[int]], near: Sequence[Sequence[int]], kept: Mapping[int, str], limit: int = 10
) -> tuple[tuple[str, int], ...]:
    """Kept record's id and size of the largest duplicate clusters, exact copies of near-duplicates included."""
    copies = {row: len(cluster) for cluster in exact for row in cluster}
    in_near = {row for cluster in near for row in cluster}
    # Near-duplicates are looked for among one row per exact cluster, so sizes add up without counting a row twice.
    sizes = [(cluster, sum(copies.get(row, 1) for row in cluster)) for cluster in near]
    sizes += [(cluster, len(cluster)) for cluster in exact if len(cluster) > 1 and not in_near.intersection(cluster)]
    named = [(kept[row], size) for cluster, size in sizes for row in cluster if row in kept]
    return tuple(sorted(named, key=lambda item: (-item[1], item[0]))[:limit])


def _example(record: Record, findings: Sequence[Finding], reason: str) -> str:
    detail = next(finding.detail for finding in findings if finding.reason == reason)
    shown = excerpt(record.full_text(), _EXCERPT_CHARS) or "(empty)"
    return f"{shown} [{excerpt(detail, _DETAIL_CHARS)}]"
