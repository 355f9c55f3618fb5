"""Corrections for looking at several p-values at once.

holm([0.01, 0.04, 0.03])                  ->  [0.03, 0.06, 0.06]
benjamini_hochberg([0.01, 0.04, 0.03])    ->  [0.03, 0.04, 0.04]
"""

from __future__ import annotations

from collections.abc import Sequence


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values that bound the chance of any false claim (Holm 1979, Scand J Statist 6:65)."""
    adjusted = [1.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values that bound the share of false claims (Benjamini and Hochberg 1995, JRSS B 57:289)."""
    if not p_values:
        return []
    from scipy.stats import false_discovery_control  # 0.7 s to import

    return [float(q) for q in false_discovery_control(list(p_values))]
