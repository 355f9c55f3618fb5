"""Every error a user can meet, and the exit code it ends in.

    WorkbenchError                     what is wrong, where, and what to do next
    ├── UsageError           exit 2    command line, config file, card or suite is wrong
    │   └── ConfigErrors     exit 2    several of them, found in one pass over one file
    ├── IncompleteError      exit 3    failed stage, too many failed samples, empty data, arms that cannot be compared
    └── PrerequisiteError    exit 4    a model, hub, extra or key that is not there
    SettingError, a ValueError         what a validator finds; the reader of the file makes it a ConfigProblem

A gate that says *regressed* is a result, not an error: it has no class here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class ExitCode(IntEnum):
    """What the process says when it ends."""

    OK = 0
    """Done: the gate passed, was inconclusive, or there was none."""
    REGRESSED = 1
    """The gate found a regression (or, with --strict, was inconclusive)."""
    USAGE = 2
    """Command line or configuration is wrong."""
    INCOMPLETE = 3
    """A stage failed, data is empty, or the arms are not comparable."""
    PREREQUISITE = 4
    """A model, hub, extra or key is missing."""
    INTERRUPTED = 130
    """Ctrl-C."""
    TERMINATED = 143
    """SIGTERM."""


class WorkbenchError(Exception):
    """Base class: a message for people, the place, the next step."""

    exit_code: ExitCode = ExitCode.INCOMPLETE

    def __init__(self, problem: str, *, where: str | None = None, next_step: str | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.where = where
        self.next_step = next_step

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        advice = f"\n  next: {self.next_step}" if self.next_step else ""
        return f"{place}{self.problem}{advice}"


class UsageError(WorkbenchError):
    """The command line, a config file, a card or a suite is wrong."""

    exit_code = ExitCode.USAGE


class SettingError(ValueError):
    """What a validator of a configuration finds: the key below the section it stands in, and the next step apart."""

    def __init__(self, problem: str, *, key: str = "", next_step: str) -> None:
        super().__init__(f"{problem}; {next_step}")
        self.problem = problem
        self.key = key
        self.next_step = next_step


@dataclass(frozen=True, slots=True)
class ConfigProblem:
    """One thing wrong in one file, or in what was typed."""

    file: str
    """Or the variable it came from; empty for what was typed on the command line."""
    line: int | None
    key: str
    message: str
    next_step: str | None = None

    @property
    def where(self) -> str:
        """File, line and key, as far as they are known."""
        file = f"{self.file}:{self.line}" if self.line else self.file
        return ": ".join(part for part in (file, self.key) if part)

    def __str__(self) -> str:
        return str(UsageError(self.message, where=self.where, next_step=self.next_step))


class ConfigErrors(UsageError):
    """All problems of one file, reported together."""

    def __init__(self, problems: list[ConfigProblem]) -> None:
        assert problems, "ConfigErrors needs at least one problem"
        if len(problems) == 1:
            super().__init__(problems[0].message, where=problems[0].where, next_step=problems[0].next_step)
        else:
            super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class IncompleteError(WorkbenchError):
    """The work could not be finished, or its results cannot be compared."""

    exit_code = ExitCode.INCOMPLETE


class PrerequisiteError(WorkbenchError):
    """Something outside the project is missing: a model, a hub, an extra, a key."""

    exit_code = ExitCode.PREREQUISITE
