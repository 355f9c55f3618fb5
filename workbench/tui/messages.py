"""What screens say to the app."""

from __future__ import annotations

from textual.message import Message

from workbench.core.paths import Project


class RunStartedHere(Message):
    """A job was started from the terminal."""

    def __init__(self, project: Project, run: str, command: str) -> None:
        super().__init__()
        self.project = project
        """Where it runs: the demo may have made a project of its own."""
        self.run = run
        self.command = command
        """The same on the command line."""


class ResumeWanted(Message):
    """Somebody asked to take up a run."""

    def __init__(self, run: str) -> None:
        super().__init__()
        self.run = run


class CancelWanted(Message):
    """Somebody asked to stop a job."""

    def __init__(self, run: str) -> None:
        super().__init__()
        self.run = run
