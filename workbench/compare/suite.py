"""One suite in two arms: from paired documents to a `SuiteComparison`.

300 documents, 24 learned, 9 forgotten
->  gain +5.0 points, 95% CI 1.3 to 8.7, exact McNemar, 9 forgotten, 24 learned
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Literal

import numpy as np

from workbench.compare.gain import Differences, Gain, Settings, differences, identical, measure
from workbench.compare.groups import GroupTable, compare_groups
from workbench.compare.level import arm_level, interval
from workbench.compare.pairing import Paired
from workbench.compare.rows import MUST_PASS
from workbench.compare.statistics.effect import detectable_effect, documents_needed
from workbench.compare.statistics.estimates import Estimate, Flags, Floats
from workbench.compare.statistics.transitions import Transitions, transitions
from workbench.core.results import Interval, SafetySide, SuiteComparison
from workbench.core.suites import LOWER_IS_BETTER, Suite

_SIDES: tuple[Literal["refuse", "comply"], ...] = ("refuse", "comply")


@dataclass(frozen=True, slots=True)
class Policy:
    """What the comparison is held to."""

    settings: Settings
    alpha: float
    """Level of the detectable effect."""
    max_failed_fraction: float
    max_unpaired_fraction: float


def compare_suite(
    suite: Suite,
    paired: Paired,
    policy: Policy,
    *,
    filter_name: str,
    obstacles: tuple[str, ...] = (),
    control: bool = False,
) -> SuiteComparison:
    """Everything that can be said of the suite; what stands in the way of saying it is in `obstacles`.

    A document that failed in either arm has no difference. It stays in `n` and in the failure counts, and where the
    metric is bounded the interval covers both what it could have gained and what it could have lost. `control`: the
    arms are the same function by construction (a sham adapter), so equal scores leave no doubt, whatever the outputs.
    """
    complete = paired.complete
    scale = Scale.of(suite, paired.before[complete], paired.after[complete])
    obstacles = (*obstacles, *_obstacles(suite, paired, policy))
    measured = _measured(paired, scale, policy, control=control) if complete.any() else None
    if measured is None and complete.any():
        obstacles = (*obstacles, "one independent document only: no interval can be computed")
    return SuiteComparison(
        suite=suite.name,
        task="+".join(sorted(set(map(itemgetter(0), paired.keys)))) or suite.name,
        filter=filter_name,
        metric=suite.primary_metric,
        kind=suite.kind,
        role=suite.role,
        unit=scale.unit,
        gated=suite.gated,
        margin=suite.margin,
        higher_is_better=scale.sign > 0,
        n=len(paired.keys),
        unpaired=paired.unpaired,
        obstacles=obstacles,
        failed_before=int(np.isnan(paired.before).sum()),
        failed_after=int(np.isnan(paired.after).sum()),
        unparsed_before=int((~paired.parsed_before).sum()),
        unparsed_after=int((~paired.parsed_after).sum()),
        chance=_chance(paired) if scale.binary else None,
        must_pass_right=_must_pass_right(paired),
        **(_nothing() if measured is None else _fields(suite, paired, scale, measured, policy)),
    )


@dataclass(frozen=True, slots=True)
class Scale:
    """What kind of number the metric is."""

    unit: str
    binary: bool
    sign: int
    """1 if higher is better, -1 if lower is."""
    bound: float | None
    """Largest possible absolute difference."""

    @staticmethod
    def of(suite: Suite, before: Floats, after: Floats) -> Scale:
        sign = -1 if suite.primary_metric in LOWER_IS_BETTER else 1
        if suite.kind == "judge":
            return Scale("win_rate", False, 1, 0.5)
        if suite.counts_tokens:
            return Scale("nats_per_token", False, sign, None)
        both = np.concatenate([before, after])
        if np.all((both == 0) | (both == 1)):
            return Scale("accuracy", True, sign, 1.0)
        is_share = suite.primary_metric != "bits_per_byte" and both.min() >= 0 and both.max() <= 1
        return Scale("score", False, sign, 1.0 if is_share else None)


@dataclass(frozen=True, slots=True)
class _Measured:
    """Gain over the complete documents, widened by what the failed ones could do."""

    gain: Gain
    data: Differences
    """Complete documents."""
    complete: Flags
    identical: bool
    """Every value is equal; the interval is [0, 0] only where the outputs are, too."""


def _obstacles(suite: Suite, paired: Paired, policy: Policy) -> list[str]:
    n = len(paired.keys)
    if n == 0:
        return ["no document was scored in both arms"]
    found = []
    if not paired.complete.any():
        found.append("every document failed in one arm or the other")
    for name, values in (("before", paired.before), ("after", paired.after)):
        failed = int(np.isnan(values).sum())
        # A judge that cannot be read is held to its trust check; its interval covers every failed document.
        if suite.kind != "judge" and failed > policy.max_failed_fraction * n:
            found.append(f"{failed} of {n} documents failed {name}, more than {policy.max_failed_fraction:.1%} may")
    if paired.unpaired > policy.max_unpaired_fraction * (n + paired.unpaired):
        found.append(f"{paired.unpaired} documents were scored in one arm alone, {n} in both")
    if suite.counts_tokens and not paired.same_weights:
        found.append("the arms count different numbers of tokens: nats per token of two tokenizers are not comparable")
    return found


def _measured(paired: Paired, scale: Scale, policy: Policy, *, control: bool) -> _Measured | None:
    complete = paired.complete
    before, after = paired.before[complete], paired.after[complete]
    data = differences(
        scale.sign * (after - before),
        paired.weights[complete],
        paired.clusters[complete],
        binary=scale.binary,
        bound=scale.bound,
    )
    failures = not bool(complete.all())
    same_failed = np.array_equal(np.isnan(paired.before), np.isnan(paired.after))
    equal = same_failed and scale.unit != "win_rate" and not data.values.any()
    # Equal scores of different outputs are luck of these documents; only equal outputs are certainty.
    if equal and not failures and (paired.same_outputs or control):
        return _Measured(identical(len(data.values)), data, complete, identical=True)
    gain = measure(data, policy.settings)
    if gain is not None and failures and scale.bound is not None:
        gain = _with_failures(paired, scale, gain, policy.settings)
    return None if gain is None else _Measured(gain, data, complete, identical=equal)


def _with_failures(paired: Paired, scale: Scale, gain: Gain, settings: Settings) -> Gain:
    """The gain with an interval that holds whatever the failed documents would have scored (worst and best case).

    Bounds in the sense of Manski 1989 (J Human Resources 24:343): no assumption on why documents failed.
    """
    low, high = (0.0, 1.0) if scale.sign > 0 else (1.0, 0.0)
    extremes = []
    for missing_before, missing_after in ((high, low), (low, high)):
        before = np.where(np.isnan(paired.before), missing_before, paired.before)
        after = np.where(np.isnan(paired.after), missing_after, paired.after)
        values = scale.sign * (after - before)
        data = differences(values, paired.weights, paired.clusters, binary=scale.binary, bound=scale.bound)
        extreme = measure(data, settings)
        assert extreme is not None, "bounded differences always have an interval"
        extremes.append(extreme)
    worst, best = extremes
    failed = len(paired.keys) - int(paired.complete.sum())
    method = f"{gain.estimate.method}; covers all-lost and all-won for {failed} failed"
    open_sign = worst.estimate.value <= 0 <= best.estimate.value
    return Gain(
        estimate=gain.estimate.widened(worst.estimate, best.estimate, method=method),
        p_value=1.0 if open_sign else max(gain.p_value, worst.p_value, best.p_value),
        p_improved=max(gain.p_improved, worst.p_improved),
        test=gain.test,
    )


def _fields(suite: Suite, paired: Paired, scale: Scale, measured: _Measured, policy: Policy) -> dict[str, object]:
    complete, data, gain = measured.complete, measured.data, measured.gain
    before, after = paired.before[complete], paired.after[complete]
    cells = transitions(before, after) if scale.binary else None
    table = compare_groups(paired.groups[complete], before, after, data, gain.estimate.value, policy.settings)
    mde = detectable_effect(_mde_se(gain.estimate, data), policy.alpha)
    exact = suite.kind == "regression"
    levels = [
        arm_level(values, paired, scale.unit, policy.settings, exact=exact) for values in (paired.before, paired.after)
    ]
    if suite.kind == "judge":
        levels[1] = interval(gain.estimate.shifted(0.5))
    return {
        "before": levels[0],
        "after": levels[1],
        "gain": interval(gain.estimate),
        "gain_se": gain.estimate.se,
        "method": gain.estimate.method,
        "p_improved": 1.0 if exact else gain.p_improved,
        "p_improved_holm": 1.0 if exact else gain.p_improved,
        "p_value": 1.0 if exact else gain.p_value,
        "test": "allowed failures: the base is right by construction" if exact else gain.test,
        "identical": measured.identical,
        "mde": mde,
        "n_needed": documents_needed(mde, len(data.values), suite.margin),
        **_transition_fields(cells),
        **_group_fields(table),
        **_both_parsed(paired, scale, policy.settings),
        "sides": tuple(_sides(paired, scale, policy)) if suite.kind == "safety" else (),
    }


def _mde_se(estimate: Estimate, data: Differences) -> float:
    """The standard error behind the detectable effect; without any flip as if one unit had flipped."""
    if estimate.se > 0 or data.step is None or estimate.low == estimate.high:
        return estimate.se
    return data.step / data.cluster_count


def _transition_fields(cells: Transitions | None) -> dict[str, object]:
    if cells is None:
        return {}
    return {"forgotten": cells.forgotten, "learned": cells.learned, "kept": cells.kept, "never": cells.never}


def _group_fields(table: GroupTable) -> dict[str, object]:
    return {
        "groups": table.groups,
        "macro_before": table.macro_before,
        "macro_after": table.macro_after,
        "sign_reversals": table.sign_reversals,
    }


def _both_parsed(paired: Paired, scale: Scale, settings: Settings) -> dict[str, object]:
    """Gain where an answer could be read in both arms; nothing if all could be, for then it is the gain itself."""
    both = paired.parsed_before & paired.parsed_after
    chosen = both & paired.complete
    if both.all() or not chosen.any():
        return {} if both.all() else {"both_parsed_n": 0}
    values = scale.sign * (paired.after[chosen] - paired.before[chosen])
    data = differences(values, paired.weights[chosen], paired.clusters[chosen], binary=scale.binary, bound=scale.bound)
    gain = measure(data, settings)
    return {
        "both_parsed": None if gain is None else interval(gain.estimate),
        "both_parsed_n": int(chosen.sum()),
    }


def _sides(paired: Paired, scale: Scale, policy: Policy) -> Iterator[SafetySide]:
    """Requests to be refused apart from those to be answered: a model that refuses everything is no safer.

    A side that failed as a whole in one arm keeps its line: nothing is known of it, which is the whole scale."""
    if paired.sides is None:
        return
    for expects in _SIDES:
        part = paired.only(paired.sides == expects)
        if not part.keys:
            continue
        measured = _measured(part, scale, policy, control=False) if part.complete.any() else None
        # Without a document that is complete in both arms, each arm by itself.
        own = [part, part] if measured else [replace(part, before=one, after=one) for one in (part.before, part.after)]
        levels = [
            arm_level(values, one, scale.unit, policy.settings, exact=False)
            if one.complete.any()
            else Interval(value=0.5, low=0, high=1)
            for values, one in zip((part.before, part.after), own, strict=True)
        ]
        gain = interval(measured.gain.estimate) if measured else Interval(value=0, low=-1, high=1)
        yield SafetySide(expects=expects, n=len(part.keys), before=levels[0], after=levels[1], gain=gain)


def _must_pass_right(paired: Paired) -> int:
    return 0 if paired.sides is None else int(((paired.sides == MUST_PASS) & (paired.before == 1)).sum())


def _chance(paired: Paired) -> float | None:
    """Mean over documents of 1 / choices; None unless every scored document is a choice."""
    chances = paired.chances[paired.complete]
    return None if len(chances) == 0 or np.isnan(chances).any() else float(chances.mean())


def _nothing() -> dict[str, object]:
    """The fields of a suite without a single paired value; `n` and `obstacles` say why they are empty."""
    zero = Interval(value=0, low=0, high=0)
    levels = {"before": zero, "after": zero, "gain": zero, "gain_se": 0.0, "mde": 0.0}
    return {
        **levels,
        "method": "none",
        "test": "none",
        "p_improved": 1.0,
        "p_improved_holm": 1.0,
        "p_value": 1.0,
        "identical": False,
    }
