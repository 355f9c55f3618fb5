"""The sentence at the top of the report, and the reasons under it.

Improved on python-docs-perplexity (-0.71 nats per token, 95% CI -0.78 to -0.64); no gated suite regressed;
inconclusive on agreement (-2.0 points, 95% CI -6.1 to 2.1); not informative: mmlu-dev.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from workbench.core.results import PairComparison, PairVerdict, SuiteComparison, SuiteVerdict
from workbench.gate.words import effect, joined


def headline(pair: PairComparison, verdict: PairVerdict, confidence: float, warnings: Sequence[str]) -> str:
    """One plain sentence, and one more for each thing that casts doubt on it."""
    return " ".join([_sentence(pair, verdict, confidence), *warnings])


def pair_reasons(pair: PairComparison, suites: Sequence[SuiteVerdict], *, nothing_changed: bool) -> tuple[str, ...]:
    """What decided the pair's state, most important first."""
    if pair.obstacles:
        return tuple(f"Not comparable: {obstacle}." for obstacle in pair.obstacles)
    if not suites:
        return ("No suite was compared.",)
    return (*_unchanged(pair, nothing_changed=nothing_changed), *_reasons(suites))


def _reasons(suites: Sequence[SuiteVerdict]) -> Iterator[str]:
    gated = [suite for suite in suites if suite.gated]
    if not gated:
        yield "No suite is gated, so nothing can pass."
    for state in ("regressed", "not comparable", "inconclusive", "not informative"):
        for suite in gated:
            if suite.state == state:
                yield f"{suite.suite}: {suite.reason}"
    held = [suite.suite for suite in gated if suite.state in ("improved", "non-inferior")]
    if held:
        yield f"Held: {joined(held)}."
    elif gated and all(suite.state == "not informative" for suite in gated):
        yield "No gated suite is informative, so nothing was shown."


def _sentence(pair: PairComparison, verdict: PairVerdict, confidence: float) -> str:
    if not pair.comparable:
        return f"Not comparable: {'; '.join(pair.obstacles) or 'the arms were scored under different conditions'}."
    if not pair.suites:
        return "Not comparable: no suite was compared."
    unchanged = _unchanged(pair, nothing_changed=verdict.nothing_changed)
    if unchanged and verdict.state == "passed":
        return unchanged[0]
    text = "; ".join(_clauses(pair, verdict, confidence))
    return " ".join([*unchanged, f"{text[0].upper()}{text[1:]}."])


def _unchanged(pair: PairComparison, *, nothing_changed: bool) -> tuple[str, ...]:
    """One sentence, of the documents that were scored; none where a suite could not be compared as it should be."""
    scored = [suite for suite in pair.suites if suite.kind != "judge"]
    if not nothing_changed or any(suite.obstacles for suite in scored):
        return ()
    failed = sum(suite.failed_before for suite in scored)
    documents = sum(suite.n for suite in scored) - failed
    said = f"Nothing changed: all {documents} documents of {len(scored)} suites scored the same to the last bit"
    return (f"{said}; {failed} failed in both arms." if failed else f"{said}.",)


def _clauses(pair: PairComparison, verdict: PairVerdict, confidence: float) -> Iterator[str]:
    numbers = {suite.suite: suite for suite in pair.suites}
    gated = [suite for suite in verdict.suites if suite.gated]
    regressed = [suite for suite in gated if suite.state == "regressed"]
    improved = [suite for suite in verdict.suites if suite.state == "improved"]
    if regressed:
        yield f"regressed on {_with_effects(regressed, numbers, confidence)}"
    if improved:
        yield f"improved on {_with_effects(improved, numbers, confidence)}"
    if not gated:
        yield "no suite is gated, so nothing can pass"
    elif not regressed:
        yield "no gated suite regressed"
    worse = [suite for suite in verdict.suites if suite.state == "regressed" and not suite.gated]
    if worse:
        yield f"worse, but not gated: {_with_effects(worse, numbers, confidence)}"
    inconclusive = [suite for suite in gated if suite.state == "inconclusive"]
    if inconclusive:
        yield f"inconclusive on {_with_effects(inconclusive, numbers, confidence)}"
    missing = [suite.suite for suite in gated if suite.state == "not comparable"]
    if missing:
        yield f"not comparable: {joined(missing)}"
    silent = [suite for suite in verdict.suites if suite.state == "not informative"]
    if silent:
        yield f"not informative: {joined([f'{suite.suite}{_standing(suite, numbers)}' for suite in silent])}"


def _with_effects(suites: Sequence[SuiteVerdict], numbers: dict[str, SuiteComparison], confidence: float) -> str:
    return joined([f"{suite.suite} ({_effect(suite, numbers[suite.suite], confidence)})" for suite in suites])


def _effect(verdict: SuiteVerdict, suite: SuiteComparison, confidence: float) -> str:
    if suite.kind == "regression":
        return f"{suite.forgotten} of {suite.n} frozen items lost"
    return effect(suite, confidence)


def _standing(verdict: SuiteVerdict, numbers: dict[str, SuiteComparison]) -> str:
    if verdict.gated:
        return ""
    return " (judge not trusted)" if numbers[verdict.suite].kind == "judge" else " (not gated)"
