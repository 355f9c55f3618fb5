"""What an ablation says: the filters help, hurt, both, or there is no evidence.

random -> filtered   docs +0.021 nats per token, 95% CI 0.008 to 0.034, p .004 after Holm; general inside its margin
->  help: "The filters help: filtered beats a random drop of as many tokens on docs (+0.021 nats per token, ...)."
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from workbench.compare import seeded_words as words
from workbench.core.ablation_results import (
    Ablation,
    AblationArms,
    AblationLevel,
    AblationPair,
    AblationState,
    SeededSuite,
)
from workbench.core.errors import ExitCode
from workbench.core.nodes import AblationNode

_FEW_SEEDS = 3


def answer(
    config: AblationNode,
    pairs: tuple[AblationPair, ...],
    levels: Mapping[str, tuple[AblationLevel, ...]],
    sizes: AblationArms,
) -> Ablation:
    """The answer, by the first rule that applies.

    - not comparable: no target suite could be compared with `random`;
    - help: on a target suite the whole interval of filtered minus random lies above 0, also after Holm over the target
      suites; on none it lies below 0; and no gated suite lost more than its margin against `random` or `all`;
    - mixed: better on a target suite, but one of the two other conditions is broken;
    - hurt: the whole interval of a target suite lies below 0, or that of a gated suite below -margin, against `random`;
    - no evidence: the rest. Harm is not corrected for the number of suites: it must not be missed.
    """
    deciding = next(pair for pair in pairs if pair.before == "random")
    targets = [suite for suite in deciding.suites if suite.role == "target" and not suite.obstacles]
    better = [suite for suite in targets if suite.p_better_holm < config.alpha and suite.gain.low > 0]
    worse = [suite for suite in targets if suite.gain.high < 0]
    lost = _lost(deciding)
    lost_against_all = [suite for pair in pairs if pair.before == "all" for suite in _lost(pair)]
    state: AblationState = "no evidence"
    if not targets:
        state = "not comparable"
    elif better:
        state = "mixed" if worse or lost or lost_against_all else "help"
    elif worse or lost:
        state = "hurt"
    harmed = list({suite.suite: suite for suite in (*worse, *lost, *lost_against_all)}.values())
    return Ablation(
        question=config.question,
        state=state,
        headline=_headline(state, config, targets, better, harmed),
        reasons=tuple(_reasons(config, pairs, targets, sizes)),
        exit_code=_exit_code(state, strict=config.strict),
        command=config.command,
        seeds=config.seeds,
        steps=config.steps,
        confidence=config.compare.confidence,
        alpha=config.alpha,
        arms=sizes.arms,
        levels=dict(levels),
        pairs=pairs,
        limits=config.limits,
    )


def _lost(pair: AblationPair) -> list[SeededSuite]:
    """Gated suites that lost more than their margin for certain."""
    return [suite for suite in pair.suites if suite.gated and not suite.obstacles and suite.gain.high < -suite.margin]


def _exit_code(state: AblationState, *, strict: bool) -> int:
    if state == "not comparable":
        return ExitCode.INCOMPLETE
    return ExitCode.REGRESSED if strict and state in ("hurt", "mixed") else ExitCode.OK


def _headline(
    state: AblationState,
    config: AblationNode,
    targets: Sequence[SeededSuite],
    better: Sequence[SeededSuite],
    harmed: Sequence[SeededSuite],
) -> str:
    confidence = config.compare.confidence
    gains, losses = _listed(better, confidence), _listed(harmed, confidence)
    whose = "" if len(config.seeds) > 1 else " in these two adapters (one seed)"
    match state:
        case "help":
            return f"The filters help{whose}: filtered beats a random drop of as many tokens on {gains}."
        case "mixed":
            return f"The filters help and hurt{whose}: better on {gains}; worse on {losses}."
        case "hurt":
            return f"The filters hurt{whose}: a random drop of as many tokens does better on {losses}."
        case "not comparable":
            return "Not comparable: no target suite could be compared between filtered and random."
        case "no evidence":
            effects = "; ".join(
                f"{suite.suite} {words.gain(suite, confidence)}, where {words.size(suite, suite.mde)} would be found"
                for suite in targets
            )
            return f"No evidence that the filters help{whose}: {effects} (80% power)."


def _listed(suites: Sequence[SeededSuite], confidence: float) -> str:
    return "; ".join(f"{suite.suite} ({words.gain(suite, confidence)})" for suite in suites)


def _reasons(
    config: AblationNode, pairs: Sequence[AblationPair], targets: Sequence[SeededSuite], sizes: AblationArms
) -> Iterator[str]:
    """What limits the answer, and what would narrow it."""
    seeds = len(config.seeds)
    if seeds == 1:
        yield "One seed: the answer is about these adapters only. Another seed might say the opposite; use --seeds 3."
    elif seeds < _FEW_SEEDS:
        yield f"{seeds} seeds: the spread between seeds is hardly known, so intervals are about three times as wide."
    for pair in pairs:
        if pair.before not in ("random", "all"):
            continue
        for suite in pair.suites:
            yield from _about(suite, pair, config.compare.confidence)
    if seeds > 1:
        for suite in targets:
            if suite.gain.low <= 0 <= suite.gain.high:
                source = "more seeds" if suite.seed_share > 0.5 else "more documents"
                yield (
                    f"Suite {suite.suite}: {suite.seed_share:.0%} of the variance would shrink with more seeds, the "
                    f"rest with more documents; {source} would narrow the interval most."
                )
    yield from sizes.warnings


def _about(suite: SeededSuite, pair: AblationPair, confidence: float) -> Iterator[str]:
    """Obstacles, and losses that are too large or that could not be ruled out."""
    against = f"Suite {suite.suite}, filtered against {pair.before}"
    if suite.obstacles:
        yield f"{against}: not comparable: {'; '.join(suite.obstacles)}."
        return
    if suite.failed:
        yield f"{against}: {suite.failed} of {suite.n} documents failed in some arm or seed."
    if not suite.gated:
        return
    if suite.gain.high < -suite.margin:
        yield f"{against}: lost more than the margin of {words.size(suite, suite.margin)}."
    elif suite.gain.low <= -suite.margin:
        yield (
            f"{against}: a loss beyond the margin of {words.size(suite, suite.margin)} cannot be ruled out "
            f"({words.gain(suite, confidence)})."
        )
