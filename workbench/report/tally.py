"""The four answers under the verdict: what got better, what got worse, what was forgotten, what cannot be told."""

from __future__ import annotations

from dataclasses import dataclass

from workbench.report.model import ReportModel
from workbench.report.rows import Row, main_rows


@dataclass(frozen=True, slots=True)
class Tally:
    """Rows and counts behind the four answers."""

    better: tuple[Row, ...]
    worse: tuple[Row, ...]
    open: tuple[Row, ...]
    answers: int
    """Documents with a right or wrong answer, over all suites."""
    right_before: int
    forgotten: int
    learned: int
    noise: int | None
    """Flips of the A/A arm on the same documents; None if a suite has no such count."""


def tally(model: ReportModel) -> Tally:
    """Counts over the suites of the deciding pair that have a verdict."""
    rows = main_rows(model)
    counted = [row.data for row in rows if row.data.forgotten is not None]
    noise = [data.noise_flips for data in counted]
    known = [flips for flips in noise if flips is not None]
    return Tally(
        better=tuple(row for row in rows if row.verdict and row.verdict.state == "improved"),
        worse=tuple(row for row in rows if row.verdict and row.verdict.state == "regressed"),
        open=tuple(
            row
            for row in rows
            if row.verdict and row.verdict.state in ("inconclusive", "not informative", "not comparable")
        ),
        answers=sum(data.n for data in counted),
        right_before=sum((data.kept or 0) + (data.forgotten or 0) for data in counted),
        forgotten=sum(data.forgotten or 0 for data in counted),
        learned=sum(data.learned or 0 for data in counted),
        noise=sum(known) if counted and len(known) == len(noise) else None,
    )
