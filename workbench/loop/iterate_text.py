"""What `workbench iterate` says, as tables for the terminal and as Markdown.

  round  new pairs  rows  target suite    gain        98.75% CI  over before           95% CI  p (Holm)  ...  verdict
  0              -   640          docs  +0.612   0.571 to 0.653            -                -         -  ...   passed
  1      96 of 110   736          docs  +0.655   0.612 to 0.698       +0.043   0.021 to 0.065   < 0.001  ...   passed
"""

from __future__ import annotations

from collections.abc import Iterator

from workbench.compare import seeded_words as words
from workbench.compare.tables import Row, aligned, plain, table
from workbench.core.ablation_results import SeededSuite
from workbench.core.iteration import Iteration, Round, RoundGain, Weaknesses
from workbench.core.wire import printable


def render_iteration(iteration: Iteration) -> str:
    """For the terminal; control characters from names are shown, not sent."""
    lines = list(aligned(_round_rows(iteration)))
    for one in iteration.rounds:
        if one.weaknesses is not None:
            lines += ["", f"weak after {spoken(one.number)} ({_judged(one.weaknesses)})"]
            lines += aligned(_weak_rows(one.weaknesses)) if one.weaknesses.targeted else []
    lines += ["", f"stopped: {iteration.stop_reason}"]
    lines += [f"note: {limit}" for limit in iteration.limits]
    return "\n".join(printable(line) for line in lines)


def render_iteration_markdown(iteration: Iteration) -> str:
    """For pull requests and job summaries; nothing from names or data is markup."""
    found = iteration.development
    blocks = [
        "# Rounds of training on weaknesses",
        f"**{plain(iteration.headline)}**",
        table(_round_rows(iteration)),
        "Gains are against the base, positive where better. Intervals and the gate are corrected for as many verdicts "
        f"as were planned (Bonferroni: {iteration.confidence:.2%} each). The gain over the round before is tested at "
        f"{iteration.alpha:g}, Holm-corrected over the target suites; the rounds end at the first that is not "
        "established, so their order is fixed and needs no further correction."
        + (f" {iteration.seeds} trainings per round; gains by seed in brackets." if iteration.seeds > 1 else "")
        + " Lost most elsewhere: the gated suite of another "
        "role with the largest loss, counted in its margins.",
        "## Weak topics",
        f"Found on {found.documents} documents of {found.topics} topics (by {plain(found.by)}) that were set aside "
        "before the first training and never trained on, nor used for pairs or for any verdict. Topics of which none "
        f"was, since they are too small: {found.topics_too_small}. Level {iteration.alpha:g}, one-sided, "
        "Holm-corrected over the topics.",
    ]
    for one in iteration.rounds:
        if one.weaknesses is not None:
            blocks.append(f"After {spoken(one.number)}: {plain(_judged(one.weaknesses))}.")
            blocks.append(table(_weak_rows(one.weaknesses)))
    blocks += ["## Verdicts", "\n".join(f"- {spoken(one.number)}: {plain(one.headline)}" for one in iteration.rounds)]
    blocks += ["## Limits", "\n".join(f"- {plain(limit)}" for limit in iteration.limits)]
    if iteration.adapter is not None:
        blocks.append(f"Adapter: `{iteration.adapter.replace('`', ' ')}`")
    blocks.append(f"Reproduce with `{iteration.command.replace('`', ' ')}`.")
    return "\n\n".join(blocks) + "\n"


def spoken(number: int) -> str:
    """A round as people call it."""
    return "the first training" if number == 0 else f"round {number}"


def _round_rows(iteration: Iteration) -> list[Row]:
    """One line per round and target suite; what holds for the round stands in its first."""
    own, plain_interval = f"{iteration.confidence * 100:.4g}% CI", f"{(1 - iteration.alpha) * 100:.4g}% CI"
    rows: list[Row] = [
        ("round", "new pairs", "rows", "target suite", "gain", own, "over before", plain_interval, "p (Holm)",
         "lost most elsewhere", "verdict"),
    ]  # fmt: skip
    for one in iteration.rounds:
        rows += _rows_of(one, offered=one.number == iteration.offered)
    return rows


def _rows_of(one: Round, *, offered: bool) -> Iterator[Row]:
    pairs = f"{one.accepted} of {one.candidates}" if one.candidates else "-"
    verdict = one.state + (", offered" if offered else "")
    before = {gain.suite: gain for gain in one.over_before if not gain.obstacles}
    first = (str(one.number), pairs, str(one.rows))
    if not one.targets:
        yield (*first, "-", "-", "-", "-", "-", "-", _worst(one.worst), verdict)
    for place, target in enumerate(one.targets):
        over = before.get(target.suite)
        yield (
            *(first if place == 0 else ("", "", "")),
            target.suite,
            words.change(target),
            words.limits(target),
            "-" if over is None else words.change(over) + _by_seed(over),
            "-" if over is None else words.limits(over),
            "-" if over is None else words.probability(over.p_better_holm),
            _worst(one.worst) if place == 0 else "",
            verdict if place == 0 else "",
        )


def _weak_rows(weak: Weaknesses) -> list[Row]:
    """The weak topics; where there is none, the one furthest behind."""
    shown = [one for one in weak.topics if one.weak] or list(weak.topics[:1])
    rows: list[Row] = [("topic", "documents", "nats per token", "behind the rest", "CI", "p (Holm)", "")]
    for one in shown:
        targeted = "pairs are made" if one.topic in weak.targeted else ("weak" if one.weak else "not beyond noise")
        interval = f"{one.behind.low:.3f} to {one.behind.high:.3f}"
        rows.append(
            (
                one.topic,
                str(one.documents),
                f"{one.loss:.3f}",
                f"{one.behind.value:+.3f}",
                interval,
                words.probability(one.p_value),
                targeted,
            )
        )
    return rows


def _judged(weak: Weaknesses) -> str:
    found = sum(one.weak for one in weak.topics)
    small = f", {weak.not_judged} with too few documents to say" if weak.not_judged else ""
    return f"{found} of {len(weak.topics)} topics behind the others beyond noise{small}"


def _worst(worst: RoundGain | None) -> str:
    """The loss; `nothing` where all the other suites gained, `-` where there is no other."""
    if worst is None:
        return "-"
    return f"{worst.suite} {words.change(worst)} {words.unit(worst)}".rstrip() if worst.gain.value < 0 else "nothing"


def _by_seed(one: SeededSuite) -> str:
    """The gain of each pair of adapters, where there are several."""
    if len(one.by_seed) < 2:
        return ""
    return f" ({words.seeds(one)})"
