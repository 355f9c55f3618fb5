"""`over_represented`: one topic, dataset, answer, length or style may hold at most a given share of the kept rows.

    balance: {by: topic, max_share: 0.5}, kept: 812 rows of topic billing, 100 of delivery, 88 of refunds
        ->  drop  over_represented: 624 of the 812, chosen by hash; billing then holds 188 of 376

The share holds after the drop, and no larger selection has it. Rows without a topic are counted in the whole and never
dropped. Which rows go is decided by their ids: the order of the data plays no part.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING

from workbench.core.curation import CurateConfig
from workbench.core.errors import UsageError
from workbench.curate.balance import allowed_rows, value_of
from workbench.curate.filters.contract import DatasetFilter, Subject, Verdict

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NAME = "over_represented"


def key(subject: Subject, config: CurateConfig) -> tuple[int, ...] | None:
    """Hash of the value of `balance.by` (0 without one) and of the record's id; None if there is no limit."""
    import xxhash

    if config.balance.max_share >= 1:
        return None
    value = value_of(subject, config.balance.by)
    hashed = 0 if value is None else xxhash.xxh64_intdigest(value.encode("utf-8", "surrogatepass")) or 1
    return hashed, xxhash.xxh64_intdigest(subject.record.id.encode())


def judge(rows: NDArray[np.int64], keys: NDArray[np.uint64], config: CurateConfig) -> Iterator[tuple[int, Verdict]]:
    """Drops what is too much of each value. UsageError if no selection of the rows has shares as small as asked for."""
    import numpy as np

    balance = config.balance
    if balance.max_share >= 1 or not len(rows):
        return
    values, group, counts = np.unique(keys[:, 0], return_inverse=True, return_counts=True)
    limited = values != 0
    others = int(counts[~limited].sum())
    max_share = Fraction(repr(balance.max_share))
    cap = allowed_rows([int(count) for count in counts[limited]], max_share, others)
    if cap == 0 and limited.any():
        number = int(limited.sum())
        raise UsageError(
            f"no selection of the kept rows that has a {balance.by} in it has at most {balance.max_share:g} of each: "
            f"there are only {number} values of it in {len(rows)} rows",
            where="curate.balance.max_share",
            next_step=f"raise it to {math.ceil(1000 / number) / 1000:g} or more, or take another `by`",
        )
    kept = others + int(np.minimum(counts[limited], cap).sum())
    order = np.lexsort((rows, keys[:, 1], group))
    place = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    for position in np.sort(order[(place >= cap) & limited[group[order]]]):
        count = int(counts[group[position]])
        detail = (
            f"{count} of {len(rows)} kept rows have its {balance.by} (share {count / len(rows):.3f}, limit "
            f"{balance.max_share:g}); {cap} of then {kept} stay"
        )
        yield int(rows[position]), Verdict(NAME, "drop", detail)


FILTER = DatasetFilter(NAME, (NAME,), 2, key, judge, kept_only=True)
