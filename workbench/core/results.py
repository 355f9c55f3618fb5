"""The summaries that stages write beside their rows: funnel, mixture, training, comparison, verdict."""

from __future__ import annotations

from typing import Literal

from workbench.core.records import Text
from workbench.core.wire import Wire


class ReasonCount(Wire):
    """How many rows one reason touched."""

    reason: str
    action: Literal["drop", "flag", "repair"]
    rows: int
    """Rows with this reason."""
    only: int
    """Rows with this reason and no other of the same action: what would come back without it."""
    examples: tuple[Text, ...] = ()
    """Up to three excerpts."""


class Funnel(Wire):
    """What happened to every row between a file and the training set."""

    rows_in: int
    rows_out: int
    reasons: tuple[ReasonCount, ...]
    largest_clusters: tuple[tuple[str, int], ...] = ()
    """Kept record's id and size of its duplicate cluster, largest first, at most ten."""
    token_quantiles: dict[str, int] = {}
    """Quantiles (`p50`, `p90`, `p99`, `max`) of record length; unit in `token_unit`."""
    token_unit: str = "words"
    near_duplicate_settings: dict[str, float | int | str] = {}


class Share(Wire):
    """One source in the mixture."""

    name: str
    requested: float
    realised: float
    """Share of the mixture's trainable tokens."""
    rows: int
    trainable_tokens: int
    repeat: float
    """Rows used divided by rows there were: above 1 means repetition."""


class MixSummary(Wire):
    """Requested against realised shares, in trainable tokens."""

    shares: tuple[Share, ...]
    rows: int
    trainable_tokens: int
    token_counter: str
    """What counted the tokens."""


class TrainSummary(Wire):
    """What was trained and how it went."""

    method: str
    base: str
    base_fingerprint: str
    precision: str
    trainable_parameters: int
    total_parameters: int
    steps: int
    answer_tokens: int
    first_loss: float
    """Mean loss of the first tenth of the steps."""
    last_loss: float
    """Mean loss of the last tenth of the steps."""
    resumed_from: tuple[int, ...] = ()
    """Steps at which an interrupted run was taken up again."""
    gradient_check: float
    """Cosine of the adapter's gradients before and after an evaluation forward: 1 unless something severed it."""
    seconds: float
    adapter_sha256: str


class ArmInfo(Wire):
    """What was scored and under which conditions: arms are comparable only if `conditions` agree."""

    arm: str
    model: str
    model_fingerprint: str
    adapter: str | None
    adapter_sha256: str | None
    precision: str
    system_prompt: str | None
    conditions: dict[str, str]
    """Everything that must agree between arms of a comparison: compute dtype, template hash, max length, batch rule,
    lm-eval version, hash of each suite's documents and settings under `suite:NAME`."""
    batch_size: int
    """The A/A arm differs in this alone."""


class Interval(Wire):
    """A value with its confidence interval."""

    value: float
    low: float
    high: float


class GroupComparison(Wire):
    """One category of a suite."""

    group: str
    n: int
    before: float
    after: float
    gain: Interval
    p_value: float
    """Two-sided, of no difference; uncorrected."""
    q_value: float
    """Benjamini-Hochberg over the groups of the suite."""


class SuiteComparison(Wire):
    """Two arms on one suite and one metric, document by document.

    `gain` is the difference after minus before, turned so that positive is better whatever the metric's direction.
    """

    suite: str
    task: str
    filter: str
    metric: str
    kind: Literal["lm_eval", "perplexity", "judge", "regression", "safety"]
    role: Literal["target", "general", "safety", "anchor"]
    unit: Literal["accuracy", "nats_per_token", "score", "win_rate"]
    gated: bool
    margin: float
    higher_is_better: bool
    n: int
    """Documents paired."""
    unpaired: int
    """Documents present in one arm alone."""
    obstacles: tuple[str, ...] = ()
    """Why this suite cannot be compared: no documents, other documents or settings, too many failures."""
    failed_before: int
    failed_after: int
    unparsed_before: int
    unparsed_after: int
    before: Interval
    after: Interval
    gain: Interval
    gain_se: float
    method: str
    """How the interval of the gain was computed."""
    p_improved: float
    """One-sided p of no gain."""
    p_improved_holm: float
    """The same, Holm-corrected over the primary suites of the pair."""
    p_value: float
    """Two-sided p of no difference."""
    test: str
    """Name of the test behind the p-values."""
    forgotten: int | None = None
    """Right before, wrong after (binary metrics)."""
    learned: int | None = None
    kept: int | None = None
    never: int | None = None
    identical: bool
    """Every paired value is equal to the last bit."""
    noise_flips: int | None = None
    """Flips of the A/A arm on the same documents."""
    noise_gain_sd: float | None = None
    """Standard deviation of the per-document difference in the A/A arm."""
    chance: float | None = None
    """Accuracy of guessing."""
    macro_before: float | None = None
    macro_after: float | None = None
    """Means over groups, where there are groups."""
    both_parsed: Interval | None = None
    """Gain among documents where both answers parsed: ability without format."""
    both_parsed_n: int | None = None
    mde: float
    """Smallest true difference this comparison finds with 80% power at the two-sided level used."""
    n_needed: int | None = None
    """Documents that would make the margin detectable, if more are needed."""
    groups: tuple[GroupComparison, ...] = ()
    sign_reversals: tuple[str, ...] = ()
    """Groups whose gain has the opposite sign of the suite's, with an interval that excludes 0."""


class PairComparison(Wire):
    """Two arms."""

    before: str
    after: str
    purpose: Literal["candidate", "sham", "noise", "quantisation", "prompt", "other"]
    comparable: bool
    obstacles: tuple[str, ...] = ()
    """Why the arms cannot be compared: differing conditions, too many failures."""
    suites: tuple[SuiteComparison, ...]


class JudgeTrust(Wire):
    """May this judge be believed? Measured against a golden set before its verdicts count."""

    judge: str
    golden_set: str
    """Name of the golden set and what it is made of."""
    pairs: int
    agreement: Interval
    """Share of golden pairs where the judge preferred the right answer, Wilson interval."""
    kappa: Interval
    """Cohen's kappa against the golden set, bootstrap interval."""
    required_kappa: float
    position_inconsistent: Interval
    """Share of pairs whose verdict changed with the order."""
    first_preferred: Interval
    parse_failures: int
    calls: int
    trusted: bool
    reasons: tuple[str, ...] = ()


class Comparison(Wire):
    """All pairs of a run."""

    confidence: float
    pairs: tuple[PairComparison, ...]
    judge: JudgeTrust | None = None
    not_run: tuple[str, ...] = ()
    """What a reader might expect and was not done, each with the reason."""


SuiteState = Literal["not comparable", "not informative", "regressed", "improved", "non-inferior", "inconclusive"]
RunState = Literal["passed", "regressed", "inconclusive", "not comparable"]


class SuiteVerdict(Wire):
    """The state of one suite."""

    suite: str
    metric: str
    role: str
    gated: bool
    state: SuiteState
    nothing_changed: bool
    """Every document scored the same to the last bit."""
    reason: str
    """One sentence with the numbers that decided."""


class PairVerdict(Wire):
    """The states of one pair of arms."""

    before: str
    after: str
    purpose: str
    state: RunState
    nothing_changed: bool
    suites: tuple[SuiteVerdict, ...]
    reasons: tuple[str, ...]


class Verdict(Wire):
    """What the run says: helped, broke, or cannot tell."""

    state: RunState
    headline: str
    """One sentence for the top of the report."""
    decisive: PairVerdict
    """The pair that decides: the candidate against its base."""
    others: tuple[PairVerdict, ...] = ()
    exit_code: int
    strict: bool
