"""All pairs of a run: conditions, suites, noise floor, Holm."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from workbench.compare.conditions import arm_obstacles, suite_obstacles
from workbench.compare.judgments import judged_pairs
from workbench.compare.pairing import Paired, pair
from workbench.compare.rows import Columns, DocumentKey, column, primary_filter
from workbench.compare.statistics.multiplicity import holm
from workbench.compare.suite import Policy, compare_suite
from workbench.core.config import PairConfig
from workbench.core.records import Judgment
from workbench.core.results import ArmInfo, PairComparison, SuiteComparison
from workbench.core.suites import Suite


@dataclass(frozen=True, slots=True)
class Arm:
    """One scored arm."""

    name: str
    columns: Columns
    info: ArmInfo | None
    """None if only the samples are there: then nothing is known about the conditions."""


@dataclass(frozen=True, slots=True)
class FlippedDocument:
    """Where to find a flip; its texts are read later, for these documents alone."""

    suite: str
    filter: str
    metric: str
    key: DocumentKey
    kind: str
    group: str | None


@dataclass(frozen=True, slots=True)
class ComparedPair:
    """A pair with what is needed to write its flips and to serve as a noise floor."""

    pair: PairConfig
    result: PairComparison
    flips: list[FlippedDocument] = field(default_factory=list)
    paired: dict[str, Paired] = field(default_factory=dict)
    """By suite; suites of answers to be judged are not among them."""


def compare_pair(
    config: PairConfig,
    arms: Mapping[str, Arm],
    suites: Sequence[Suite],
    judgments: Sequence[Judgment],
    policy: Policy,
    *,
    judge_counts: bool,
) -> ComparedPair:
    """Compares two arms on every suite; judge suites only where their answers were judged for this pair. Only a trusted
    judge counts: another one claims nothing."""
    before, after = arms[config.before], arms[config.after]
    obstacles = _known_obstacles(before, after, config.purpose)
    results: list[SuiteComparison] = []
    flips: list[FlippedDocument] = []
    scored: dict[str, Paired] = {}
    for suite in suites:
        if suite.kind == "judge":
            paired = judged_pairs(judgments, suite.name, config.before, config.after)
            if paired.keys:
                results.append(compare_suite(suite, paired, policy, filter_name="none"))
            continue
        filter_name, paired = _pair_suite(suite, before, after)
        found = compare_suite(
            suite,
            paired,
            policy,
            filter_name=filter_name,
            obstacles=_suite_obstacles(before, after, suite.name),
            control=config.purpose == "sham",
        )
        results.append(found)
        scored[suite.name] = paired
        if found.forgotten is not None:
            flips += _flips(found, paired)
    result = PairComparison(
        before=config.before,
        after=config.after,
        purpose=config.purpose,
        comparable=not obstacles,
        obstacles=obstacles,
        suites=tuple(_with_holm(results, judge_counts=judge_counts)),
    )
    return ComparedPair(config, result, flips, scored)


def with_noise(compared: ComparedPair, noise: ComparedPair) -> PairComparison:
    """The pair's result with the A/A arm's flips and spread on the same documents beside each suite."""
    suites = []
    for suite in compared.result.suites:
        update: dict[str, object] = {}
        if suite.suite in compared.paired and suite.suite in noise.paired and noise.result.comparable:
            drift = _noise_on(compared.paired[suite.suite], noise.paired[suite.suite])
            flips = int(np.count_nonzero(drift)) if suite.forgotten is not None else None
            spread = float(np.std(drift, ddof=1)) if len(drift) > 1 else None
            update = {"noise_flips": flips, "noise_gain_sd": spread}
        suites.append(suite.model_copy(update=update))
    return compared.result.model_copy(update={"suites": tuple(suites)})


def other_filters(suites: Sequence[Suite], arm: Arm) -> Iterator[str]:
    """A sentence for every suite that was scored under several filters: which one decides."""
    for suite in suites:
        names = {name for owner, name in arm.columns if owner == suite.name}
        if len(names) > 1:
            decisive = primary_filter(suite, names)
            others = ", ".join(sorted(names - {decisive}))
            yield f"Suite {suite.name}: filter {decisive} decides; {others} was scored too and is not compared."


def _known_obstacles(before: Arm, after: Arm, purpose: str) -> tuple[str, ...]:
    if before.info is None or after.info is None:
        return ()
    return arm_obstacles(before.info, after.info, purpose)


def _suite_obstacles(before: Arm, after: Arm, suite: str) -> tuple[str, ...]:
    if before.info is None or after.info is None:
        return ()
    return suite_obstacles(before.info, after.info, suite)


def _pair_suite(suite: Suite, before: Arm, after: Arm) -> tuple[str, Paired]:
    filters = {name for columns in (before.columns, after.columns) for owner, name in columns if owner == suite.name}
    chosen = primary_filter(suite, filters)
    key = (suite.name, chosen)
    nothing = column(())
    return chosen, pair(before.columns.get(key, nothing), after.columns.get(key, nothing))


def _with_holm(results: Sequence[SuiteComparison], *, judge_counts: bool) -> list[SuiteComparison]:
    """Holm over the suites that can claim an improvement: frozen regression items, empty suites and those of a judge
    that does not count cannot."""
    silent = {"regression"} if judge_counts else {"regression", "judge"}
    claims = [index for index, suite in enumerate(results) if suite.kind not in silent and suite.method != "none"]
    corrected = holm([results[index].p_improved for index in claims])
    adjusted = [
        suite.model_copy(update={"p_improved_holm": 1.0}) if suite.kind == "judge" and not judge_counts else suite
        for suite in results
    ]
    for index, p_value in zip(claims, corrected, strict=True):
        adjusted[index] = results[index].model_copy(update={"p_improved_holm": p_value})
    return adjusted


def _flips(suite: SuiteComparison, paired: Paired) -> list[FlippedDocument]:
    changed = np.flatnonzero(paired.complete & (paired.before != paired.after))
    return [
        FlippedDocument(
            suite=suite.suite,
            filter=suite.filter,
            metric=suite.metric,
            key=paired.keys[position],
            kind="forgotten" if paired.before[position] > paired.after[position] else "learned",
            group=paired.groups[position],
        )
        for position in changed
    ]


def _noise_on(paired: Paired, noise: Paired) -> np.ndarray:
    """Differences in the A/A arm on the documents that are complete in both pairs."""
    wanted = {key for key, complete in zip(paired.keys, paired.complete, strict=True) if complete}
    chosen = np.array([key in wanted for key in noise.keys], dtype=np.bool_) & noise.complete
    return np.asarray(noise.after[chosen] - noise.before[chosen])
