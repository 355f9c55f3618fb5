"""What a sweep says: which arm to take and how sure that is, or why none.

rank=8 +0.21, rank=16 +0.22, both above zero; rank=64 +0.25 but 2 margins lost on capitals
->  rank=64 forgets; rank=8 and rank=16 cannot be told apart: rank=8, which trains fewer parameters, is recommended
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.compare import seeded_words as words
from workbench.compare.statistics.best import shortfalls
from workbench.compare.statistics.estimates import Estimate
from workbench.core.ablation_results import SeededSuite
from workbench.core.errors import ExitCode
from workbench.core.nodes import SweepNode
from workbench.core.results import Interval
from workbench.core.sweep_results import SplitHalf, Sweep, SweepArm, SweepArmState, SweepState

_FEW_SEEDS = 3


@dataclass(frozen=True, slots=True)
class Measured:
    """One arm as it came out."""

    name: str
    settings: dict[str, Any]
    suites: tuple[SeededSuite, ...]
    trainable_parameters: int
    answer_tokens: int
    seconds: float

    def target(self, name: str) -> SeededSuite:
        """The suite that decides."""
        return next(suite for suite in self.suites if suite.suite == name)

    def unchecked(self, target: str) -> tuple[str, ...]:
        """Gated suites besides the target on which nothing is known, because the arm could not be compared."""
        return tuple(one.suite for one in self.suites if one.gated and one.suite != target and one.obstacles)


def answer(
    config: SweepNode,
    measured: Sequence[Measured],
    distances: Mapping[tuple[str, str], Estimate],
    halves: Callable[[Sequence[str]], SplitHalf | None],
) -> Sweep:
    """The answer, in this order:

    0. an arm is comparable if it could be compared on the target and on every gated suite on which another arm was: one
       that was not measured where it may forget is not taken for one that does not forget;
    1. an arm that lost more than the margin on a gated suite (by its estimate, whether or not that is certain; where
       the margin is 0, an arm that certainly lost) forgets;
    2. of the others, those whose target gain is above 0 at level alpha after Holm over all arms gain;
    3. of these, those that are not certainly worse than another cannot be told apart from the best (`shortfalls`);
    4. of these, the cheapest within one standard error of the highest estimate is recommended: fewest trainable
       parameters, then fewest tokens trained on, then the highest gain. (After Breiman, Friedman, Olshen and Stone
       1984, section 3.4.3, but with the standard error of the paired difference to the highest estimate, not of that
       estimate. With few seeds hardly any arm is certainly worse, and the cheapest of all that may be the best could be
       far behind.)

    `distances` are those between comparable arms on the target; `halves` measures the optimism of a choice among arms.
    """
    comparable = comparable_arms(measured, config.target)
    kept = [one for one in comparable if not _forgotten(one, config.target)]
    gaining = [one for one in kept if one.target(config.target).p_better_holm < config.alpha]
    behind = shortfalls([one.name for one in gaining], distances)
    best = [one for one in gaining if behind[one.name][1] <= 0]
    near = _near(best, distances, config.target)
    chosen = min(near, key=lambda one: _cost(one, config.target), default=None)
    split = halves([one.name for one in kept])
    arms = tuple(
        _arm(one, config, _state(one, comparable, kept, gaining, best, chosen), behind.get(one.name), comparable)
        for one in measured
    )
    state: SweepState = "not comparable"
    if chosen is not None:
        state = "recommended"
    elif comparable:
        state = "no gain" if kept else "forgets"
    unchecked = sorted({name for one in comparable for name in one.unchecked(config.target)})
    found = Sweep(
        state=state,
        headline="",
        recommended=None if chosen is None else chosen.name,
        reasons=(),
        next_step=None if chosen is None else _next_step(config, chosen),
        exit_code=_exit_code(state, strict=config.strict),
        command=config.command,
        target=config.target,
        axes=config.axes,
        seeds=config.seeds,
        arms=arms,
        split_half=split,
        confidence=config.compare.confidence,
        alpha=config.alpha,
        planned_arms=config.planned_arms,
        planned_seeds=config.planned_seeds,
        left_out=config.left_out,
        limits=config.limits,
    )
    reasons = tuple(_reasons(found, [one.name for one in near]))
    return found.model_copy(update={"headline": _headline(found, unchecked), "reasons": reasons})


def comparable_arms(measured: Sequence[Measured], target: str) -> list[Measured]:
    """The arms that can be compared with the base wherever any arm can: on the target and on each gated suite.

    A gated suite on which no arm can be compared keeps none out: it says nothing about any of them."""
    on_target = [one for one in measured if not one.target(target).obstacles]
    everywhere = set.intersection(*(set(one.unchecked(target)) for one in on_target)) if on_target else set()
    return [one for one in on_target if everywhere.issuperset(one.unchecked(target))]


def _guards(one: Measured | SweepArm, target: str) -> list[SeededSuite]:
    """Suites on which nothing may be lost: gated, comparable, and not the one that decides."""
    return [suite for suite in one.suites if suite.gated and suite.suite != target and not suite.obstacles]


def _forgotten(one: Measured, target: str) -> list[str]:
    return [suite.suite for suite in _guards(one, target) if _is_lost(suite)]


def _is_lost(suite: SeededSuite) -> bool:
    """By its estimate; without a margin any loss counts, so there it must be a certain one."""
    return suite.gain.high < -suite.margin or (suite.margin > 0 and suite.gain.value < -suite.margin)


def _near(best: Sequence[Measured], distances: Mapping[tuple[str, str], Estimate], target: str) -> list[Measured]:
    """The arms within one standard error, of the paired difference, of the one with the highest estimate."""
    top = max(best, key=lambda one: one.target(target).gain.value, default=None)
    found = []
    for one in best:
        apart = None if top is None else distances.get((one.name, top.name)) or distances.get((top.name, one.name))
        if apart is None or abs(apart.value) <= apart.se:
            found.append(one)
    return found


def _cost(one: Measured, target: str) -> tuple[int, int, float]:
    return one.trainable_parameters, one.answer_tokens, -one.target(target).gain.value


def _state(
    one: Measured,
    comparable: Sequence[Measured],
    kept: Sequence[Measured],
    gaining: Sequence[Measured],
    best: Sequence[Measured],
    chosen: Measured | None,
) -> SweepArmState:
    if one is chosen:
        return "recommended"
    steps: tuple[tuple[Sequence[Measured], SweepArmState], ...] = (
        (comparable, "not comparable"),
        (kept, "forgets"),
        (gaining, "no gain"),
        (best, "behind"),
    )
    return next((state for members, state in steps if one not in members), "among the best")


def _arm(
    one: Measured,
    config: SweepNode,
    state: SweepArmState,
    behind: tuple[float, ...] | None,
    comparable: Sequence[Measured],
) -> SweepArm:
    losses = _losses(one, config.target)
    worst = max(losses, key=lambda name: losses[name], default=None)
    guards = _guards(one, config.target)
    return SweepArm(
        name=one.name,
        settings=one.settings,
        state=state,
        suites=one.suites,
        trainable_parameters=one.trainable_parameters,
        answer_tokens=one.answer_tokens,
        seconds=one.seconds,
        worst_suite=worst,
        worst_loss=None if worst is None else losses[worst],
        mean_loss=sum(losses.values()) / len(losses) if losses else None,
        forgets=tuple(_forgotten(one, config.target)),
        unchecked=one.unchecked(config.target),
        not_shown_safe=(
            *(suite.suite for suite in guards if suite.gain.low <= -suite.margin and not _is_lost(suite)),
            *one.unchecked(config.target),
        ),
        pareto=one in comparable
        and bool(losses or not one.unchecked(config.target))
        and not any(_dominates(other, one, config.target) for other in comparable),
        shortfall=None if behind is None else Interval(value=behind[0], low=behind[1], high=behind[2]),
    )


def _losses(one: Measured, target: str) -> dict[str, float]:
    """Of every guarded suite with a margin, the loss counted in margins."""
    return {suite.suite: -suite.gain.value / suite.margin for suite in _guards(one, target) if suite.margin > 0}


def _dominates(other: Measured, one: Measured, target: str) -> bool:
    """Whether `other` gains at least as much and loses at most as much, and one of the two is better.

    Both are comparable arms, so their losses are those on the same suites; 0 where nothing is held to a margin."""
    there, here = (
        (each.target(target).gain.value, -max(_losses(each, target).values(), default=0.0)) for each in (other, one)
    )
    return all(a >= b for a, b in zip(there, here, strict=True)) and there != here


def _exit_code(state: SweepState, *, strict: bool) -> int:
    if state == "not comparable":
        return ExitCode.INCOMPLETE
    return ExitCode.REGRESSED if strict and state != "recommended" else ExitCode.OK


def _next_step(config: SweepNode, chosen: Measured) -> str:
    spelled = {key: value if isinstance(value, str) else json.dumps(value) for key, value in chosen.settings.items()}
    return " ".join([config.apply, *(f"--set {shlex.quote(f'{key}={value}')}" for key, value in spelled.items())])


def _headline(found: Sweep, unchecked: Sequence[str]) -> str:
    """One sentence, and one each for a forgetting check that no arm had and for arms or seeds that are left to do."""
    said = [_found(found)]
    if unchecked:
        said.append(f"Nothing is known about forgetting on {', '.join(unchecked)}: no arm could be compared there.")
    if (done := found.compared) is not None:
        said.append(f"So far: {done}.")
    return " ".join(said)


def _found(found: Sweep) -> str:
    whose = "" if len(found.seeds) > 1 else " in these adapters (one seed)"
    match found.state:
        case "recommended":
            assert found.recommended is not None
            arm = found.arm(found.recommended)
            gain = words.gain(found.target_of(arm), found.confidence)
            others = [one.name for one in found.arms if one.state == "among the best"]
            apart = f"; it cannot be told apart from {', '.join(others)}" if others else ""
            return f"Recommended{whose}: {arm.name}, {gain} on {found.target} against the base{apart}."
        case "forgets":
            lost = sorted({name for arm in found.arms for name in arm.forgets})
            return f"No recommendation{whose}: every arm lost more than the margin on {' or '.join(lost)}."
        case "no gain":
            forgets = [arm.name for arm in found.arms if arm.state == "forgets"]
            rest = f"; {', '.join(forgets)} lost more than a margin elsewhere" if forgets else ""
            return f"No recommendation{whose}: no arm is shown to beat the base on {found.target}{rest}."
        case "not comparable":
            if all(found.target_of(arm).obstacles for arm in found.arms):
                return f"Not comparable: no arm could be compared with the base on {found.target}."
            return "Not comparable: no arm could be compared with the base on all of the gated suites."


def _reasons(found: Sweep, near: Sequence[str]) -> Iterator[str]:
    """Why this arm, how sure, and what would make it surer."""
    if found.recommended is not None:
        yield from _why(found, found.arm(found.recommended), [found.arm(name) for name in near])
    if found.split_half is not None and _is_optimistic(found, found.split_half):
        yield _optimism(found, found.split_half)
    yield from _about_seeds(found)
    for arm in found.arms:
        for suite in arm.suites:
            if suite.suite == found.target or suite.suite in arm.unchecked:
                yield from (
                    f"Arm {arm.name} is not comparable on {suite.suite}: {obstacle}." for obstacle in suite.obstacles
                )
    yield from (f"Left out: {one}." for one in found.left_out)


def _why(found: Sweep, chosen: SweepArm, near: Sequence[SweepArm]) -> Iterator[str]:
    best = [arm for arm in found.arms if arm.state in ("recommended", "among the best")]
    target = found.target_of(chosen)
    among = f"Of {len(best)} arms that may be the best, {len(near)} are within a standard error of the highest estimate"
    if len(best) == 1:
        yield f"{chosen.name} is the only arm that gains, does not forget, and may be the best."
    elif len(near) == 1:
        yield f"Of {len(best)} arms that may be the best it is by more than a standard error the highest estimate."
    elif len({arm.trainable_parameters for arm in near}) > 1:
        most = max(arm.trainable_parameters for arm in near)
        yield f"{among}; of these it trains the fewest parameters: {chosen.trainable_parameters:,} of up to {most:,}."
    elif len({arm.answer_tokens for arm in near}) > 1:
        most = max(arm.answer_tokens for arm in near)
        yield f"{among}; of these it is trained on the fewest tokens: {chosen.answer_tokens:,} of up to {most:,}."
    else:
        yield f"{among} and cost the same; of these it has the highest."
    if chosen.shortfall is not None and chosen.shortfall.high > 0 and len(best) > 1:
        shown = words.size(target, chosen.shortfall.high)
        yield (
            f"It may be up to {shown} worse on {found.target} than the best of them (all such limits together hold "
            f"with {1 - found.alpha:.0%} confidence)."
        )
    if target.gain.low <= 0:
        yield (
            f"Its two-sided interval contains 0; that it gains rests on the one-sided p of "
            f"{words.probability(target.p_better_holm)} after Holm."
        )
    higher = [arm for arm in found.arms if arm.state == "no gain" and _estimate(found, arm) > _estimate(found, chosen)]
    if higher:
        yield (
            f"{', '.join(arm.name for arm in higher)}: a higher estimate, but not shown to gain at all; more seeds "
            "would tell."
        )
    if chosen.not_shown_safe:
        yield (
            f"A loss beyond the margin cannot be ruled out on {', '.join(chosen.not_shown_safe)}: let the gate of a "
            "loop decide before it is used."
        )
    if len(best) > 1 and any(arm.state in ("forgets", "no gain") for arm in found.arms):
        yield (
            "Best means best of the arms that were seen to gain and not to forget, on the same documents and "
            "trainings: the confidence is given that the truly best arm is one of them."
        )


def _estimate(found: Sweep, arm: SweepArm) -> float:
    return found.target_of(arm).gain.value


def _is_optimistic(found: Sweep, split: SplitHalf) -> bool:
    """Whether the two figures differ as they are shown."""
    target = found.target_of(found.arm(split.arm))
    return words.size(target, split.gain) != words.size(target, split.gain_elsewhere)


def _optimism(found: Sweep, split: SplitHalf) -> str:
    target = found.target_of(found.arm(split.arm))
    return (
        f"The highest of several estimates tends to be too high: {split.arm} has {words.size(target, split.gain)}, but "
        f"the arm that is highest on one half of documents{' and seeds' if len(found.seeds) > 1 else ''} has "
        f"{words.size(target, split.gain_elsewhere)} on the other half (mean of {split.splits} splits; it was "
        f"{split.arm} in {split.same_arm:.0%})."
    )


def _about_seeds(found: Sweep) -> Iterator[str]:
    seeds = len(found.seeds)
    if seeds == 1:
        yield (
            "One seed: the spread between seeds is unknown, and with it whether another training with the same "
            "settings would come out like this. Use --seeds 3."
        )
        return
    if seeds < _FEW_SEEDS:
        yield f"{seeds} seeds: the spread between seeds is hardly known, so that few arms can be told apart."
    arms = [arm for arm in found.arms if not found.target_of(arm).obstacles]
    if arms:
        most = max(arms, key=lambda arm: found.target_of(arm).seed_sd)
        spread = found.target_of(most)
        yield (
            f"Between seeds the gain on {found.target} has a standard deviation of up to "
            f"{words.size(spread, spread.seed_sd)} ({most.name}), beyond what the documents explain."
        )
