"""Rows judged by what the other rows are: on their numbers alone, after each has been examined by itself.

    saved index        rows that it holds already
    dataset filters    such as one question with two answers
    exact, near        all but the best row of each cluster
    rating, semantic, IFD, limits on topics: in this order, each on the rows that nothing has dropped so far

A rating comes before the near-duplicates, so that the better rated of them stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workbench.core.nodes import CurateNode
from workbench.core.stage import Context
from workbench.curate import ifd, rating, semantic
from workbench.curate.actions import EXACT, NEAR, Action, Actions, Said
from workbench.curate.duplicates import NO_DEFECT, Preference, exact_labels
from workbench.curate.filters.contract import DatasetFilter, Verdict
from workbench.curate.filters.registry import chosen_filters
from workbench.curate.spool import Later
from workbench.curate.survivors import Survivors
from workbench.curate.table import Numbers

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from workbench.text.near_duplicates import NearDuplicateSearch, NearDuplicatesFound


_EXACTLY, _NEARLY = "exact_duplicates", "near_duplicates"


@dataclass(slots=True)
class Clusters:
    """Who is whose duplicate."""

    exact: NDArray[np.int64] | None
    """`[n]`: the row that stays of each row's exact copies; None if they were not looked for."""
    near: NDArray[np.int64] | None = None
    """`[n]`: the row that stays of each row's near-duplicate cluster, itself for most; None if not looked for."""
    similarity: NDArray[np.float64] | None = None
    """`[n]`: true Jaccard similarity to that row."""
    gone: NDArray[np.bool_] | None = None
    """`[n]`: whether the row was dropped for it."""
    found: NearDuplicatesFound | None = None


class Decisions:
    """The rows, and what is added about them."""

    def __init__(self, config: CurateNode, numbers: Numbers, later: Later) -> None:
        import numpy as np

        self.numbers = numbers
        self.by_id = numbers.order_by_id()
        self.ratings = np.full(len(numbers), np.nan)
        self._config = config
        self._actions = Actions(config.curate.actions)
        self._later = later

    def add(self, row: int, name: str, verdict: Verdict, *, even_if_restored: bool = False) -> bool:
        """Counts and writes down one verdict; returns whether it drops the row."""
        self.write(row, name, verdict, even_if_restored=even_if_restored)
        return self.count(row, name, verdict, even_if_restored=even_if_restored)

    def count(self, row: int, name: str, verdict: Verdict, *, even_if_restored: bool = False) -> bool:
        """Counts one verdict that is written later, when more is known; returns whether it drops the row."""
        said = self._said(row, name, verdict, even_if_restored)
        if said is None:
            return False
        numbers = self.numbers
        numbers.dropped[row] |= said.action == "drop"
        numbers.flags[row] += said.action == "flag" and said.reason not in NO_DEFECT
        numbers.saved[row] |= said.saved
        return said.action == "drop"

    def write(self, row: int, name: str, verdict: Verdict, *, even_if_restored: bool = False) -> None:
        """Writes down one verdict."""
        said = self._said(row, name, verdict, even_if_restored)
        if said is not None:
            self._later.add(row, said)

    def _said(self, row: int, name: str, verdict: Verdict, even_if_restored: bool) -> Said | None:
        restored = bool(self.numbers.restored[row]) and not even_if_restored
        return self._actions.said(name, verdict.reason, verdict.action, verdict.detail, restored=restored)

    def is_off(self, reason: str, default: Action = "drop") -> bool:
        """Whether a reason is switched off, so that nobody needs to look for it."""
        return self._actions.of(reason, default) is None

    def preference(self, *, restored_first: bool = False) -> Preference:
        """Which rows deserve to stay, as things stand."""
        return Preference.of(self.numbers, self.by_id, self.ratings, restored_first=restored_first)

    def named(self, row: int) -> str:
        """A row as details name it: `row 3 (0a1b..., tickets row 3)`."""
        dataset, _, source_row = self.numbers.place[row].tolist()
        place = self._config.datasets[dataset] + (f" row {source_row - 1}" if source_row else "")
        return f"row {row} ({self.numbers.record_id[row]:016x}, {place})"

    def remaining(self) -> NDArray[np.int64]:
        """Rows that nothing has dropped, ascending."""
        import numpy as np

        return np.flatnonzero(~self.numbers.dropped)


def decide(
    config: CurateNode,
    decisions: Decisions,
    search: NearDuplicateSearch | None,
    survivors: Survivors,
    ctx: Context,
) -> Clusters | None:
    """Adds every verdict about rows among rows; None if the user wants to stop."""
    _dataset_filters(config, decisions, kept_only=False)
    copies = _exact(config, decisions)
    clusters = Clusters(copies.stays if copies else None)
    if not _rate(config, decisions, survivors, ctx):
        return None
    if search is not None and not _near(config, decisions, clusters, search, ctx):
        return None
    if copies:
        _name_what_stayed(copies, clusters, decisions, search)
    if not _semantic(config, decisions, survivors, ctx) or not _ifd(config, decisions, survivors, ctx):
        return None
    _dataset_filters(config, decisions, kept_only=True)
    return None if ctx.cancelled() else clusters


def _dataset_filters(config: CurateNode, decisions: Decisions, *, kept_only: bool) -> None:
    import numpy as np

    numbers = decisions.numbers
    chosen: Sequence[DatasetFilter] = chosen_filters(config.curate.filters)[1]
    for one in chosen:
        if one.kept_only == kept_only:
            keyed = numbers.keyed[one.name] & ~numbers.dropped if kept_only else numbers.keyed[one.name]
            rows = np.flatnonzero(keyed)
            for row, verdict in one.judge(rows, numbers.keys[one.name][rows], config.curate):
                decisions.add(row, one.name, verdict)


@dataclass(frozen=True, slots=True)
class _Copies:
    """Exact copies of other rows."""

    stays: NDArray[np.int64]
    """`[n]`: the row that stays of each row's copies."""
    rows: NDArray[np.int64]
    """Those that are copies, the most deserving first."""
    again: frozenset[int]
    """Those of them that are dropped although a person took the record back, since it stays elsewhere."""


def _exact(config: CurateNode, decisions: Decisions) -> _Copies | None:
    """Counts out all but the best of each set of exact copies; what is said of them waits for the near-duplicates."""
    import numpy as np

    if not config.curate.exact_duplicates or decisions.is_off(EXACT):
        return None
    preference = decisions.preference(restored_first=True)
    stays = preference.best(exact_labels(decisions.numbers.exact_key))
    copies = np.flatnonzero(stays != np.arange(len(stays)))
    copies = copies[np.argsort(preference.rank[copies])]
    ids = decisions.numbers.record_id
    # A record that a person took back stays once, also beside a copy in another spelling.
    taken_back = {(row, int(ids[row])) for row in np.unique(stays[copies]).tolist()}
    again = set()
    for row in copies.tolist():
        spelling = (int(stays[row]), int(ids[row]))
        if spelling in taken_back:
            again.add(row)
        taken_back.add(spelling)
        verdict = Verdict(EXACT, "drop", "")
        decisions.count(row, _EXACTLY, verdict, even_if_restored=row in again)
    return _Copies(stays, copies, frozenset(again))


def _name_what_stayed(
    copies: _Copies, clusters: Clusters, decisions: Decisions, search: NearDuplicateSearch | None
) -> None:
    """Writes down the verdicts on exact copies: each names the row that stayed of its whole cluster."""
    import numpy as np

    same = copies.stays[copies.rows]
    stayed, similarity = same, np.ones(len(same))
    if clusters.near is not None and clusters.gone is not None and search is not None:
        stayed = np.where(clusters.gone[same], clusters.near[same], same)
        moved = np.flatnonzero(stayed != same)
        similarity[moved] = search.jaccard(copies.rows[moved], stayed[moved])
    for place, row in enumerate(copies.rows.tolist()):
        one = int(same[place])
        detail = f"same text as {decisions.named(one)}"
        if stayed[place] != one:
            detail = f"Jaccard {similarity[place]:.3f} with {decisions.named(int(stayed[place]))}; {detail}, which went"
        verdict = Verdict(EXACT, "drop", detail)
        decisions.write(row, _EXACTLY, verdict, even_if_restored=row in copies.again)


def _near(
    config: CurateNode, decisions: Decisions, clusters: Clusters, search: NearDuplicateSearch, ctx: Context
) -> bool:
    """Marks all but the best of each near-duplicate cluster; False if the user wants to stop."""
    import numpy as np

    settings = config.curate.near_duplicates
    rows = np.arange(len(decisions.numbers))
    include = rows == clusters.exact if clusters.exact is not None else np.ones(len(rows), dtype=bool)

    def progress(done: int, total: int) -> None:
        ctx.progress(done, total, "bands", "near-duplicates")

    found = search.find(decisions.by_id, include, on_progress=progress, cancelled=ctx.cancelled)
    if found is None:
        return False
    stays = decisions.preference().best(found.labels)
    members = np.flatnonzero(stays != rows)
    similarity = np.ones(len(rows))
    similarity[members] = search.jaccard(members, stays[members])
    gone = np.zeros(len(rows), dtype=bool)
    for row in _tell_signs_apart(members, stays, similarity, decisions):
        detail = f"Jaccard 1.000 with {decisions.named(int(stays[row]))}, but other signs or indentation"
        decisions.add(row, _NEARLY, Verdict(NEAR, "flag", detail))
        stays[row] = row
    for row in members[stays[members] != members].tolist():
        kept = int(stays[row])
        detail = f"Jaccard {similarity[row]:.3f} with {decisions.named(kept)}"
        if similarity[row] < settings.threshold:
            detail += "; linked through rows in between"
        gone[row] = decisions.add(row, _NEARLY, Verdict(NEAR, "drop", detail))
    clusters.near, clusters.similarity, clusters.found, clusters.gone = stays, similarity, found, gone
    if found.capped:
        ctx.warn(f"{found.capped} rows stood in crowded buckets and were not compared with everything there")
    return True


def _tell_signs_apart(
    members: NDArray[np.int64], stays: NDArray[np.int64], similarity: NDArray[np.float64], decisions: Decisions
) -> list[int]:
    """The rows that stay although they have the words of the row that stays, because their signs say something else.

    One of each spelling; in `stays` it takes the place of the kept row for the others that are spelled like it.
    """
    written = decisions.numbers.written
    others = members[(similarity[members] == 1.0) & (written[members] != written[stays[members]])]
    rank = decisions.preference().rank
    first: dict[tuple[int, int], int] = {}
    for row in others[rank[others].argsort()].tolist():
        spelled = first.setdefault((int(stays[row]), int(written[row])), row)
        if spelled != row:
            stays[row] = spelled
    return sorted(first.values())


def _rate(config: CurateNode, decisions: Decisions, survivors: Survivors, ctx: Context) -> bool:
    settings = config.curate.rating
    if settings.endpoint is None and settings.reward_model is None:
        return True
    judged = rating.judge(survivors, len(decisions.remaining()), config, ctx)
    if judged is None:
        return False
    for row, value in judged.quality.items():
        decisions.ratings[row] = value
    _add_all(decisions, rating.NAME, judged.verdicts)
    return True


def _ifd(config: CurateNode, decisions: Decisions, survivors: Survivors, ctx: Context) -> bool:
    if not config.curate.ifd.enabled:
        return True
    judged = ifd.judge(survivors, len(decisions.remaining()), config, ctx)
    if judged is None:
        return False
    _add_all(decisions, ifd.NAME, judged.verdicts)
    return True


def _semantic(config: CurateNode, decisions: Decisions, survivors: Survivors, ctx: Context) -> bool:
    """Marks all but the best of each semantic cluster."""
    if config.curate.semantic_duplicates.model is None:
        return True
    found = semantic.clusters(survivors, len(decisions.remaining()), config, ctx)
    if found is None:
        return False
    rank = decisions.preference().rank
    cosine = {(left, right): value for left, right, value in found.edges}
    for cluster in found.clusters:
        kept = min(cluster, key=lambda row: int(rank[row]))
        for row in cluster:
            if row != kept:
                value = cosine.get((row, kept), cosine.get((kept, row)))
                how = "linked through rows in between to" if value is None else f"cosine {value:.3f} with"
                detail = f"{how} {decisions.named(kept)}"
                action = config.curate.semantic_duplicates.action
                decisions.add(row, semantic.NAME, Verdict(semantic.REASONS[0], action, detail))
    return True


def _add_all(decisions: Decisions, name: str, verdicts: Mapping[int, Sequence[Verdict]]) -> None:
    for row in sorted(verdicts):
        for verdict in verdicts[row]:
            decisions.add(row, name, verdict)
