"""An ablation as Markdown and as a table for the terminal.

random -> filtered   (decides: help)
suite     gain         95% CI  by seed          p (Holm)    MDE
docs    +0.021  0.008 to 0.034  +0.02, +0.03, +0.02   0.004  0.018
"""

from __future__ import annotations

from workbench.compare import seeded_words as words
from workbench.compare.tables import Row, aligned, plain, table
from workbench.core.ablation_results import Ablation, AblationPair, SeededSuite
from workbench.core.wire import printable


def render_ablation(ablation: Ablation) -> str:
    """For the terminal; control characters from names are shown, not sent."""
    lines = [ablation.question, ""]
    lines += aligned(_arm_rows(ablation))
    for pair in ablation.pairs:
        lines += ["", _title(ablation, pair), *aligned(_suite_rows(ablation, pair))]
    lines += ["", *(f"note: {note}" for note in (*ablation.reasons, *ablation.limits))]
    return "\n".join(printable(line) for line in lines).rstrip("\n")


def render_ablation_markdown(ablation: Ablation) -> str:
    """For pull requests and job summaries; nothing from names or data is markup."""
    seeds = ", ".join(map(str, ablation.seeds))
    blocks = [
        f"# Does it help? {plain(ablation.question)}",
        f"**{plain(ablation.headline)}**",
        f"Every arm was trained for {ablation.steps} optimiser steps with the seeds {seeds}, and scored like any other "
        "arm. `random` keeps a random part of all rows and leaves out as many trainable tokens as the filters dropped.",
        table(_arm_rows(ablation)),
    ]
    for pair in ablation.pairs:
        blocks += [f"## {plain(_title(ablation, pair))}", table(_suite_rows(ablation, pair))]
    blocks += ["## Scores", table(_level_rows(ablation))]
    blocks.append(
        "Gains are filtered minus the other arm, positive where filtered is better. Intervals are the widest of three: "
        "documents and seeds both random, documents alone, seeds alone. p is one-sided and Holm-corrected over the "
        "target suites; MDE is the smallest true difference found with 80% power."
    )
    if notes := (*ablation.reasons, *ablation.limits):
        blocks += ["## Limits", "\n".join(f"- {plain(note)}" for note in notes)]
    blocks.append(f"Reproduce with `{ablation.command.replace('`', ' ')}`.")
    return "\n\n".join(blocks) + "\n"


def _title(ablation: Ablation, pair: AblationPair) -> str:
    return f"{pair.before} -> filtered" + (f"   (decides: {ablation.state})" if pair.before == "random" else "")


def _arm_rows(ablation: Ablation) -> list[Row]:
    rows: list[Row] = [("arm", "rows", "trainable tokens", "each row read")]
    for arm in ablation.arms:
        rows.append((arm.arm, str(arm.rows), str(arm.trainable_tokens), f"{arm.passes:.3g} times"))
    return rows


def _suite_rows(ablation: Ablation, pair: AblationPair) -> list[Row]:
    interval = f"{ablation.confidence * 100:g}% CI"
    rows: list[Row] = [("suite", "role", "n", "gain", "unit", interval, "by seed", "p (Holm)", "MDE")]
    return rows + [_suite_row(suite) for suite in pair.suites]


def _suite_row(suite: SeededSuite) -> Row:
    name = suite.suite if suite.gated else f"{suite.suite} (not gated)"
    if suite.method == "none" or suite.obstacles:
        return (name, suite.role, str(suite.n), "-", "-", "not comparable", "-", "-", "-")
    return (
        name,
        suite.role,
        str(suite.n),
        words.change(suite),
        words.unit(suite),
        words.limits(suite),
        words.seeds(suite),
        words.probability(suite.p_better_holm) if suite.role == "target" else "-",
        words.size(suite, suite.mde),
    )


def _level_rows(ablation: Ablation) -> list[Row]:
    """Scores in the metric's own direction, with the range of the seeds."""
    arms = list(dict.fromkeys(level.arm for found in ablation.levels.values() for level in found))
    rows: list[Row] = [("suite", "metric", *arms)]
    for suite in ablation.pairs[0].suites:
        shown = {found.arm: words.level(suite, found) for found in ablation.levels.get(suite.suite, ())}
        rows.append((suite.suite, suite.metric, *(shown.get(arm, "-") for arm in arms)))
    return rows
