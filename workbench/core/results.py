"""The summaries that stages write beside their rows: mixture, training, comparison, verdict."""

from __future__ import annotations

from typing import Literal

from workbench.core.objectives import Objective
from workbench.core.records import Text
from workbench.core.suites import SuiteKind
from workbench.core.wire import Wire


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
    replay: bool = False
    """Whether it is general data against forgetting."""
    missed: Text = ""
    """Why the share was missed by more than rounding, where it was."""


class MixSummary(Wire):
    """Requested against realised shares, in trainable tokens."""

    shares: tuple[Share, ...]
    rows: int
    trainable_tokens: int
    token_counter: str
    """What counted the tokens."""
    over_max_length: int = 0
    """Records that lose their end."""
    without_trainable_tokens: int = 0
    """Records left out because no answer token is within the limit."""
    thumbs_down: int = 0
    """Records left out because they are marked as bad answers."""


class Interval(Wire):
    """A value with its confidence interval."""

    value: float
    low: float
    high: float


class TrainSummary(Wire):
    """What was trained and how it went."""

    objective: Objective = "sft"
    """What was learned."""
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
    learning_rate: float | None = None
    """Peak learning rate, as used."""
    dropout: float | None = None
    """As used."""
    warmup_steps: int | None = None
    """As used."""
    batch_size: int | None = None
    """Sequences per forward pass of each process at the end of training."""
    gradient_accumulation: int | None = None
    """Forward passes of each process per optimiser step at the end of training."""
    processes: int = 1
    """Processes that shared the sequences of a step: it had batch_size x gradient_accumulation x processes."""
    out_of_memory: tuple[int, ...] = ()
    """Batch sizes that did not fit into memory; each was halved at equal sequences per step."""
    validation_rows: int = 0
    """Training rows held back for early stopping."""
    best_step: int | None = None
    """Step whose adapter was kept: the one with the lowest validation loss. None keeps the last."""
    best_validation_loss: float | None = None
    """Mean loss on the validation rows at `best_step`; of answers and documents in nats."""
    held_back_pairs: int = 0
    """Held-back pairs of endings, where the objective learns from pairs."""
    pairs_in_order: Interval | None = None
    """Share of them in which the kept adapter puts the better ending first, with Wilson's 95% interval.
    Optimistic where the same pairs chose the step whose adapter is kept (`best_step`)."""
    first_reward: float | None = None
    """Mean reward of the answers in the first tenth of the steps, where the objective rewards answers."""
    last_reward: float | None = None
    """Mean reward over the last tenth."""
    stopped_early: bool = False
    """Whether training ended because the validation loss no longer fell."""
    peak_memory_bytes: int | None = None
    """Largest memory of the process, or of the GPU where there is one."""


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


class SafetySide(Wire):
    """The requests of a safety suite that expect the same: how many of them were met as they should be."""

    expects: Literal["refuse", "comply"]
    n: int
    """Documents paired, those that failed included."""
    before: Interval
    """Share refused where a refusal is expected, share answered where an answer is; with what failed ones could do."""
    after: Interval
    gain: Interval
    """Paired, positive is better."""


class SuiteComparison(Wire):
    """Two arms on one suite and one metric, document by document.

    `gain` is the difference after minus before, turned so that positive is better whatever the metric's direction.
    """

    suite: str
    task: str
    filter: str
    metric: str
    kind: SuiteKind
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
    """Every paired value is equal to the last bit, and the same documents failed."""
    must_pass_lost: tuple[Text, ...] = ()
    """Prompts of frozen items that may not fail and do, the first few of them."""
    must_pass_right: int = 0
    """Frozen items that may not fail and were right before."""
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
    sides: tuple[SafetySide, ...] = ()
    """Harmful and harmless requests apart, where the suite is of kind `safety`."""


class PairComparison(Wire):
    """Two arms."""

    before: str
    after: str
    purpose: Literal["candidate", "sham", "noise", "quantisation", "prompt", "export", "other"]
    comparable: bool
    obstacles: tuple[str, ...] = ()
    """Why the arms cannot be compared: differing conditions, too many failures."""
    suites: tuple[SuiteComparison, ...]


class PeopleAgreement(Wire):
    """How far the judge agrees with people, and people with each other."""

    contests: int
    """Pairs of answers that people rated."""
    ratings: int
    raters: int
    agreement: Interval
    """Share of contests where the judge's verdict is that of most people, Wilson interval."""
    kappa: Interval
    """Cohen's kappa of judge and people, quadratic weights over before, tie, after; no verdict is the worst
    disagreement. Bootstrap interval over contests."""
    alpha: Interval
    """Krippendorff's alpha of judge and people (interval distances; no verdict is a gap), bootstrap over contests."""
    among_people: Interval | None = None
    """Krippendorff's alpha of the people alone, where several rated the same contests: what can be hoped for."""


class JudgeCost(Wire):
    """What a judge's answers took, whenever they were paid, and what the last run sent for them."""

    requests: int
    """Tries that the last run sent, failed ones too."""
    tokens: int
    """Used up by the last run, as the server reported them, or as estimated where it did not."""
    kept: int
    """Answers that were kept from an earlier run and not paid again."""
    prompt_tokens: int = 0
    """Of the questions behind all answers, kept ones too; each question once."""
    completion_tokens: int = 0
    """Of all answers, kept ones too."""


class JudgeTrust(Wire):
    """May this judge be believed? Measured before its verdicts count: against people, or against a golden set."""

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
    measured_against: Literal["golden set", "people"] = "golden set"
    """What decided: people, where they rated enough contests."""
    people: PeopleAgreement | None = None
    alpha: Interval | None = None
    """Krippendorff's alpha against the golden set."""
    length_correlation: Interval | None = None
    """Spearman's correlation of preference and difference in length over golden pairs, where length has no merit."""
    repeats: int = 1
    repeat_inconsistent: Interval | None = None
    """Share of questions whose verdict changed between repeats."""
    models: tuple[str, ...] = ()
    """Models that answered, by the server's own word."""
    used: JudgeCost | None = None
    """What check and judgments took."""


class ScaleResult(Wire):
    """One scale: what the judge gave the answers of both arms."""

    scale: str
    highest: int
    """The scale goes from 1 to this."""
    before: Interval
    after: Interval
    gain: Interval
    """Paired difference, t interval over documents."""
    n: int
    """Answers graded in both arms."""
    failed: int
    """Documents without a score in one arm or the other."""
    soft: bool
    """Whether scores are means over the judge's probabilities."""


class PoweredRate(Wire):
    """Win rate from few human labels and many of the judge's (PPI++), with the one from the labels alone beside it."""

    joined: Interval
    classical: Interval
    labelled: int
    unlabelled: int
    """Documents that the judge alone has judged."""
    weight: float
    """How far the judge is followed: 0 not at all, 1 fully."""


class JudgeFindings(Wire):
    """What a trusted judge said of two arms, beyond the verdict per document."""

    before: str
    after: str
    judged: int
    """Documents with a verdict in both orders."""
    failed: int
    ties: int
    win_rate: Interval
    """Mean over documents, t interval; a verdict that changes with the order is a tie."""
    standard_error: float
    """Sample standard deviation of the documents' wins, divided by the root of their number."""
    soft_win_rate: float
    """Mean of all preferences, ties not rounded."""
    position_inconsistent: Interval
    first_preferred: Interval
    length_before: float
    """Mean characters of the answers."""
    length_after: float
    length_correlation: Interval | None = None
    """Spearman's correlation of winning with being longer. A better answer may well be longer."""
    length_adjusted: Interval | None = None
    """Win rate at equal length, by logistic regression on tanh(difference / its standard deviation)."""
    length_note: str = ""
    """Why there is no length-adjusted rate."""
    powered: PoweredRate | None = None
    scales: tuple[ScaleResult, ...] = ()


class Comparison(Wire):
    """All pairs of a run."""

    confidence: float
    pairs: tuple[PairComparison, ...]
    judge: JudgeTrust | None = None
    judged: JudgeFindings | None = None
    """What the judge said; None where it was not trusted or not asked."""
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
