"""What became of each document: forgotten, learned, kept, never right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workbench.compare.statistics.estimates import Floats


@dataclass(frozen=True, slots=True)
class Transitions:
    """The four cells of the paired table of a binary metric."""

    forgotten: int
    """Right before, wrong after."""
    learned: int
    """Wrong before, right after."""
    kept: int
    """Right both times."""
    never: int
    """Wrong both times."""

    @property
    def n(self) -> int:
        """Documents."""
        return self.forgotten + self.learned + self.kept + self.never

    @property
    def flip_rate(self) -> float:
        """Share of documents that changed either way (arXiv 2407.09141); 0 without documents."""
        return (self.forgotten + self.learned) / self.n if self.n else 0.0


def transitions(before: Floats, after: Floats) -> Transitions:
    """Counts the cells; arrays of [n_docs] holding 0 and 1 alone."""
    right_before, right_after = before == 1, after == 1
    return Transitions(
        forgotten=int(np.count_nonzero(right_before & ~right_after)),
        learned=int(np.count_nonzero(~right_before & right_after)),
        kept=int(np.count_nonzero(right_before & right_after)),
        never=int(np.count_nonzero(~right_before & ~right_after)),
    )
