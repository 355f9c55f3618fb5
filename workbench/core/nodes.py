"""What each stage function receives: the node's resolved configuration, complete, with nothing left to look up.

The plan builds these from `LoopConfig`, cards and suites. They are part of the fingerprint, so they hold only what can
change the output.
"""

from __future__ import annotations

from workbench.core.cards import Card
from workbench.core.config import (
    ArmConfig,
    CompareConfig,
    CurateConfig,
    EndpointConfig,
    GateConfig,
    JudgeConfig,
    MixConfig,
    ModelConfig,
    ReportConfig,
    StrategyConfig,
    SynthConfig,
    TrainConfig,
)
from workbench.core.suites import Suite
from workbench.core.wire import Wire


class IngestNode(Wire):
    """Reads one dataset.

    Gives records.jsonl, quarantine.jsonl and, where made, heldout.jsonl, choice.jsonl, prompts.jsonl."""

    card: Card
    seed: int


class CurateNode(Wire):
    """Cleans all datasets together. Inputs: `ingest:NAME` of the data and of datasets behind suites.

    Gives records.jsonl, dropped.jsonl (Drop), findings.jsonl (Finding), edges.jsonl (Edge), funnel.json (Funnel)."""

    curate: CurateConfig
    datasets: tuple[str, ...]
    """Datasets to clean; the other inputs are read for decontamination alone."""
    suites: tuple[Suite, ...]
    suites_dir: str


class SynthNode(Wire):
    """Makes pairs from curated documents. Input: `curate`.

    Gives candidates.jsonl (Candidate), records.jsonl (Record)."""

    synth: SynthConfig
    strategies: tuple[StrategyConfig, ...]
    endpoints: dict[str, EndpointConfig]
    """Only those the strategies use."""
    model: ModelConfig
    """For the in-process endpoint."""
    suites: tuple[Suite, ...]
    suites_dir: str
    seed: int


class MixNode(Wire):
    """Composes the training set. Inputs: `curate`, `synth`.

    Gives train.jsonl (Record, in order), shares.json (MixSummary)."""

    mix: MixConfig
    model: ModelConfig
    """Its tokenizer counts the trainable tokens."""
    max_length: int
    seed: int


class TrainNode(Wire):
    """Trains an adapter. Input: `mix`. Gives adapter/, sham/ (the same shapes, all zeros), curve.jsonl (CurvePoint),
    training.json (TrainSummary)."""

    train: TrainConfig
    model: ModelConfig
    seed: int


class ScoreNode(Wire):
    """Scores one arm. Inputs: `train` if the arm uses its adapter, `ingest:NAME` of datasets behind suites.

    Gives samples.jsonl (ScoreRow), generations.jsonl (Generation), arm.json (ArmInfo)."""

    arm: ArmConfig
    """With precision, batch_size and system_prompt filled in."""
    model: ModelConfig
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
