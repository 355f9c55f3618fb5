"""Labels of `workbench rate` are a draw of the different answers: with equal ones among them the rate still holds."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.score.golden import PairCalls
from workbench.score.judging.findings import Judged, findings

SAME, WINS, RIGHT, N, LABELS = 0.4, 0.8, 0.9, 300, 60
TRUE_RATE = SAME * 0.5 + (1 - SAME) * WINS


def drawn_contests(rng: np.random.Generator) -> list[Judged]:
    """Contests of a population of known win rate; people say the truth about some of the different ones."""
    same, won, right = rng.random(N) < SAME, rng.random(N) < WINS, rng.random(N) < RIGHT
    labelled = set(rng.permutation(np.flatnonzero(~same))[:LABELS].tolist())
    contests = []
    for place in range(N):
        if same[place]:
            contests.append(Judged(PairCalls(0.5, 0.5), (5, 5), asked=False))
            continue
        said = float(won[place] == right[place])
        label = float(won[place]) if place in labelled else None
        contests.append(Judged(PairCalls(said, 1 - said), (5, 5), label))
    return contests


def test_both_rates_are_unbiased_and_their_intervals_hold_where_answers_are_equal() -> None:
    rng = np.random.default_rng(0)
    joined, alone = [], []
    for _ in range(400):
        found = findings(drawn_contests(rng), before="a", after="b")
        assert found is not None and found.powered is not None
        assert found.powered.labelled == LABELS
        joined.append(found.powered.joined)
        alone.append(found.powered.classical)
    for rates in (joined, alone):
        # 400 draws of a standard error near 0.03: the mean's own is below 0.002
        assert np.mean([rate.value for rate in rates]) == pytest.approx(TRUE_RATE, abs=0.006)
        assert 0.92 <= np.mean([rate.low <= TRUE_RATE <= rate.high for rate in rates]) <= 0.98
    assert np.mean([rate.high - rate.low for rate in joined]) < np.mean([rate.high - rate.low for rate in alone])
