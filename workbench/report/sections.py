"""The sections of the report, in reading order. A section is a line here and two templates with its name:
`templates/sections/NAME.html.j2` and `templates/markdown/NAME.md.j2`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from workbench.report.model import ReportModel
from workbench.report.rows import controls


@dataclass(frozen=True, slots=True)
class Section:
    """One section."""

    name: str
    title: str
    short: str
    """Its name in the table of contents."""
    present: Callable[[ReportModel], bool] = lambda model: True
    """Whether the run has anything for it."""


SECTIONS: tuple[Section, ...] = (
    Section("results", "Suite by suite", "Results"),
    Section("controls", "Controls: what happens when nothing should", "Controls", lambda model: bool(controls(model))),
    Section("flips", "Answers that changed", "Flips"),
    Section("generations", "The same prompts, before and after", "Generations", lambda model: bool(model.generations)),
    Section("details", "Every suite in detail", "Details"),
    Section("judge", "The judge", "Judge", lambda model: model.comparison.judge is not None),
    Section("data", "Where the training data came from", "Data", lambda model: bool(model.intake)),
    Section("training", "Training", "Training", lambda model: model.training is not None),
    Section("gaps", "Not run, and known limits", "Limits"),
    Section("reproduce", "How to reproduce this", "Reproduce"),
    Section("decision", "Reviewer decision", "Sign off"),
)
