"""What every interval here returns, and the arrays they take."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Codes = NDArray[np.int64]
"""One integer per document, 0..C-1: documents with the same code are not independent."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value, its confidence interval, its standard error, and how they were computed."""

    value: float
    low: float
    high: float
    se: float
    method: str

    def widened(self, *others: Estimate, method: str) -> Estimate:
        """The same value and standard error with the smallest interval that covers this one and the others."""
        low = min(self.low, *(other.low for other in others))
        high = max(self.high, *(other.high for other in others))
        return Estimate(self.value, low, high, self.se, method)

    def shifted(self, by: float) -> Estimate:
        """`by` added to the value and its interval."""
        return Estimate(self.value + by, self.low + by, self.high + by, self.se, self.method)

    def scaled(self, factor: float) -> Estimate:
        """In a unit `factor` times smaller; `factor` is positive."""
        return Estimate(self.value * factor, self.low * factor, self.high * factor, self.se * factor, self.method)
