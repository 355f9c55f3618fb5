"""One suite in two sets of adapters that were trained with several seeds: from scored arms to a `SeededSuite`.

before: 3 adapters trained on a random part of the rows, after: 3 on the filtered ones, 300 documents each
->  gain +2.1 points, 95% CI -0.9 to 5.1, by seed +1.0, +3.3, +2.0

`workbench ablate` compares training sets with it, `workbench sweep` settings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.compare.conditions import arm_obstacles, suite_obstacles
from workbench.compare.gain import Settings
from workbench.compare.pairing import pair
from workbench.compare.pairs import Arm
from workbench.compare.rows import Column, column, primary_filter
from workbench.compare.run import read_arm
from workbench.compare.seeds import SeededGain, SeededScores, seeded_gain
from workbench.compare.suite import Scale
from workbench.core.ablation_results import SeededSuite
from workbench.core.config import CompareConfig
from workbench.core.errors import IncompleteError
from workbench.core.results import Interval
from workbench.core.stage import Inputs
from workbench.core.suites import LOWER_IS_BETTER, Suite


@dataclass(frozen=True, slots=True)
class Rules:
    """How sets of adapters are compared."""

    compare: CompareConfig
    alpha: float
    max_failed_fraction: float
    purpose: str = "other"
    """What may differ between two arms: a key of `conditions`."""

    def settings(self, confidence: float | None = None) -> Settings:
        """How intervals are computed, with the configured confidence unless told otherwise."""
        chosen = self.compare.confidence if confidence is None else confidence
        return Settings(chosen, self.compare.bootstrap_resamples, self.compare.seed)


def named_arm(inputs: Inputs, name: str, suites: Sequence[Suite]) -> Arm:
    """The arm behind the node `name`, called like it; IncompleteError if it was not scored or a row is none."""
    artifact = inputs.get(name)
    if artifact is None:
        raise IncompleteError("an arm was not scored", where=name, next_step="start the command again")
    arm = read_arm(name, artifact, suites)
    # The scores may come from a loop in which the arm had another name.
    info = None if arm.info is None else arm.info.model_copy(update={"arm": name.removeprefix("score:")})
    return Arm(name.removeprefix("score:"), arm.columns, info)


def compare_seeds(
    rules: Rules, suite: Suite, before: Sequence[Arm], after: Sequence[Arm], confidence: float | None = None
) -> SeededSuite:
    """`after` minus `before` on one suite; both have one arm per seed, in the same order.

    `confidence` of the interval, where it is not the configured one."""
    aligned = align(suite, before, after)
    scale = Scale.of(suite, aligned.scores.before, aligned.scores.after)
    obstacles = [
        *_conditions(suite, before, after, rules.purpose),
        *_obstacles(suite, aligned, rules.max_failed_fraction),
    ]
    gain = None
    if aligned.n:
        gain = seeded_gain(aligned.scores, scale, rules.settings(confidence), rules.alpha)
        if gain is None:
            obstacles.append("one independent document only, or none without a failure: no interval can be computed")
    return SeededSuite(
        suite=suite.name,
        metric=suite.primary_metric,
        role=suite.role,
        unit=scale.unit,
        gated=suite.gated,
        margin=suite.margin,
        higher_is_better=suite.primary_metric not in LOWER_IS_BETTER,
        n=aligned.n,
        failed=aligned.failed,
        obstacles=tuple(dict.fromkeys(obstacles)),
        **_numbers(gain),
    )


def _numbers(gain: SeededGain | None) -> dict[str, Any]:
    if gain is None:
        return {
            "gain": Interval(value=0, low=0, high=0),
            "method": "none",
            "by_seed": (),
            **dict.fromkeys(("gain_se", "seed_sd", "seed_share", "mde"), 0.0),
            **dict.fromkeys(("p_better", "p_better_holm", "p_worse"), 1.0),
        }
    estimate = gain.estimate
    return {
        "gain": Interval(value=estimate.value, low=estimate.low, high=estimate.high),
        "gain_se": estimate.se,
        "method": estimate.method,
        "by_seed": gain.by_seed,
        "seed_sd": gain.seed_sd,
        "seed_share": gain.seed_share,
        "mde": gain.mde,
        "p_better": gain.p_better,
        "p_better_holm": gain.p_better,
        "p_worse": gain.p_worse,
    }


@dataclass(frozen=True, slots=True)
class Aligned:
    """A suite's documents in every arm and seed, paired by their keys."""

    scores: SeededScores
    n: int
    unpaired: int
    """Documents that some arm or seed lacks."""
    same_weights: bool

    @property
    def failed(self) -> int:
        """Documents without a value in some arm or seed."""
        missing = np.isnan(self.scores.before).any(axis=1) | np.isnan(self.scores.after).any(axis=1)
        return int(missing.sum())


def align(suite: Suite, before: Sequence[Arm], after: Sequence[Arm]) -> Aligned:
    """The documents that all of these arms scored; the two sides may have different numbers of arms."""
    filters = {name for arm in (*before, *after) for owner, name in arm.columns if owner == suite.name}
    key = (suite.name, primary_filter(suite, filters))
    columns = [arm.columns.get(key, column(())) for arm in (*before, *after)]
    shared = set(columns[0].keys).intersection(*(one.keys for one in columns[1:]))
    taken = [_only(one, shared) for one in columns]
    first, seeds = taken[0], len(before)
    values = np.stack([one.values for one in taken], axis=1)
    scores = SeededScores(values[:, :seeds], values[:, seeds:], first.weights, first.clusters)
    return Aligned(
        scores,
        n=len(shared),
        unpaired=len(set().union(*(one.keys for one in columns))) - len(shared),
        same_weights=all(pair(first, one).same_weights for one in taken[1:]),
    )


def _only(one: Column, keys: set[tuple[str, str, int]]) -> Column:
    """The documents with these keys; columns are sorted, so equal keys give equal orders."""
    if len(one.keys) == len(keys):
        return one
    chosen = np.array([key in keys for key in one.keys], dtype=np.bool_)
    return Column(
        keys=[key for key in one.keys if key in keys],
        values=one.values[chosen],
        weights=one.weights[chosen],
        parsed=one.parsed[chosen],
        groups=one.groups[chosen],
        clusters=one.clusters[chosen],
        outputs=one.outputs[chosen],
        chances=one.chances[chosen],
        sides=one.sides[chosen],
    )


def _conditions(suite: Suite, before: Sequence[Arm], after: Sequence[Arm], purpose: str) -> list[str]:
    """What differs between any two arms and must not."""
    reference = before[0].info
    found: list[str] = []
    for arm in (*before[1:], *after):
        if reference is not None and arm.info is not None:
            found += arm_obstacles(reference, arm.info, purpose)
            found += suite_obstacles(reference, arm.info, suite.name)
    return found


def _obstacles(suite: Suite, aligned: Aligned, max_failed_fraction: float) -> list[str]:
    if aligned.n == 0:
        return ["no document was scored in every arm and seed"]
    found = []
    if aligned.failed > max_failed_fraction * aligned.n:
        found.append(f"{aligned.failed} of {aligned.n} documents failed, more than {max_failed_fraction:.1%} may")
    if aligned.unpaired > max_failed_fraction * (aligned.n + aligned.unpaired):
        found.append(f"{aligned.unpaired} documents are missing in some arm or seed, {aligned.n} are in all")
    if suite.counts_tokens and not aligned.same_weights:
        found.append("the arms count different numbers of tokens: nats per token are not comparable")
    return found
