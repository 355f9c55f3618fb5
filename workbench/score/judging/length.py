"""Does the longer answer win, and what is left at equal length?

    length_correlation([1, 1, 0], [300, 120, -40])     ->  Spearman's correlation with its interval
    length_adjusted(preferences, differences)          ->  win rate at equal length, or why there is none

The adjustment is a logistic regression of the preference on tanh(difference / standard deviation), read at zero. It is
the length term of AlpacaEval 2 (Dubois et al. 2024, arXiv 2404.04475) alone: without that paper's instruction
difficulties it is no "length-controlled win rate", and is not called one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from workbench.core.results import Interval

Floats = NDArray[np.float64]

_Z = 1.959963984540054
_LEAST = 10
"""Documents below which neither number is worth having."""
_ROUNDS = 60
_LARGEST = 15.0
"""A log-odds beyond this is a fit that runs away: the data are separated."""


def length_correlation(preferences: Sequence[float], differences: Sequence[float]) -> Interval | None:
    """Spearman's correlation with its 95% interval: Fisher's z, error of Bonett and Wright (2000, Psychometrika 65:23).

    None with fewer than ten documents, or where one of the two does not vary.
    """
    if len(preferences) < _LEAST or len(set(preferences)) == 1 or len(set(differences)) == 1:
        return None
    from scipy.stats import spearmanr  # 0.7 s: only where a judge has judged

    value = float(spearmanr(preferences, differences).statistic)
    if abs(value) > 1 - 1e-12:
        return Interval(value=value, low=min(value, 0.0), high=max(value, 0.0))
    half = _Z * math.sqrt((1 + value**2 / 2) / (len(preferences) - 3))
    centre = math.atanh(value)
    return Interval(value=value, low=math.tanh(centre - half), high=math.tanh(centre + half))


def length_adjusted(preferences: Sequence[float], differences: Sequence[float]) -> Interval | str:
    """Win rate at equal length with its 95% interval, or the reason why there is none.

    `preferences` lie in [0, 1], `differences` are characters of the answer after minus those of the one before. The
    interval is that of the intercept with the sandwich error (HC1; White 1982), as preferences are no coin tosses,
    carried to the scale of rates.
    """
    wins, gaps = np.asarray(preferences, dtype=np.float64), np.asarray(differences, dtype=np.float64)
    if len(wins) < _LEAST:
        return f"{len(wins)} documents are too few for a regression"
    spread = float(gaps.std(ddof=1))
    if spread == 0:
        return "all answers differ by the same length"
    design = np.column_stack([np.ones(len(wins)), np.tanh(gaps / spread)])
    fitted = _logistic(design, wins)
    if fitted is None:
        return "length alone tells winners from losers, or one side always wins: the regression has no end"
    coefficients, errors = fitted
    low, value, high = (_sigmoid(coefficients[0] + side * _Z * errors[0]) for side in (-1, 0, 1))
    return Interval(value=value, low=low, high=high)


def _logistic(design: Floats, wins: Floats) -> tuple[Floats, Floats] | None:
    """Coefficients and robust errors of a logistic regression by Newton's method; None if it does not settle."""
    coefficients = np.zeros(design.shape[1])
    for _ in range(_ROUNDS):
        rates = 1 / (1 + np.exp(-design @ coefficients))
        information = design.T @ (design * (rates * (1 - rates))[:, None])
        step = np.linalg.lstsq(information, design.T @ (wins - rates), rcond=None)[0]
        coefficients = coefficients + step
        if np.abs(coefficients).max() > _LARGEST:
            return None
        if np.abs(step).max() < 1e-10:
            break
    else:
        return None
    n, k = design.shape
    scores = design * (wins - rates)[:, None]
    inverse = np.linalg.pinv(information)
    covariance = inverse @ (scores.T @ scores) @ inverse * n / (n - k)
    return coefficients, np.sqrt(np.maximum(np.diag(covariance), 0))


def _sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))
