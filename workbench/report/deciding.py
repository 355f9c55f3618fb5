"""Which suite stands at the top of the page: the one that fails the run, leaves it open, or carries its claim."""

from __future__ import annotations

from workbench.core.results import PairComparison, SuiteComparison, SuiteVerdict, Verdict
from workbench.report.model import Deciding


def deciding_suite(verdict: Verdict, pair: PairComparison | None) -> Deciding | None:
    """The suite to show first; None where no suite was compared.

    Regressed or inconclusive: of the gated suites in that state, the one whose interval reaches lowest in units of its
    margin. Passed: the target suite with the clearest improvement, else the gated suite nearest to its margin.
    """
    if pair is None:
        return None
    compared = {(row.suite, row.metric): row for row in pair.suites}
    rows = [
        (entry, compared[entry.suite, entry.metric])
        for entry in verdict.decisive.suites
        if (entry.suite, entry.metric) in compared and compared[entry.suite, entry.metric].method != "none"
    ]
    gated = [row for row in rows if row[0].gated]
    if verdict.state == "regressed":
        worst = _lowest([row for row in gated if row[0].state == "regressed"])
        return _named(worst, "gated, and worse by more than its margin")
    if verdict.state == "inconclusive":
        widest = _lowest([row for row in gated if row[0].state == "inconclusive"])
        return _named(widest, "gated, and the interval leaves harm and harmlessness open")
    if verdict.state == "not comparable":
        return _named(_lowest([row for row in gated if row[0].state == "not comparable"]), "gated, and not comparable")
    improved = [row for row in rows if row[0].state == "improved"]
    targets = [row for row in improved if row[1].role == "target"]
    if clearest := _clearest(targets or improved):
        return _named(clearest, "the clearest improvement" + (" on the target" if targets else ""))
    return _named(_lowest(gated), "gated, and nearest to its margin")


_Row = tuple[SuiteVerdict, SuiteComparison]


def _named(row: _Row | None, why: str) -> Deciding | None:
    return None if row is None else Deciding(suite=row[0].suite, metric=row[0].metric, why=why)


def _lowest(rows: list[_Row]) -> _Row | None:
    """The row whose interval reaches furthest below zero, in units of its margin."""
    return min(rows, key=lambda row: row[1].gain.low / (row[1].margin or 1), default=None)


def _clearest(rows: list[_Row]) -> _Row | None:
    """The row with the largest gain in standard errors."""
    return max(rows, key=lambda row: row[1].gain.value / (row[1].gain_se or 1e-12), default=None)
