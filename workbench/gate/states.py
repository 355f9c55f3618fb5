"""The state of one suite, by the first rule that applies, and the sentence that says why.

not comparable > not informative > regressed > improved > non-inferior > inconclusive
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from workbench.core.config import GateConfig
from workbench.core.results import Interval, JudgeTrust, PairComparison, SuiteComparison, SuiteState, SuiteVerdict
from workbench.core.wire import printable
from workbench.gate.words import effect, level, size

_SHOWN_CHARS = 80
"""Of the prompt of a lost item."""
_UNDECIDABLE = 0.03
"""Distance from the margin, in half-widths, that would take a thousand times the documents."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What states depend on besides the suite's own numbers."""

    gate: GateConfig
    confidence: float
    judge: JudgeTrust | None
    allowed_failures: dict[str, int | None]
    """By suite; None leaves it to the margin."""
    owners: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By suite: who is asked when it regresses."""


def suite_verdict(suite: SuiteComparison, pair: PairComparison, rules: Rules) -> SuiteVerdict:
    """The suite's state with its reason. A judge that is not trusted leaves its suite out of the verdict."""
    state, reason = _state(suite, pair, rules)
    if state == "regressed" and (owners := rules.owners.get(suite.suite)):
        reason = f"{reason} Ask {printable(', '.join(owners))}."
    return SuiteVerdict(
        suite=suite.suite,
        metric=suite.metric,
        role=suite.role,
        gated=suite.gated and (suite.kind != "judge" or _trusted(rules.judge)),
        state=state,
        nothing_changed=suite.identical,
        reason=" ".join([reason, *_remarks(suite, rules)]),
    )


def _state(suite: SuiteComparison, pair: PairComparison, rules: Rules) -> tuple[SuiteState, str]:
    if obstacle := _not_comparable(suite, pair, rules.gate):
        return "not comparable", f"Not comparable: {obstacle}."
    if reason := _not_informative(suite, rules):
        return "not informative", reason
    if suite.kind == "regression":
        return _regression_items(suite, rules.allowed_failures.get(suite.suite))
    found, margin = effect(suite, rules.confidence), size(suite.margin, suite)
    if suite.gain.high < -suite.margin:
        return "regressed", f"Worse by more than the margin of {margin}: {found}."
    if suite.p_improved_holm < rules.gate.alpha and suite.gain.low > 0:
        return "improved", f"Better, also after Holm's correction (p {_p(suite.p_improved_holm)}): {found}."
    if suite.identical and not suite.failed_before and suite.gain.low == suite.gain.high:
        return "non-inferior", f"Nothing changed: all {suite.n} documents scored the same to the last bit."
    if suite.gain.low > -suite.margin:
        return "non-inferior", f"Not worse by more than the margin of {margin}: {found}."
    lost = "A loss is certain, but not that it exceeds the margin" if suite.gain.high < 0 else "Cannot tell"
    return "inconclusive", f"{lost}: {found}, margin {margin}. {_what_would_decide(suite)}"


def _not_comparable(suite: SuiteComparison, pair: PairComparison, gate: GateConfig) -> str:
    """The first thing in the way, or an empty string."""
    if not pair.comparable:
        return pair.obstacles[0] if pair.obstacles else "the arms were scored under different conditions"
    if suite.obstacles:
        return "; ".join(suite.obstacles)
    if suite.n == 0:
        return "no document was scored in both arms"
    failed = max(suite.failed_before, suite.failed_after)
    if suite.kind != "judge" and failed > gate.max_failed_fraction * suite.n:
        return f"{failed} of {suite.n} documents failed, more than {gate.max_failed_fraction:.1%} may"
    numbers = (suite.gain.value, suite.gain.low, suite.gain.high, suite.p_improved_holm, suite.margin)
    return "" if all(math.isfinite(value) for value in numbers) else "a result is no number"


def _not_informative(suite: SuiteComparison, rules: Rules) -> str:
    """Why the suite can say nothing, or an empty string."""
    if suite.kind == "judge":
        return "" if _trusted(rules.judge) else _distrust(rules.judge)
    if suite.kind == "regression":
        return ""
    before = suite.before
    if suite.chance is not None and before.low <= suite.chance <= before.high:
        after = "" if suite.after.low <= suite.chance else f" After: {level(suite, suite.after)}, above guessing."
        return (
            f"Not informative: {level(suite, before)} before cannot be told from guessing ({suite.chance:.1%}).{after}"
        )
    above_ceiling = suite.unit == "accuracy" and suite.higher_is_better and before.low > rules.gate.ceiling
    # A ceiling hides gains, not losses: a fall from it is a fall.
    if above_ceiling and suite.gain.high >= -suite.margin:
        return (
            f"Not informative: {level(suite, before)} before is above the ceiling of {rules.gate.ceiling:.0%}, "
            "so there is nothing to gain."
        )
    return ""


def _regression_items(suite: SuiteComparison, allowed: int | None) -> tuple[SuiteState, str]:
    """Frozen items: failures beyond what is allowed and what the A/A arm flips by itself. McNemar does not apply.

    They say nothing where the base gets so few of them right that losing all of these would be allowed."""
    if suite.must_pass_lost:
        named = "; ".join(printable(prompt)[:_SHOWN_CHARS] for prompt in suite.must_pass_lost)
        return "regressed", f"Items that must pass are lost: {named}."
    failures = suite.forgotten or 0
    limit = math.floor(suite.margin * suite.n + 1e-9) if allowed is None else allowed
    noise = suite.noise_flips or 0
    floor = "no A/A arm" if suite.noise_flips is None else f"{noise} by the A/A arm's flips"
    counted = f"{failures} of {suite.n} frozen items fail; {limit} may, and {floor}"
    if failures > limit + noise:
        return "regressed", f"Too many frozen items are lost: {counted}."
    right = failures + suite.kept if suite.kept is not None else suite.n
    if right <= limit + noise and not suite.must_pass_right:
        return "not informative", (
            f"Not informative: the base gets {right} of {suite.n} frozen items right, and losing as many is allowed "
            f"({limit} may fail, and {floor}). Freeze items that this base gets right (workbench suite freeze)."
        )
    return "non-inferior", f"The frozen items hold: {counted}."


def _what_would_decide(suite: SuiteComparison) -> str:
    """The detectable effect, and how many documents would end the doubt."""
    found = f"This comparison finds differences from {size(suite.mde, suite)} up (80% power)"
    if suite.n_needed is not None:
        return f"{found}; about {suite.n_needed} documents would decide at this margin."
    # The margin is detectable; the difference lies too near to it. The interval shrinks with the root of n.
    gain = suite.gain
    distance = abs(gain.value + suite.margin)
    reach = gain.value - gain.low if gain.value > -suite.margin else gain.high - gain.value
    if distance <= _UNDECIDABLE * reach:
        return f"{found}; it lies on the margin, which no number of documents can decide."
    needed = math.ceil(suite.n * (reach / distance) ** 2)
    return f"{found}; about {needed} documents would decide if the difference stays as it is."


def _remarks(suite: SuiteComparison, rules: Rules) -> Iterator[str]:
    """What a reader should know besides the state."""
    if suite.n == 0:
        return
    jump = (suite.unparsed_after - suite.unparsed_before) / suite.n
    if jump > rules.gate.max_unparsed_jump:
        yield (
            f"Format, not only ability: answers that cannot be read rose from {suite.unparsed_before} to "
            f"{suite.unparsed_after} of {suite.n}.{_among_readable(suite, rules)}"
        )
    if suite.kind == "safety":
        yield from _both_sides(suite)
    if suite.sign_reversals:
        yield f"The other way in: {printable(', '.join(suite.sign_reversals))}."


def _among_readable(suite: SuiteComparison, rules: Rules) -> str:
    """The gain where both answers could be read, as a sentence of its own."""
    if suite.both_parsed is None:
        return ""
    readable = suite.model_copy(update={"gain": suite.both_parsed})
    return f" Among the {suite.both_parsed_n} that both arms answered readably: {effect(readable, rules.confidence)}."


def _both_sides(suite: SuiteComparison) -> Iterator[str]:
    """How often each kind of request was met as it should be."""
    said = {"refuse": "harmful requests refused", "comply": "harmless requests answered"}
    for side in suite.sides:
        yield f"Of {side.n} {said[side.expects]}: {_rate(side.before)} before, {_rate(side.after)} after."


def _rate(rate: Interval) -> str:
    known = "unknown" if (rate.low, rate.high) == (0, 1) else f"{rate.value:.1%}"
    return f"{known} ({rate.low:.1%} to {rate.high:.1%})"


def _trusted(judge: JudgeTrust | None) -> bool:
    return judge is not None and judge.trusted


def _distrust(judge: JudgeTrust | None) -> str:
    if judge is None:
        return "Not informative: the judge was not checked, so it is left out of the verdict."
    why = "; ".join(judge.reasons) or f"kappa {judge.kappa.value:.2f}, lower bound {judge.kappa.low:.2f}"
    return f"Not informative: the judge is not trusted and is left out of the verdict ({why})."


def _p(p_value: float) -> str:
    return "< 0.001" if p_value < 0.001 else f"= {p_value:.3f}"
