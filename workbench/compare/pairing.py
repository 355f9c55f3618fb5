"""Pairing two arms document by document: by task, document hash and occurrence, never by position.

before: (t, a, 0)=1, (t, a, 1)=0, (t, b, 0)=1      after: (t, a, 1)=1, (t, a, 0)=1, (t, c, 0)=0
->  pairs (t, a, 0): 1, 1 and (t, a, 1): 0, 1; unpaired 2
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.compare.rows import Column, DocumentKey
from workbench.compare.statistics.estimates import Codes, Flags, Floats


@dataclass(frozen=True, slots=True)
class Paired:
    """Documents that both arms scored, in the order of their keys; arrays of [n_docs]."""

    keys: list[DocumentKey]
    before: Floats
    """NaN where the document failed."""
    after: Floats
    weights: Floats
    """Of the arm before."""
    parsed_before: Flags
    parsed_after: Flags
    clusters: Codes
    """Cluster of each document; without one, copies of a document are each other's cluster."""
    groups: NDArray[np.object_]
    same_weights: bool
    same_outputs: bool
    chances: Floats
    """One over the number of choices; NaN where the document is no choice."""
    unpaired: int
    """Documents in one arm alone."""
    sides: NDArray[np.object_] | None = None
    """As `Column.sides`, of the arm before."""

    @property
    def complete(self) -> Flags:
        """Documents with a value in both arms."""
        return ~(np.isnan(self.before) | np.isnan(self.after))

    def only(self, chosen: Flags) -> Paired:
        """These documents alone."""
        names = ("before", "after", "weights", "parsed_before", "parsed_after", "clusters", "groups", "chances")
        arrays = {name: getattr(self, name)[chosen] for name in names}
        keys = [key for key, kept in zip(self.keys, chosen, strict=True) if kept]
        return replace(self, keys=keys, sides=None if self.sides is None else self.sides[chosen], **arrays)


def pair(before: Column, after: Column) -> Paired:
    """Pairs two columns; as columns are sorted by key, the result does not depend on the order of the rows."""
    keys, left, right = _shared(before.keys, after.keys)
    values_before, values_after = before.values[left], after.values[right]
    weights_before, weights_after = before.weights[left], after.weights[right]
    complete = ~(np.isnan(values_before) | np.isnan(values_after))
    return Paired(
        keys=keys,
        before=values_before,
        after=values_after,
        weights=weights_before,
        parsed_before=before.parsed[left],
        parsed_after=after.parsed[right],
        clusters=before.clusters[left],
        groups=before.groups[left],
        same_weights=bool(np.array_equal(weights_before[complete], weights_after[complete])),
        same_outputs=bool(np.array_equal(before.outputs[left], after.outputs[right])),
        chances=before.chances[left],
        unpaired=len(before.keys) + len(after.keys) - 2 * len(keys),
        sides=before.sides[left],
    )


def _shared(before: list[DocumentKey], after: list[DocumentKey]) -> tuple[list[DocumentKey], Any, Any]:
    """Keys of both lists in order, and their positions in each: arms of one run hold the same documents."""
    if before == after:
        return before, slice(None), slice(None)
    partners = dict(zip(after, range(len(after)), strict=True))
    left = [position for position, key in enumerate(before) if key in partners]
    keys = [before[position] for position in left]
    right = [partners[key] for key in keys]
    return keys, np.array(left, dtype=np.int64), np.array(right, dtype=np.int64)
