"""What each stage function receives: the node's resolved configuration, complete, with nothing left to look up.

The plan builds these from `LoopConfig`, cards and suites. They are part of the fingerprint, so they hold only what can
change the output.
"""

from __future__ import annotations

from typing import Any, Literal

from workbench.core.cards import Card
from workbench.core.config import (
    ArmConfig,
    CompareConfig,
    EndpointConfig,
    GateConfig,
    JudgeConfig,
    MixConfig,
    ModelConfig,
    PricesConfig,
    ReportConfig,
    StrategyConfig,
    SynthConfig,
    TrainConfig,
)
from workbench.core.curation import CurateConfig, Decontamination
from workbench.core.objectives import Objective
from workbench.core.suites import Suite
from workbench.core.wire import Wire


class IngestNode(Wire):
    """Reads one dataset.

    Gives records.jsonl, quarantine.jsonl and, where made, heldout.jsonl, choice.jsonl, prompts.jsonl."""

    card: Card
    seed: int


class CurateNode(Wire):
    """Cleans all datasets together. Inputs: `ingest:NAME` of the data, of datasets behind suites and of `against`.

    Gives records.jsonl, dropped.jsonl (Drop), findings.jsonl (Finding), edges.jsonl (Edge), funnel.json (Funnel), and
    index/ (a segment for the saved index) where `curate.near_duplicates.index` names one."""

    curate: CurateConfig
    datasets: tuple[str, ...]
    """Datasets to clean; the other inputs are read for decontamination alone."""
    suites: tuple[Suite, ...]
    suites_dir: str
    model: ModelConfig
    """Its tokenizer counts; IFD runs it."""
    max_length: int
    """Tokens that training will read."""
    endpoint: EndpointConfig | None = None
    """The judge of `curate.rating`."""
    restored: tuple[str, ...] = ()
    """Ids of records that a person took back: no reason drops them."""
    segment: str = ""
    """Name of the data's own segment in the saved index: hash of the data's artifacts; empty without an index."""
    seed: int


class SynthNode(Wire):
    """Makes pairs from curated documents. Inputs: `curate`, and `ingest:NAME` of all that curation reads.

    Gives candidates.jsonl (Candidate), records.jsonl (Record)."""

    synth: SynthConfig
    strategies: tuple[StrategyConfig, ...]
    endpoints: dict[str, EndpointConfig]
    """Only those the strategies use."""
    model: ModelConfig
    """For the in-process endpoint."""
    decontamination: Decontamination = Decontamination()
    """What candidates must not give away: the same as curated rows."""
    datasets: tuple[str, ...] = ()
    """Datasets that were curated: their own test and validation splits are evaluation data."""
    suites: tuple[Suite, ...]
    suites_dir: str
    seed: int


MixRows = Literal["filtered", "all", "random", "dropped"]


class MixNode(Wire):
    """Composes the training set. Inputs: `curate`, `synth`.

    Gives train.jsonl (Record, in order), shares.json (MixSummary)."""

    mix: MixConfig
    model: ModelConfig
    """Its tokenizer counts the trainable tokens."""
    max_length: int
    seed: int
    rows: MixRows = "filtered"
    """Which of the curated rows are used: those that passed, all, all but a random part with as many trainable tokens
    as were dropped, or the dropped alone. Only `workbench ablate` asks for others than `filtered`."""
    objective: Objective = "sft"
    """What will be learned: it decides which rows can be used and which of their tokens are trained on."""


class TrainNode(Wire):
    """Trains an adapter. Input: `mix`. Gives adapter/, sham/ (the same shapes, all zeros), curve.jsonl (CurvePoint),
    samples.jsonl (TrainingSample, where asked for), training.json (TrainSummary)."""

    train: TrainConfig
    model: ModelConfig
    seed: int
    endpoints: dict[str, EndpointConfig] = {}
    """Only those that judge answers (`train.grpo.rewards`)."""


class ScoreNode(Wire):
    """Scores one arm. Inputs: `train` if the arm uses its adapter, `ingest:NAME` of datasets behind suites.

    Gives samples.jsonl (ScoreRow), generations.jsonl (Generation), arm.json (ArmInfo), timing.json (ArmTiming)."""

    arm: ArmConfig
    """With precision, batch_size and system_prompt filled in."""
    model: ModelConfig
    """The arm's own, where it names one."""
    base: ModelConfig | None = None
    """The loop's model, where the arm has another: their tokenizers must agree, and divergence is measured from it."""
    suites: tuple[Suite, ...]
    suites_dir: str
    seed: int


class JudgeNode(Wire):
    """Compares two arms' generations. Inputs: `score:BEFORE`, `score:AFTER`, `ingest:NAME` behind the judge suite.

    Gives judgments.jsonl (Judgment), trust.json (JudgeTrust)."""

    judge: JudgeConfig
    endpoint: EndpointConfig
    model: ModelConfig
    suite: Suite
    suites_dir: str
    before: str
    after: str
    seed: int


class CompareNode(Wire):
    """Compares pairs of arms. Inputs: every `score:ARM` named, and `score:judge` if there is one.

    Gives comparison.json (Comparison), flips.jsonl (Flip)."""

    compare: CompareConfig
    suites: tuple[Suite, ...]
    alpha: float
    """Level for Holm and the detectable effect."""
    max_failed_fraction: float
    not_run: tuple[str, ...] = ()


class AblationArm(Wire):
    """One arm of an ablation: which rows, and the nodes that were made from them."""

    rows: MixRows
    mixed: tuple[str, ...]
    """Inputs with its training set: one, or one per seed for `random`."""
    scored: tuple[str, ...]
    """Inputs with its scores, one per seed in the order of the seeds."""


class AblationArmsNode(Wire):
    """Measures the training sets of an ablation before anything is trained. Inputs: `mix:ARM` of every arm.

    Gives arms.json (AblationArms)."""

    arms: tuple[AblationArm, ...]
    rows_read: int
    """Sequences that each training reads: steps times batch."""


class AblationNode(Wire):
    """Does a filter help? Inputs: `compare:arms`, every `score:ARM-sSEED`, and the base's scores.

    Gives ablation.json (Ablation), ablation.md."""

    arms: tuple[AblationArm, ...]
    seeds: tuple[int, ...]
    suites: tuple[Suite, ...]
    compare: CompareConfig
    alpha: float
    max_failed_fraction: float
    steps: int
    question: str
    """What is being ablated, for the heading."""
    command: str
    """How to reproduce the run."""
    strict: bool
    base: str
    """Input with the base's scores, for orientation."""
    limits: tuple[str, ...] = ()
    """What a reader should know that the numbers do not say."""


class SweptArm(Wire):
    """One arm of a sweep: its settings, and the nodes that were made from them."""

    name: str
    settings: dict[str, Any]
    """Swept key to value."""
    trained: tuple[str, ...]
    """Inputs with its adapters, one per seed in the order of the seeds."""
    scored: tuple[str, ...]
    """Inputs with their scores, in the same order."""


class SweepNode(Wire):
    """Which settings are worth having? Inputs: every `train:ARM-sSEED` and `score:ARM-sSEED`, and the base's scores.

    Gives sweep.json (Sweep), sweep.md."""

    arms: tuple[SweptArm, ...]
    axes: dict[str, tuple[Any, ...]]
    seeds: tuple[int, ...]
    suites: tuple[Suite, ...]
    target: str
    """The suite that decides."""
    compare: CompareConfig
    alpha: float
    max_failed_fraction: float
    purpose: str
    """What may differ between two arms: a key of `compare.conditions`."""
    base: str
    """Input with the base's scores."""
    command: str
    """How to reproduce the run."""
    apply: str
    """The command of a loop with the configuration, to which the recommended settings are added."""
    strict: bool
    planned_arms: int
    planned_seeds: int
    left_out: tuple[str, ...] = ()
    """Combinations that cannot work, or that were not drawn, each with the reason."""
    limits: tuple[str, ...] = ()
    """What a reader should know that the numbers do not say."""


class GateNode(Wire):
    """Decides. Input: `compare`. Gives verdict.json (Verdict)."""

    gate: GateConfig
    suites: tuple[Suite, ...]


class ReportNode(Wire):
    """Writes what people read. Inputs: everything. Gives report.html, report.md, report.json, junit.xml."""

    report: ReportConfig
    name: str
    command: str
    """How to reproduce the run."""
    generations: int
    before: str
    after: str
    """The arms of the deciding pair."""
    price_per_hour: float | None = None
    """What an hour of the machine costs. It stands here and in no other node: a price makes the page anew, no score."""
    judge_prices: PricesConfig | None = None
    """What the judge's endpoint costs; here for the same reason."""
