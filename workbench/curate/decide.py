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
from workbench.curate.actions import EXACT, NEAR, Action, Actions
from workbench.curate.duplicates import Preference, exact_labels
from workbench.curate.filters.contract import DatasetFilter, Verdict
from workbench.curate.filters.registry import chosen_filters
from workbench.curate.spool import Later
from workbench.curate.survivors import Survivors
from workbench.curate.table import Numbers

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from workbench.text.near_duplicates import NearDuplicateSearch, NearDuplicatesFound


@dataclass(slots=True)
class Clusters:
    """Who is whose duplicate."""

    exact: NDArray[np.int64] | None
    """`[n]`: the row that stays of each row's exact copies; None if they were not looked for."""
    near: NDArray[np.int64] | None = None
    """`[n]`: the row that stays of each row's near-duplicate cluster, itself for most; None if not looked for."""
    similarity: NDArray[np.float64] | None = None
    """`[n]`: true Jaccard similarity to that row."""
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

    def add(self, row: int, name: str, verdict: Verdict, *, even_if_restored: bool = False) -> None:
        """Writes down one verdict."""
        numbers = self.numbers
        restored = bool(numbers.restored[row]) and not even_if_restored
        said = self._actions.said(name, verdict.reason, verdict.action, verdict.detail, restored=restored)
        if said is None:
            return
        self._later.add(row, said)
        numbers.dropped[row] |= said.action == "drop"
        numbers.flags[row] += said.action == "flag"
        numbers.saved[row] |= said.saved

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
    clusters = Clusters(_exact(config, decisions))
    if not _rate(config, decisions, survivors, ctx):
        return None
    if search is not None and not _near(config, decisions, clusters, search, ctx):
        return None
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


def _exact(config: CurateNode, decisions: Decisions) -> NDArray[np.int64] | None:
    """Marks all but the best of each set of exact copies; returns which row stays."""
    import numpy as np

    if not config.curate.exact_duplicates or decisions.is_off(EXACT):
        return None
    preference = decisions.preference(restored_first=True)
    stays = preference.best(exact_labels(decisions.numbers.exact_key))
    copies = np.flatnonzero(stays != np.arange(len(stays)))
    ids = decisions.numbers.record_id
    # A record that a person took back stays once, also beside a copy in another spelling.
    taken_back = {(row, int(ids[row])) for row in np.unique(stays[copies]).tolist()}
    for row in copies[np.argsort(preference.rank[copies])].tolist():
        kept = int(stays[row])
        again = (kept, int(ids[row])) in taken_back
        taken_back.add((kept, int(ids[row])))
        verdict = Verdict(EXACT, "drop", f"same text as {decisions.named(kept)}")
        decisions.add(row, "exact_duplicates", verdict, even_if_restored=again)
    return stays


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
    for row in members.tolist():
        kept = int(stays[row])
        detail = f"Jaccard {similarity[row]:.3f} with {decisions.named(kept)}"
        if similarity[row] < settings.threshold:
            detail += "; linked through rows in between"
        decisions.add(row, "near_duplicates", Verdict(NEAR, "drop", detail))
    clusters.near, clusters.similarity, clusters.found = stays, similarity, found
    if found.capped:
        ctx.warn(f"{found.capped} rows stood in crowded buckets and were not compared with everything there")
    return True


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
