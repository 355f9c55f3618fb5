"""What an ablation found, and how sets of adapters that differ by their seed compare on one suite."""

from __future__ import annotations

from typing import Literal

from workbench.core.results import Interval
from workbench.core.wire import Wire

AblationRows = Literal["all", "filtered", "random", "dropped"]


class ArmSize(Wire):
    """What one arm of an ablation is trained on."""

    arm: AblationRows
    rows: int
    """Of the training set; the smallest where seeds differ."""
    trainable_tokens: int
    passes: float
    """Times that training reads each row."""


class AblationArms(Wire):
    """The training sets of an ablation."""

    arms: tuple[ArmSize, ...]
    warnings: tuple[str, ...] = ()
    """Arms that are too small to say much."""


class AblationLevel(Wire):
    """One arm on one suite: the score of each seed's adapter, and of the base."""

    arm: str
    """`all`, `filtered`, `random`, `dropped` or `base`."""
    value: float
    """Mean over seeds."""
    by_seed: tuple[float, ...]


class SeededSuite(Wire):
    """One set of adapters, a seed each, against another or against the base on one suite, over documents and seeds.

    `gain` is after minus before, turned so that positive is better whatever the metric's direction."""

    suite: str
    metric: str
    role: Literal["target", "general", "safety", "anchor"]
    unit: Literal["accuracy", "nats_per_token", "score", "win_rate"]
    gated: bool
    margin: float
    higher_is_better: bool
    n: int
    """Documents scored in every arm and seed."""
    failed: int
    """Of them, documents that failed in some arm or seed."""
    obstacles: tuple[str, ...] = ()
    """Why the suite cannot be compared."""
    gain: Interval
    gain_se: float
    by_seed: tuple[float, ...]
    """Gain of each seed's pair of adapters."""
    seed_sd: float
    """Standard deviation of the gain between seeds, beyond what the documents' noise explains."""
    seed_share: float
    """Share of the variance that more seeds would shrink; the rest is up to the documents."""
    method: str
    """How the interval was computed."""
    p_better: float
    """One-sided p of no gain."""
    p_better_holm: float
    """The same, Holm-corrected: over the target suites of an ablation's pair, over the arms of a sweep."""
    p_worse: float
    """One-sided p of no loss."""
    mde: float
    """Smallest true difference found with 80% power at the level used, with these documents and seeds."""


class AblationPair(Wire):
    """`filtered` against one other arm."""

    before: AblationRows
    suites: tuple[SeededSuite, ...]


AblationState = Literal["help", "hurt", "mixed", "no evidence", "not comparable"]


class Ablation(Wire):
    """Do the filters help? `filtered` against `random`, a random drop of as many tokens, decides."""

    question: str
    state: AblationState
    headline: str
    """One sentence for the top of the report."""
    reasons: tuple[str, ...]
    """The numbers that decided, and what limits the answer."""
    exit_code: int
    command: str
    seeds: tuple[int, ...]
    steps: int
    confidence: float
    alpha: float
    arms: tuple[ArmSize, ...]
    levels: dict[str, tuple[AblationLevel, ...]]
    """By suite."""
    pairs: tuple[AblationPair, ...]
    """The deciding one first."""
    limits: tuple[str, ...] = ()
    """What the numbers do not say."""
