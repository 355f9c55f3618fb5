"""The way of the rows, from what was read to what was trained on, as steps of one picture.

read 4,120 > exact_duplicate −618 > near_duplicate −203 > kept 3,299 > made +480 > trained on 900
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from workbench.report import numbers
from workbench.report.model import ReportModel


@dataclass(frozen=True, slots=True)
class Step:
    """One bar."""

    label: str
    rows: str
    share: float
    """Of the largest step."""
    kind: Literal["total", "loss"]


def funnel_steps(model: ReportModel) -> tuple[Step, ...]:
    """Rows in, rows lost per reason, rows kept, pairs made and the training set; empty if nothing was curated."""
    if model.curation is None:
        return ()
    funnel = model.curation.funnel
    quarantined = sum(dataset.quarantined for dataset in model.intake if dataset.used_for == "training")
    accepted = sum(made.accepted for made in model.synthesis)
    counted: list[tuple[str, int, Literal["total", "loss"]]] = []
    if quarantined:
        counted += [("found in the files", funnel.rows_in + quarantined, "total"), ("quarantined", quarantined, "loss")]
    counted.append(("records read", funnel.rows_in, "total"))
    counted += [(_words(reason.reason), reason.rows, "loss") for reason in funnel.reasons if reason.action == "drop"]
    counted.append(("kept", funnel.rows_out, "total"))
    if model.synthesis:
        counted.append(("pairs made from them", accepted, "total"))
    if model.mix:
        counted.append(("training set", model.mix.rows, "total"))
    largest = max((rows for _, rows, _ in counted), default=0) or 1
    return tuple(
        Step(label, numbers.count(-rows if kind == "loss" else rows), rows / largest, kind)
        for label, rows, kind in counted
    )


def _words(reason: str) -> str:
    return reason.replace("_", " ")
