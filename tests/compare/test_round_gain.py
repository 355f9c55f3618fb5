"""The gain of a round over the one before: one seed as any paired comparison, several over seeds, Holm over suites."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ttest_rel
from scored_arms import artifact, context, rows, scored, suite
from statsmodels.stats.multitest import multipletests

from workbench.compare.stage import STAGE
from workbench.core.ablation_results import SeededSuite
from workbench.core.config import CompareConfig
from workbench.core.iteration import RoundGainNode, RoundGains
from workbench.core.parts import read_model
from workbench.core.stage import Done

DOCS = suite("docs", "perplexity", "nll", role="target")
MORE = suite("more", "perplexity", "nll", role="target")


def gains(root: Path, losses: dict[str, np.ndarray], seeds: int) -> tuple[SeededSuite, ...]:
    """`losses` by arm: [2 suites, documents]."""
    inputs = {
        f"score:{name}": scored(
            root, name, [*rows(list(map(float, values[0])), DOCS), *rows(list(map(float, values[1])), MORE)]
        )
        for name, values in losses.items()
    }
    names = list(inputs)
    node = RoundGainNode(
        before=tuple(names[:seeds]), after=tuple(names[seeds:]), suites=(DOCS, MORE), compare=CompareConfig(),
        alpha=0.05, max_failed_fraction=0.02,
    )  # fmt: skip
    made = artifact(root / "gain", "compare:gain-round-1")
    outcome = STAGE.run(node, inputs, context(made.path)[0])
    assert isinstance(outcome, Done)
    return read_model(made.part("gains.json"), RoundGains).suites


def test_one_seed_is_the_paired_t_test_and_p_is_holms(tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    before = chance.normal(3, 1, (2, 250))
    after = before - np.array([[0.05], [0.02]]) + chance.normal(0, 0.1, (2, 250))
    found = gains(tmp_path, {"round-0": before, "round-1": after}, 1)
    oracles = [ttest_rel(one, other, alternative="greater").pvalue for one, other in zip(before, after, strict=True)]
    assert [one.p_better for one in found] == pytest.approx(oracles)
    assert [one.p_better_holm for one in found] == pytest.approx(list(multipletests(oracles, method="holm")[1]))
    for one, old, new in zip(found, before, after, strict=True):
        interval = ttest_rel(old, new).confidence_interval(0.95)
        assert one.gain.value == pytest.approx((old - new).mean()), "a lower loss is a gain"
        assert (one.gain.low, one.gain.high) == pytest.approx((interval.low, interval.high))


def test_seeds_that_disagree_take_the_certainty_away(tmp_path: Path) -> None:
    chance = np.random.default_rng(1)
    base = chance.normal(3, 1, (2, 60))

    def arm(shift: float) -> np.ndarray:
        return base - shift + chance.normal(0, 0.05, (2, 60))

    lucky = gains(tmp_path / "1", {"round-0": arm(0), "round-1": arm(0.06)}, 1)
    both = {"round-0": arm(0), "round-0-s1": arm(0.05), "round-1": arm(0.06), "round-1-s1": arm(0.04)}
    honest = gains(tmp_path / "2", both, 2)
    assert lucky[0].gain.low > 0 > honest[0].gain.low
    assert honest[0].by_seed == pytest.approx((0.06, -0.01), abs=0.03)
