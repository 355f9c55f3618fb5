"""The report as data: what report.json holds, and what the page, the Markdown and the JUnit file are made from."""

from __future__ import annotations

from typing import Any, Literal

from workbench.core.funnel import Funnel
from workbench.core.records import CurvePoint, Flip, Part, Text
from workbench.core.results import (
    ArmInfo,
    Comparison,
    MixSummary,
    TrainSummary,
    Verdict,
)
from workbench.core.timing import SuiteTiming
from workbench.core.wire import Wire

REPORT_SCHEMA_VERSION = 1


class Deciding(Wire):
    """The suite that the top of the page is about."""

    suite: str
    metric: str
    why: str
    """Why this one: it fails the run, leaves it open, or carries the claim."""


class FlipCount(Wire):
    """Flips of one suite between the arms of the deciding pair."""

    suite: str
    forgotten: int
    learned: int


class Flips(Wire):
    """The flips of the deciding pair."""

    counts: tuple[FlipCount, ...]
    """All of them, per suite."""
    shown: tuple[Flip, ...]
    """The forgotten ones first, each suite in turn; at most as many as the configuration allows."""
    shortened: int = 0
    """Shown flips whose texts were cut."""


class Preference(Wire):
    """The judge's preference for the later arm in one order of the two answers; None if the call failed."""

    order: Literal["before_first", "after_first"]
    preference: float | None


class GenerationPair(Wire):
    """One prompt with the answers of both arms."""

    suite: str
    prompt: Text
    reference: Text
    before: Text
    after: Text
    before_finish: str
    after_finish: str
    same: bool
    """Both answers are equal, character by character."""
    preferences: tuple[Preference, ...] = ()


class QuarantineReason(Wire):
    """Lines of one dataset that could not be read, for one reason."""

    reason: str
    rows: int
    examples: tuple[Text, ...]
    """Up to three, each with its place."""


class Intake(Wire):
    """One dataset as it was read."""

    name: str
    description: Text
    licence: str
    used_for: Literal["training", "scoring"]
    """`scoring`: only its suite documents were used."""
    records: int
    quarantined: int
    quarantine: tuple[QuarantineReason, ...]
    documents: dict[str, int]
    """Rows of each part of suite documents, such as `heldout.jsonl`."""


class Overlap(Wire):
    """A training record in which a suite's document was found."""

    record_id: str
    action: Literal["drop", "flag", "repair"]
    reason: str
    detail: Text


class Curation(Wire):
    """What cleaning did."""

    funnel: Funnel
    dropped: int
    near_duplicate_pairs: int
    decontaminated: bool
    """Whether the suites' documents were searched for."""
    suites_searched: tuple[str, ...]
    overlaps_dropped: int
    overlaps_flagged: int
    overlaps: tuple[Overlap, ...]
    """Up to ten, dropped ones first."""


class StrategyYield(Wire):
    """What one strategy of synthesis made."""

    strategy: str
    teacher: str | None
    accepted: int
    rejected: int
    review: int
    error: int
    failed_checks: dict[str, int]
    """Check to candidates that did not pass it."""


class SampledPrompt(Wire):
    """What the model answered to one prompt before and after its training."""

    prompt: Text
    reference: Text
    held_back: bool
    """Whether the prompt's row was held back from training."""
    first_step: int
    first: Text
    last_step: int
    last: Text


class Measure(Wire):
    """One of the numbers that an objective tells of every step, at the beginning and at the end."""

    name: str
    first: float
    """Mean over the first tenth of the steps that have it."""
    last: float
    """Mean over the last tenth."""


class Training(Wire):
    """How the adapter was trained."""

    summary: TrainSummary
    curve: tuple[CurvePoint, ...]
    measures: tuple[Measure, ...] = ()
    hyperparameters: dict[str, str]
    samples: tuple[SampledPrompt, ...] = ()


class ArmTimes(Wire):
    """How long one arm took on each suite."""

    arm: str
    suites: tuple[SuiteTiming, ...]


class NodeFacts(Wire):
    """One node of the run, from its manifest."""

    node: str
    stage: str
    stage_version: int
    fingerprint: str
    created_at: str
    seconds: float
    config: dict[str, Any]
    external: dict[str, str]
    libraries: dict[str, str]
    parts: tuple[Part, ...]


class ReportModel(Wire):
    """Everything in the report."""

    schema_version: int = REPORT_SCHEMA_VERSION
    title: str
    name: str
    command: str
    """How to make the run again."""
    written_at: str
    """UTC, ISO 8601."""
    target: str
    """What a sign-off of this report refers to: the fingerprint of the report's node."""
    config_fingerprint: str
    """Over the configuration of every node."""
    workbench_version: str
    seed: int
    before: str
    after: str
    verdict: Verdict
    comparison: Comparison
    deciding: Deciding | None
    """None if the arms cannot be compared."""
    alpha: float
    """Level of the claims."""
    alarms: tuple[str, ...]
    """Reasons to distrust the whole run: a control that failed."""
    arms: tuple[ArmInfo, ...]
    flips: Flips
    generations: tuple[GenerationPair, ...]
    generations_suite: str | None
    intake: tuple[Intake, ...]
    curation: Curation | None
    synthesis: tuple[StrategyYield, ...]
    mix: MixSummary | None
    training: Training | None
    judge_counts: bool
    """Whether the judge's verdict is part of the gate."""
    nodes: tuple[NodeFacts, ...]
    times: tuple[ArmTimes, ...] = ()
    """What scoring took; empty where it was not kept."""
    price_per_hour: float | None = None
    """What an hour of the machine that scored costs, if that is known."""
    judge_cost: float | None = None
    """What the judge's answers cost by the prices of its endpoint; None without them."""
    not_run: tuple[str, ...]
    """What was not done, each with the reason."""
    gaps: tuple[str, ...]
    """What limits the verdict, found in the numbers."""
