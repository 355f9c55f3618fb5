"""What a sweep found: every arm against the base, the arms that cannot be told apart from the best, the recommendation.

rank=8 +0.21, rank=16 +0.22, rank=64 +0.23 but 2 margins lost on capitals
->  rank=64 forgets; rank=8 and rank=16 cannot be told apart; rank=8 is recommended, the smaller one
"""

from __future__ import annotations

from typing import Any, Literal

from workbench.core.ablation_results import SeededSuite
from workbench.core.results import Interval
from workbench.core.wire import Wire

SweepArmState = Literal["recommended", "among the best", "behind", "no gain", "forgets", "not comparable"]
SweepState = Literal["recommended", "no gain", "forgets", "not comparable"]


class SweepArm(Wire):
    """One combination of settings."""

    name: str
    settings: dict[str, Any]
    """Swept key to the value in this arm."""
    state: SweepArmState
    suites: tuple[SeededSuite, ...]
    """Against the base; Holm-corrected over the arms."""
    trainable_parameters: int
    answer_tokens: int
    """Learned tokens of one training, the most of its seeds."""
    seconds: float
    """Of one training, mean over the seeds."""
    worst_suite: str | None
    """Gated suite other than the targets with the largest loss, counted in margins."""
    worst_loss: float | None
    """That loss in margins: 1 is as much as may be lost, a negative number is a gain."""
    mean_loss: float | None
    """Mean loss of those suites, in margins."""
    forgets: tuple[str, ...] = ()
    """Gated suites on which the arm lost more than the margin, by its estimate."""
    unchecked: tuple[str, ...] = ()
    """Gated suites other than the target that could not be compared with the base. An arm with one on which another
    arm was compared is not comparable."""
    not_shown_safe: tuple[str, ...] = ()
    """Gated suites on which such a loss cannot be ruled out; those in `unchecked` are among them."""
    pareto: bool = False
    """Whether no other arm has both a larger target gain and a smaller worst loss; of comparable arms."""
    shortfall: Interval | None = None
    """How much worse than the best of the arms that gain and do not forget; an interval for all arms together."""


class SplitHalf(Wire):
    """What the highest of several estimates is worth: chosen on half of documents and seeds, measured on the other."""

    arm: str
    """The arm with the highest estimate."""
    gain: float
    """Its estimate, which is optimistic because it was picked for being high."""
    gain_elsewhere: float
    """Mean over random splits of the gain, on the other half, of the arm with the highest estimate on one half."""
    same_arm: float
    """Share of splits in which that was `arm`."""
    splits: int


class Sweep(Wire):
    """Which settings are worth having?"""

    state: SweepState
    headline: str
    """One sentence for the top of the report."""
    recommended: str | None
    """Name of the arm."""
    reasons: tuple[str, ...]
    """Why this arm, the numbers that decided, and what limits the answer."""
    next_step: str | None
    exit_code: int
    command: str
    target: str
    """The suite that decides."""
    axes: dict[str, tuple[Any, ...]]
    seeds: tuple[int, ...]
    """Of every arm compared."""
    arms: tuple[SweepArm, ...]
    """In the order of the axes."""
    split_half: SplitHalf | None
    confidence: float
    alpha: float
    planned_arms: int
    planned_seeds: int
    left_out: tuple[str, ...] = ()
    """Combinations that cannot work, or that were not drawn, each with the reason."""
    limits: tuple[str, ...] = ()
    """What the numbers do not say."""

    def arm(self, name: str) -> SweepArm:
        """The arm with this name."""
        return next(arm for arm in self.arms if arm.name == name)

    @property
    def compared(self) -> str | None:
        """How much of what was planned is compared: `2 of 3 arms with 1 of 2 seeds`; None if all of it is."""
        if (len(self.arms), len(self.seeds)) == (self.planned_arms, self.planned_seeds):
            return None
        return f"{len(self.arms)} of {self.planned_arms} arms with {len(self.seeds)} of {self.planned_seeds} seeds"

    def target_of(self, arm: SweepArm) -> SeededSuite:
        """The arm's deciding suite."""
        return next(suite for suite in arm.suites if suite.suite == self.target)

    def seed_points(self, arm: SweepArm) -> tuple[tuple[float, float], ...]:
        """Of every seed the target gain and the loss, in margins, on the arm's worst suite: the spread in the plot."""
        worst = next((suite for suite in arm.suites if suite.suite == arm.worst_suite), None)
        if worst is None:
            return ()
        gains = self.target_of(arm).by_seed
        return tuple((gain, -kept / worst.margin) for gain, kept in zip(gains, worst.by_seed, strict=True))
