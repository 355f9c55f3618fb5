"""A sweep as Markdown, and as tables and a plot of characters for the terminal.

   arm            gain    95% CI          worst loss          state
a  rank=8       +0.210    0.150 to 0.270  0.3 x copying       recommended
b  rank=64      +0.250    0.180 to 0.320  2.1 x capitals      forgets
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from workbench.compare import seeded_words as words
from workbench.compare.tables import Row, aligned, plain, table
from workbench.core.sweep_results import Sweep, SweepArm
from workbench.core.wire import printable

_WIDTH, _HEIGHT = 58, 13
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def render_sweep(sweep: Sweep) -> str:
    """For the terminal; control characters from names are shown, not sent."""
    lines = [_title(sweep), "", *aligned(_rows(sweep)), ""]
    if drawing := plot(sweep):
        lines += [*drawing, ""]
    lines += [f"note: {note}" for note in (*sweep.reasons, *sweep.limits)]
    if sweep.next_step:
        lines.append(f"next: {sweep.next_step}")
    return "\n".join(printable(line) for line in lines).rstrip("\n")


def render_sweep_markdown(sweep: Sweep) -> str:
    """For pull requests and job summaries; nothing from names or data is markup."""
    blocks = [
        "# Which settings are worth having?",
        f"**{plain(sweep.headline)}**",
        f"{plain(_title(sweep))}.",
        table(_rows(sweep)),
    ]
    if drawing := plot(sweep):
        blocks.append("```\n" + "\n".join(printable(line).replace("`", " ") for line in drawing) + "\n```")
    blocks += ["## Every suite", table(_suite_rows(sweep))]
    blocks.append(
        "Gains are against the base, positive where the arm is better. Intervals are the widest of three: documents "
        "and seeds both random, documents alone, seeds alone; p is one-sided and Holm-corrected over the arms. "
        "`behind` is how much worse than the best an arm is, with bounds that hold for all arms together. Losses are "
        "counted in margins. A star marks the arms that no other beats in both gain and loss."
    )
    if notes := (*sweep.reasons, *sweep.limits):
        blocks += ["## Limits", "\n".join(f"- {plain(note)}" for note in notes)]
    if sweep.next_step:
        blocks.append(f"Next: `{sweep.next_step.replace('`', ' ')}`")
    blocks.append(f"Reproduce with `{sweep.command.replace('`', ' ')}`.")
    return "\n\n".join(blocks) + "\n"


def _letter(place: int) -> str:
    """Mark of an arm in the plot: a to z, then `+`."""
    return _LETTERS[place] if place < len(_LETTERS) else "+"


def _title(sweep: Sweep) -> str:
    counted = f"{len(sweep.arms)} arm{'s' if len(sweep.arms) != 1 else ''}"
    seeds = f"seed{'s' if len(sweep.seeds) != 1 else ''} {', '.join(map(str, sweep.seeds))}"
    return f"{counted}, {seeds}, decided on {sweep.target}"


def _rows(sweep: Sweep) -> list[Row]:
    unit = words.unit(sweep.target_of(sweep.arms[0])) or "score"
    rows: list[Row] = [
        (
            "arm",
            "state",
            f"gain ({unit})",
            f"{sweep.confidence * 100:g}% CI",
            "by seed",
            "p (Holm)",
            "behind",
            "worst loss",
            "mean loss",
            "parameters",
            "s",
        )
    ]
    return rows + [_row(sweep, place, arm) for place, arm in enumerate(sweep.arms)]


def _row(sweep: Sweep, place: int, arm: SweepArm) -> Row:
    target = sweep.target_of(arm)
    front = " *" if arm.pareto else ""
    known: Row = ("-",) * 5
    if not target.obstacles:
        known = (
            words.change(target),
            words.limits(target),
            words.seeds(target),
            words.probability(target.p_better_holm),
            _behind(sweep, arm),
        )
    return (
        f"{_letter(place)} {arm.name}{front}",
        arm.state,
        *known,
        "-" if arm.worst_loss is None else f"{_plain(arm.worst_loss)} x {arm.worst_suite}",
        "-" if arm.mean_loss is None else _plain(arm.mean_loss),
        f"{arm.trainable_parameters:,}",
        f"{arm.seconds:.0f}",
    )


def _behind(sweep: Sweep, arm: SweepArm) -> str:
    if arm.shortfall is None:
        return "-"
    target = sweep.target_of(arm)
    return f"{words.bare(target, arm.shortfall.low)} to {words.bare(target, arm.shortfall.high)}"


def _plain(value: float) -> str:
    text = f"{value:.2f}"
    return text.lstrip("-") if float(text) == 0 else text


def _suite_rows(sweep: Sweep) -> list[Row]:
    rows: list[Row] = [("arm", "suite", "role", "n", "gain", "unit", "CI", "by seed", "margin")]
    for arm in sweep.arms:
        for suite in arm.suites:
            name = suite.suite if suite.gated else f"{suite.suite} (not gated)"
            if suite.obstacles or suite.method == "none":
                rows.append((arm.name, name, suite.role, str(suite.n), "-", "-", "not comparable", "-", "-"))
                continue
            rows.append(
                (
                    arm.name,
                    name,
                    suite.role,
                    str(suite.n),
                    words.change(suite),
                    words.unit(suite),
                    words.limits(suite),
                    words.seeds(suite),
                    words.size(suite, suite.margin),
                )
            )
    return rows


def plot(sweep: Sweep) -> list[str]:
    """Target gain to the right, worst loss in margins upwards: letters are arms, dots their seeds.

    The best place is below on the right. Empty where nothing is held to a margin."""
    arms = [
        (place, arm)
        for place, arm in enumerate(sweep.arms)
        if arm.worst_loss is not None and not sweep.target_of(arm).obstacles
    ]
    if not arms:
        return []
    target = sweep.target_of(arms[0][1])
    means = {place: (sweep.target_of(arm).gain.value, arm.worst_loss or 0.0) for place, arm in arms}
    dots = [point for _, arm in arms for point in sweep.seed_points(arm)]
    across = _range([0.0, *(x for x, _ in (*means.values(), *dots))])
    upwards = _range([0.0, 1.0, *(y for _, y in (*means.values(), *dots))])
    grid = [[" "] * _WIDTH for _ in range(_HEIGHT)]
    margin_row, zero_column = _cell(1.0, upwards, _HEIGHT), _cell(0.0, across, _WIDTH)
    for column in range(_WIDTH):
        grid[margin_row][column] = "-"
    for line in grid:
        line[zero_column] = "|"
    for x, y in dots:
        grid[_cell(y, upwards, _HEIGHT)][_cell(x, across, _WIDTH)] = "."
    for place, (x, y) in means.items():
        grid[_cell(y, upwards, _HEIGHT)][_cell(x, across, _WIDTH)] = _letter(place)
    labels = {_HEIGHT - 1: upwards[1], 0: upwards[0], margin_row: 1.0}
    lines = [
        f"  {_plain(labels[row]) if row in labels else '':>6} {''.join(grid[row])}".rstrip()
        for row in reversed(range(_HEIGHT))
    ]
    low, high = (words.bare(target, end) for end in across)
    axis = f"gain on {sweep.target}"
    return [
        "  loss on the worst suite, in margins; above the line an arm forgets",
        *lines,
        f"  {'':>6} {low}{axis:^{max(_WIDTH - len(low) - len(high), 0)}}{high}",
    ]


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    room = 0.05 * (high - low) or 0.5
    return low - room, high + room


def _cell(value: float, ends: tuple[float, float], count: int) -> int:
    share = (value - ends[0]) / (ends[1] - ends[0])
    return min(max(math.floor(share * count), 0), count - 1)
