"""What limits the verdict, found in the numbers, so that nobody has to remember to say it.

a suite whose detectable effect (8 points) is above its margin (5 points)
->  "capitals: a loss of 5 points would often be missed; this comparison finds 8 points. About 410 documents would do."
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from workbench.core.results import JudgeTrust, MixSummary, PairComparison, SuiteComparison, TrainSummary, Verdict
from workbench.core.stage import Inputs
from workbench.report import numbers
from workbench.report.model import Flips, Intake

MIN_GRADIENT_COSINE = 0.99
_SHARE_TOLERANCE = 0.02


def alarms(verdict: Verdict, training: TrainSummary | None) -> Iterator[str]:
    """Reasons to distrust the whole run, for the top of the page."""
    for pair in verdict.others:
        if pair.purpose == "sham" and not pair.nothing_changed and pair.state != "not comparable":
            yield (
                f"The sham control changed something: {pair.after} is an adapter of zeros and should score exactly "
                f"like {pair.before}. Do not trust the other differences until this is explained."
            )
    if training is not None and training.gradient_check < MIN_GRADIENT_COSINE:
        yield (
            f"The gradient check failed (cosine {numbers.plain(training.gradient_check, 3)}, 1 is right): the adapter "
            "may not have been trained on its real gradients."
        )


def gaps(
    verdict: Verdict,
    pair: PairComparison | None,
    judge: JudgeTrust | None,
    intake: Sequence[Intake],
    mix: MixSummary | None,
    shown_flips: Flips,
) -> Iterator[str]:
    """One sentence for each limit."""
    if judge is not None and not judge.trusted:
        why = "; ".join(judge.reasons) or "its trust check failed"
        yield f"The judge is left out of the verdict: {why}."
    judged = {comparison.suite for comparison in pair.suites if comparison.kind == "judge"} if pair else set()
    for suite_verdict in verdict.decisive.suites:
        if suite_verdict.state == "not informative" and suite_verdict.suite not in judged:
            yield f"{suite_verdict.suite}: {suite_verdict.reason}"
    undecided = {entry.suite for entry in verdict.decisive.suites if entry.state == "inconclusive"}
    for comparison in pair.suites if pair else ():
        yield from _suite_gaps(comparison, undecided=comparison.suite in undecided)
    quarantined = sum(dataset.quarantined for dataset in intake)
    if quarantined:
        yield f"{numbers.counted(quarantined, 'piece')} of input could not be read: see the quarantine."
    for share in mix.shares if mix else ():
        if abs(share.realised - share.requested) > _SHARE_TOLERANCE:
            asked, got = numbers.percent(share.requested), numbers.percent(share.realised)
            why = f": {share.missed}" if share.missed else ""
            yield f"The mixture asked for {asked} of {share.name} and got {got}{why}."
    total = sum(count.forgotten + count.learned for count in shown_flips.counts)
    if total > len(shown_flips.shown):
        yield f"{len(shown_flips.shown)} of {numbers.count(total)} changed answers are shown; flips.jsonl has all."


def missing_parts(inputs: Inputs) -> Iterator[str]:
    """What this run's plan left out altogether."""
    if "curate" not in inputs:
        yield "Cleaning: this run curated no data."
    if "train" not in inputs:
        yield "Training: this run trained no adapter."


def _suite_gaps(comparison: SuiteComparison, *, undecided: bool) -> Iterator[str]:
    name = comparison.suite if comparison.filter == "none" else f"{comparison.suite} ({comparison.filter})"
    if undecided and comparison.mde > comparison.margin:
        margin, mde = numbers.size(comparison.margin, comparison.unit), numbers.size(comparison.mde, comparison.unit)
        enough = f" About {numbers.count(comparison.n_needed)} documents would do." if comparison.n_needed else ""
        yield f"{name}: a loss of {margin} would often be missed; this comparison reliably finds {mde}.{enough}"
    if comparison.unpaired:
        unpaired = numbers.counted(comparison.unpaired, "document was", "documents were")
        yield f"{name}: {unpaired} scored in one arm alone and left out."
    failed = comparison.failed_before + comparison.failed_after
    if failed:
        yield (
            f"{name}: {numbers.counted(comparison.failed_before, 'document')} failed before and "
            f"{numbers.count(comparison.failed_after)} after; "
            "they stay in the denominator."
        )
    if comparison.unparsed_before or comparison.unparsed_after:
        yield (
            f"{name}: no answer could be read from {numbers.counted(comparison.unparsed_before, 'output')} before and "
            f"{numbers.count(comparison.unparsed_after)} after."
        )
