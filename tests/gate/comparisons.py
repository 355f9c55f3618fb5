"""Builders of comparisons for the tests of `gate`: suites, pairs, judge trust."""

from __future__ import annotations

from typing import Any

from workbench.core.config import GateConfig
from workbench.core.results import Comparison, Interval, JudgeTrust, PairComparison, SuiteComparison, Verdict
from workbench.gate.verdict import decide


def between(low: float, high: float, value: float | None = None) -> Interval:
    """An interval, its value in the middle unless given."""
    return Interval(value=(low + high) / 2 if value is None else value, low=low, high=high)


def suite(name: str = "agreement", **fields: Any) -> SuiteComparison:
    """A gated binary suite of 300 documents with margin 0.05, base at 80%, no gain either way."""
    values: dict[str, Any] = {
        "suite": name,
        "task": name,
        "filter": "none",
        "metric": "acc",
        "kind": "lm_eval",
        "role": "general",
        "unit": "accuracy",
        "gated": True,
        "margin": 0.05,
        "higher_is_better": True,
        "n": 300,
        "unpaired": 0,
        "failed_before": 0,
        "failed_after": 0,
        "unparsed_before": 0,
        "unparsed_after": 0,
        "before": between(0.75, 0.85),
        "after": between(0.75, 0.85),
        "gain": between(-0.03, 0.03),
        "gain_se": 0.015,
        "method": "t",
        "p_improved": 0.5,
        "p_improved_holm": 1.0,
        "p_value": 1.0,
        "test": "McNemar exact",
        "forgotten": 10,
        "learned": 10,
        "kept": 230,
        "never": 50,
        "identical": False,
        "mde": 0.042,
    }
    return SuiteComparison.model_validate(values | fields)


def regressed(name: str = "agreement", **fields: Any) -> SuiteComparison:
    """A suite that lost 15 points."""
    return suite(name, **{"gain": between(-0.18, -0.12), **fields})


def improved(name: str = "docs", **fields: Any) -> SuiteComparison:
    """A perplexity suite that gained 0.71 nats per token."""
    numbers = {"gain": between(0.64, 0.78), "p_improved": 1e-9, "p_improved_holm": 1e-9, "p_value": 2e-9}
    scale = {"unit": "nats_per_token", "higher_is_better": False, "metric": "nll", "kind": "perplexity"}
    levels = {"before": between(3.5, 3.6), "after": between(2.8, 2.9), "role": "target", "margin": 0.02}
    cells = dict.fromkeys(("forgotten", "learned", "kept", "never"))
    return suite(name, **{**scale, **levels, **numbers, **cells, **fields})


def unclear(name: str = "capitals", **fields: Any) -> SuiteComparison:
    """A suite whose interval reaches from harm to gain."""
    return suite(name, **{"gain": between(-0.09, 0.05), "mde": 0.1, "n_needed": 1200, **fields})


def at_chance(name: str = "mmlu", **fields: Any) -> SuiteComparison:
    """A suite on which the base guesses."""
    return suite(name, **{"before": between(0.2, 0.3), "chance": 0.25, **fields})


def at_ceiling(name: str = "copying", **fields: Any) -> SuiteComparison:
    """A suite on which the base is nearly always right."""
    return suite(name, **{"before": between(0.97, 1.0, 0.995), "after": between(0.97, 1.0, 0.995), **fields})


def unchanged(name: str = "agreement", **fields: Any) -> SuiteComparison:
    """A suite on which both arms are equal to the last bit."""
    return suite(
        name, **{"gain": between(0, 0), "gain_se": 0, "identical": True, "forgotten": 0, "learned": 0, **fields}
    )


def judged(**fields: Any) -> SuiteComparison:
    """A judge suite with a win rate of 65%."""
    numbers = {"before": between(0.5, 0.5), "after": between(0.58, 0.72), "gain": between(0.08, 0.22)}
    return suite(
        "answers", **{"kind": "judge", "unit": "win_rate", "metric": "win_rate", "forgotten": None, **numbers, **fields}
    )


def pair(*suites: SuiteComparison, purpose: str = "candidate", obstacles: tuple[str, ...] = ()) -> PairComparison:
    """A pair from base@nf4 to an arm named like its purpose."""
    fields: dict[str, Any] = {"before": "base@nf4", "after": purpose, "purpose": purpose, "suites": suites}
    return PairComparison.model_validate({**fields, "comparable": not obstacles, "obstacles": obstacles})


def trust(trusted: bool) -> JudgeTrust:
    """The result of a judge's trust check."""
    agreement = between(0.8, 0.95) if trusted else between(0.4, 0.6)
    return JudgeTrust(
        judge="local",
        golden_set="right and shuffled answers, synthetic",
        pairs=40,
        agreement=agreement,
        kappa=agreement,
        required_kappa=0.4,
        position_inconsistent=agreement,
        first_preferred=agreement,
        parse_failures=0,
        calls=80,
        trusted=trusted,
        reasons=() if trusted else ("kappa 0.04 is below 0.4",),
    )


def verdict(
    *pairs: PairComparison, judge: JudgeTrust | None = None, suites: tuple[Any, ...] = (), **gate: Any
) -> Verdict:
    """What the gate says of these pairs."""
    return decide(Comparison(confidence=0.95, pairs=pairs, judge=judge), GateConfig(**gate), suites)
