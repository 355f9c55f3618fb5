"""What the terminal needs of the loop: runs as they stand, starting and stopping jobs. Tests may bring their own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from workbench.core.paths import Project

if TYPE_CHECKING:
    from workbench.loop.runs import RunView


class Jobs(Protocol):
    """Detached jobs of a project."""

    def list_runs(self, project: Project) -> list[RunView]:
        """All runs, newest first."""
        ...

    def read_run(self, project: Project, run: str) -> RunView:
        """One run; UsageError if there is none."""
        ...

    def start_demo(self, project: Project) -> tuple[Project, str]:
        """Starts the demo; gives the project it runs in (its own, if this one is not the starter) and the run."""
        ...

    def start_loop(self, project: Project, loop_file: Path) -> str:
        """Starts a loop file as a job; gives the run."""
        ...

    def cancel(self, project: Project, run: str) -> None:
        """Asks a job to stop; UsageError if it does not run."""
        ...

    def resume(self, project: Project, run: str) -> None:
        """Takes up a run that was stopped, killed or failed; UsageError if it cannot be."""
        ...

    def check_loop(self, loop_file: Path) -> str:
        """What a loop file would do, in one line; ConfigErrors if it is wrong."""
        ...


class LoopJobs:
    """The real ones. Imports stand inside the functions: the first picture need not wait for the loop (0.1 s)."""

    def list_runs(self, project: Project) -> list[RunView]:
        """See `Jobs`."""
        from workbench.loop.runs import list_runs

        return list_runs(project)

    def read_run(self, project: Project, run: str) -> RunView:
        """See `Jobs`."""
        from workbench.loop.runs import read_run

        return read_run(project, run)

    def start_demo(self, project: Project) -> tuple[Project, str]:
        """See `Jobs`."""
        from workbench.loop.jobs import spawn
        from workbench.loop.starter import demo_project

        place, _ = demo_project(project.root)
        return place, spawn(place, ["demo"], name="demo")

    def start_loop(self, project: Project, loop_file: Path) -> str:
        """See `Jobs`."""
        from workbench.loop.jobs import spawn
        from workbench.loop.settings import load_config

        return spawn(project, ["run", str(loop_file)], name=load_config(loop_file).name)

    def cancel(self, project: Project, run: str) -> None:
        """See `Jobs`."""
        from workbench.loop.jobs import cancel

        cancel(project, run)

    def resume(self, project: Project, run: str) -> None:
        """See `Jobs`."""
        from workbench.loop.jobs import resume

        resume(project, run)

    def check_loop(self, loop_file: Path) -> str:
        """See `Jobs`."""
        from workbench.loop.settings import load_config

        config = load_config(loop_file)
        data = ", ".join(config.data) or "no data"
        arms = ", ".join(arm.name for arm in config.score.arms)
        return f"{config.name}: {data}; {config.train.method}, {config.train.length}; arms {arms}"
