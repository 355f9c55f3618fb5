"""The funnel: what happened to every row, counted by reason, and the largest clusters with what is in them.

    3 rows with findings {a, b}, {a}, {b}  ->  a: 2 rows, 1 of them by a alone;  b: 2 rows, 1 by b alone
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from workbench.core.funnel import DuplicateCluster, ReasonCount
from workbench.core.records import Record
from workbench.curate.actions import Action, Said
from workbench.curate.showing import shown_detail, shown_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_EXAMPLES = 3
_EXCERPT_CHARS = 100
_DETAIL_CHARS = 140
_MEMBER_CHARS = 240
_CLUSTERS = 10
_MEMBERS = 3
_ACTIONS = ("drop", "flag", "repair")


@dataclass(slots=True)
class _Count:
    rows: int = 0
    only: int = 0
    examples: list[str] = field(default_factory=list)


class ReasonTally:
    """Counts rows by action and reason, with the first few examples of each."""

    def __init__(self) -> None:
        self._counts: dict[tuple[Action, str], _Count] = {}

    def add(self, said: Sequence[Said], record: Callable[[], Record]) -> None:
        """Counts one row; `record` is asked for only if the row is an example."""
        keys = list(dict.fromkeys((one.action, one.reason) for one in said))
        for key in keys:
            count = self._counts.setdefault(key, _Count())
            count.rows += 1
            count.only += sum(action == key[0] for action, _ in keys) == 1
            if len(count.examples) < _EXAMPLES:
                count.examples.append(_example(record(), said, key))

    def counts(self) -> tuple[ReasonCount, ...]:
        """Drops first, then by frequency."""
        ordered = sorted(self._counts, key=lambda key: (_ACTIONS.index(key[0]), -self._counts[key].rows, key[1]))
        return tuple(
            ReasonCount(
                reason=reason,
                action=action,
                rows=self._counts[action, reason].rows,
                only=self._counts[action, reason].only,
                examples=tuple(self._counts[action, reason].examples),
            )
            for action, reason in ordered
        )


def excerpt(text: str, limit: int) -> str:
    """The beginning of `text` on one line."""
    line = " ".join(text[: 20 * limit].split())
    return line if len(line) <= limit else line[:limit].rstrip() + "..."


@dataclass(slots=True)
class _Cluster:
    kept: int
    rows: int
    lowest: float
    members: list[tuple[int, float | None]]
    """Rows shown, each with its similarity to the kept one; None for the same text."""


class ClusterExcerpts:
    """The largest clusters; their texts are picked up while the rows go by."""

    def __init__(
        self,
        exact: NDArray[np.int64] | None,
        near: NDArray[np.int64] | None,
        similarity: NDArray[np.float64] | None,
        by_id: NDArray[np.int64],
    ) -> None:
        self._clusters = _largest(exact, near, similarity, by_id)
        members = {row for cluster in self._clusters for row, _ in cluster.members}
        self.wanted = members.union(cluster.kept for cluster in self._clusters)
        """Rows whose text is needed."""
        self._texts: dict[int, str] = {}
        self._ids: dict[int, str] = {}

    def take(self, row: int, record: Record) -> None:
        """Keeps the beginning of a wanted row."""
        self._texts[row] = excerpt(shown_text(record), _MEMBER_CHARS) or "(empty)"
        self._ids[row] = record.id

    def clusters(self) -> tuple[DuplicateCluster, ...]:
        """Largest first; every wanted row must have been taken."""
        return tuple(
            DuplicateCluster(
                kept=self._ids[cluster.kept],
                rows=cluster.rows,
                lowest_jaccard=cluster.lowest,
                excerpt=self._texts[cluster.kept],
                members=tuple(
                    f"{'same text' if value is None else f'Jaccard {value:.2f}'}: {self._texts[row]}"
                    for row, value in cluster.members
                ),
            )
            for cluster in self._clusters
        )


def _largest(
    exact: NDArray[np.int64] | None,
    near: NDArray[np.int64] | None,
    similarity: NDArray[np.float64] | None,
    by_id: NDArray[np.int64],
) -> list[_Cluster]:
    """The ten clusters with most rows; among equally large ones those with the smallest ids."""
    import numpy as np

    rows = np.arange(len(by_id))
    copy_of = rows if exact is None else exact
    stays = copy_of if near is None else near[copy_of]
    sizes = np.bincount(stays, minlength=len(rows))
    several = np.flatnonzero(sizes > 1)
    largest = several[np.lexsort((by_id[several], -sizes[several]))][:_CLUSTERS]
    alike = np.ones(len(rows)) if similarity is None else similarity[copy_of]
    return [_cluster(kept, np.flatnonzero(stays == kept), copy_of, alike, by_id) for kept in largest.tolist()]


def _cluster(
    kept: int, rows: NDArray[np.int64], copy_of: NDArray[np.int64], alike: NDArray[np.float64], by_id: NDArray[np.int64]
) -> _Cluster:
    """Shows the least similar members, one of each set of copies; copies of the kept row where there are few others."""
    import numpy as np

    near = rows[(copy_of[rows] == rows) & (rows != kept)]
    near = near[np.lexsort((by_id[near], alike[near]))][:_MEMBERS].tolist()
    copies = rows[(copy_of[rows] == kept) & (rows != kept)]
    copies = copies[np.argsort(by_id[copies])][: _MEMBERS - len(near)].tolist()
    members = [*((row, float(alike[row])) for row in near), *((row, None) for row in copies)]
    return _Cluster(kept, len(rows), float(alike[rows].min()), members)


def _example(record: Record, said: Sequence[Said], key: tuple[Action, str]) -> str:
    """The beginning of the record and, on a second line in brackets, the evidence; both without personal data."""
    detail = next(one.detail for one in said if (one.action, one.reason) == key)
    shown = excerpt(shown_text(record), _EXCERPT_CHARS) or "(empty)"
    return f"{shown}\n[{excerpt(shown_detail(detail, record), _DETAIL_CHARS)}]"
