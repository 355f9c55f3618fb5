"""What crosses walls in `workbench iterate`: the nodes it has beside the loop's own, and what they and the run say."""

from __future__ import annotations

from typing import Literal

from workbench.core.ablation_results import SeededSuite
from workbench.core.config import CompareConfig
from workbench.core.iterate import GroupedBy
from workbench.core.nodes import SynthNode
from workbench.core.records import Record, Text
from workbench.core.results import Interval, RunState
from workbench.core.suites import Suite
from workbench.core.wire import Wire


def topic_of(record: Record, by: GroupedBy) -> str | None:
    """The topic a record belongs to; None where the data does not say."""
    return {"topic": record.topic, "part_of": record.source.part_of, "dataset": record.source.dataset}[by]


class DevelopmentNode(Wire):
    """Sets documents aside to find weaknesses on. Input: `curate`.

    Gives records.jsonl (Record: what may be trained on and made pairs from), development.jsonl (documents of a
    perplexity suite) and development.json (Development)."""

    datasets: tuple[str, ...]
    """All that were curated."""
    replayed: tuple[str, ...]
    """General data against forgetting: nothing of it is set aside."""
    by: GroupedBy | None
    share: float
    most: int
    min_documents: int
    seed: int


class WeaknessNode(Wire):
    """Finds the topics that an adapter knows worse than the rest. Inputs: `score` (of the development documents) and
    `development`.

    Gives weaknesses.json (Weaknesses)."""

    alpha: float
    confidence: float
    topics: int
    min_documents: int


class RoundGainNode(Wire):
    """Compares a round with the one before. Inputs: `before` and `after`.

    Gives gains.json (RoundGains)."""

    before: tuple[str, ...]
    """Inputs with the scores of the round before, one per seed."""
    after: tuple[str, ...]
    suites: tuple[Suite, ...]
    compare: CompareConfig
    alpha: float
    max_failed_fraction: float


class TargetedSynthNode(SynthNode):
    """Makes pairs from documents of weak topics. Inputs: those of `SynthNode`, `weaknesses`, and `earlier`."""

    earlier: tuple[str, ...]
    """Inputs with the pairs that were made before: neither their documents nor their questions come again."""
    replayed: tuple[str, ...]
    """Datasets whose documents are no source of pairs."""


class Development(Wire):
    """What was set aside."""

    by: GroupedBy
    documents: int
    clusters: int
    topics: int
    """Topics with development documents."""
    topics_too_small: int
    """Topics of which none was set aside, since they or `iterate.development_max` are too small; no weakness of theirs
    can be found."""
    set_aside: int
    """Other records tied to a development document: neither trained on nor used."""


class TopicLoss(Wire):
    """One topic on the development documents."""

    topic: Text
    documents: int
    clusters: int
    loss: float
    """Nats per token."""
    behind: Interval
    """The topic's loss minus that of all other development documents; above zero is worse."""
    p_value: float
    """One-sided p of being no worse than the rest, Holm-corrected over the topics."""
    weak: bool


class Weaknesses(Wire):
    """Which topics the adapter of a round knows worse than the rest, beyond noise."""

    by: GroupedBy
    alpha: float
    topics: tuple[TopicLoss, ...]
    """Those furthest behind first."""
    targeted: tuple[Text, ...]
    """Weak topics that pairs are made for."""
    failed: int
    """Development documents that could not be scored."""
    not_judged: int
    """Topics with too few independent documents that were scored."""


class RoundGain(Wire):
    """One suite in one round, positive is better."""

    suite: str
    unit: Literal["accuracy", "nats_per_token", "score", "win_rate"]
    gain: Interval
    margin: float


class RoundGains(Wire):
    """What a round gained over the one before."""

    suites: tuple[SeededSuite, ...]
    """Target suites; p-values Holm-corrected over them."""


class Round(Wire):
    """One training and what led to it."""

    number: int
    topics: tuple[Text, ...] = ()
    """Weak topics that this round's pairs were made for; none for the first training."""
    candidates: int = 0
    accepted: int = 0
    """New pairs that passed every check."""
    rows: int
    """Of the training set."""
    trainable_tokens: int
    seconds: float
    """All of the round's nodes; those from the cache with the time they once took."""
    state: RunState
    """The gate's, of this round's adapter against the base."""
    headline: str
    targets: tuple[RoundGain, ...]
    """Target suites, against the base."""
    worst: RoundGain | None
    """The gated suite of another role that lost most (or gained least) against the base."""
    over_before: tuple[SeededSuite, ...] = ()
    """Target suites, against the round before, over documents and seeds."""
    established: bool | None = None
    """Whether the gain over the round before is beyond noise; None for the first training."""
    weaknesses: Weaknesses | None = None
    """What was still weak after this round, where it was looked for."""


StopReason = Literal[
    "not comparable", "regressed", "no gain", "no weakness", "no pairs", "rounds", "budget",
]  # fmt: skip


class Iteration(Wire):
    """What `workbench iterate` ends in."""

    schema_version: int = 1
    run: str
    command: str
    headline: str
    """One sentence for the top of the report."""
    stopped: StopReason
    stop_reason: str
    """The same in a sentence."""
    rounds: tuple[Round, ...]
    offered: int | None
    """Round whose adapter is registered: the last that passed and, but for the first, beat the round before."""
    seeds: int
    """Trainings per round."""
    adapter: str | None
    """Directory of that adapter, relative to the project."""
    development: Development
    confidence: float
    """Of the rounds' own intervals against the base."""
    alpha: float
    """Level of the gain over the round before, and of the weaknesses."""
    limits: tuple[str, ...]
    """What the numbers do not say."""
    exit_code: int
