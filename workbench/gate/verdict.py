"""From a comparison to the verdict: a state per suite, one per pair, one headline.

decide(comparison, GateConfig(), suites)
-> Verdict(state="passed", exit_code=0, headline="Improved on python-docs-perplexity (-0.71 nats ...); ...")
"""

from __future__ import annotations

from collections.abc import Sequence

from workbench.core.config import GateConfig
from workbench.core.errors import ExitCode, IncompleteError
from workbench.core.results import (
    Comparison,
    PairComparison,
    PairVerdict,
    RunState,
    SuiteComparison,
    SuiteState,
    SuiteVerdict,
    Verdict,
)
from workbench.core.suites import Suite
from workbench.gate.headline import headline, pair_reasons
from workbench.gate.states import Rules, suite_verdict

_ROUNDING = 1e-4
"""Limit of the interval, in the metric's unit, up to which a difference is the arithmetic's order of summation."""
_HELD: frozenset[SuiteState] = frozenset({"improved", "non-inferior"})


def decide(comparison: Comparison, gate: GateConfig, suites: Sequence[Suite]) -> Verdict:
    """The verdict; the pair with purpose `candidate` decides. IncompleteError if there is no such pair.

    Passed only if at least one gated suite held and every other gated one held or is not informative. Nothing to judge
    (no suites, no documents) is not comparable, never passed.
    """
    rules = Rules(
        gate=gate,
        confidence=comparison.confidence,
        judge=comparison.judge,
        allowed_failures={suite.name: suite.allowed_failures for suite in suites},
        owners={suite.name: suite.owners for suite in suites},
    )
    compared = next((pair for pair in comparison.pairs if pair.purpose == "candidate"), None)
    if compared is None:
        raise IncompleteError(
            "no pair has purpose `candidate`, so nothing decides", next_step="name one under compare.pairs"
        )
    others = [pair for pair in comparison.pairs if pair is not compared]
    decisive = _pair_verdict(compared, rules)
    if broken := [sentence for pair in others if (sentence := _broken_sham(pair))]:
        decisive = decisive.model_copy(update={"reasons": (*decisive.reasons, *broken)})
    return Verdict(
        state=decisive.state,
        headline=headline(compared, decisive, comparison.confidence, broken),
        decisive=decisive,
        others=tuple(_pair_verdict(pair, rules) for pair in others),
        exit_code=exit_code(decisive.state, strict=gate.strict),
        strict=gate.strict,
    )


def exit_code(state: RunState, *, strict: bool) -> int:
    """What a process that ends in this state returns."""
    if state == "regressed" or (state == "inconclusive" and strict):
        return int(ExitCode.REGRESSED)
    return int(ExitCode.INCOMPLETE if state == "not comparable" else ExitCode.OK)


def run_state(pair: PairComparison, suites: Sequence[SuiteVerdict]) -> RunState:
    """The state of a pair from those of its suites.

    A measured regression stands whatever else could not be measured; then comes what could not; then doubt.
    """
    states = [suite.state for suite in suites if suite.gated]
    if not pair.comparable or not suites:
        return "not comparable"
    if "regressed" in states:
        return "regressed"
    if "not comparable" in states:
        return "not comparable"
    if "inconclusive" in states or not _HELD.intersection(states):
        return "inconclusive"
    return "passed"


def _pair_verdict(pair: PairComparison, rules: Rules) -> PairVerdict:
    suites = tuple(suite_verdict(suite, pair, rules) for suite in pair.suites)
    state = run_state(pair, suites)
    scored = [suite for suite in pair.suites if suite.kind != "judge"]
    unchanged = pair.comparable and bool(scored) and all(suite.identical for suite in scored)
    return PairVerdict(
        before=pair.before,
        after=pair.after,
        purpose=pair.purpose,
        state=state,
        nothing_changed=unchanged,
        suites=suites,
        reasons=pair_reasons(pair, suites, nothing_changed=unchanged),
    )


def _broken_sham(pair: PairComparison) -> str:
    """A sentence if an adapter of zeros changed something: then the scores hold more than the adapter's effect."""
    changed = [suite.suite for suite in pair.suites if suite.kind != "judge" and _drifts(suite)]
    if pair.purpose != "sham" or (pair.comparable and not changed):
        return ""
    if not pair.comparable:
        return f"The sham control could not be compared: {'; '.join(pair.obstacles)}."
    drift = f"changed scores on {', '.join(changed)}: the comparison itself drifts"
    return f"The sham adapter {pair.after} (all zeros) {drift}."


def _drifts(suite: SuiteComparison) -> bool:
    """Whether scores differ by more than rounding; a flip always does."""
    if suite.identical:
        return False
    return bool(suite.forgotten or suite.learned) or max(-suite.gain.low, suite.gain.high) > _ROUNDING or suite.n == 0
