"""How a sweep runs: within its budget, to the answer over as many arms and seeds as were reached."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from workbench.core.commands import RUN
from workbench.core.config import LoopConfig
from workbench.core.errors import IncompleteError
from workbench.core.parts import read_model, write_text
from workbench.core.paths import Project
from workbench.core.stage import Artifact
from workbench.core.sweep_results import Sweep
from workbench.loop.artifacts import ArtifactStore
from workbench.loop.plan import Node, Plan
from workbench.loop.publish import publish
from workbench.loop.run import Ending
from workbench.loop.runs import read_run
from workbench.loop.scored import run_artifact
from workbench.loop.sweep import ANSWERS, last_answer
from workbench.loop.sweep_budget import Budget, groups_of
from workbench.report.sweep_page import render_sweep_page


class SweepCourse:
    """The course of one run of a sweep; time is counted from its making on."""

    def __init__(self, config: LoopConfig, plan: Plan, project: Project) -> None:
        self._project = project
        self._store = ArtifactStore(project)
        self._budget = None if config.sweep.budget is None else Budget(config.sweep, self._store, groups_of(plan))
        self._stopped: str | None = None

    def leaves_out(self, node: Node, artifacts: Mapping[str, Artifact]) -> bool:
        """Whether the budget ended before this node; what is in the cache costs nothing."""
        begins = self._stopped is None and self._store.find(node.stage, node.fingerprint) is None
        if begins and self._budget is not None:
            self._stopped = self._budget(node)
        return self._stopped is not None

    def end(self, run: str, artifacts: Mapping[str, Artifact]) -> Ending:
        """The last answer, published; IncompleteError if there is none."""
        answer = last_answer(artifacts)
        if answer is None:
            raise IncompleteError("no arm was compared yet", where=run, next_step=f"{RUN} --resume {run}")
        sweep = read_model(answer.part("sweep.json"), Sweep)
        said = [sweep.headline, *([f"Stopped early: {self._stopped}."] if self._stopped else [])]
        return Ending(sweep.exit_code, " ".join(said), publish_sweep(self._project, run, answer), {})


def publish_sweep(project: Project, run: str, answer: Artifact) -> Path:
    """Copies sweep.json and sweep.md to reports/RUN and draws sweep.html beside them, whose path is given."""
    page = publish(project, run, answer, "sweep.html")
    write_text(page, render_sweep_page(read_model(answer.part("sweep.json"), Sweep), run))
    return page


def swept_artifact(project: Project, run: str) -> Artifact | None:
    """The last answer that a run's sweep came to; None for another run, or before the first. UsageError for an unknown
    run."""
    names = [node.name for node in read_run(project, run).nodes if node.name.startswith(ANSWERS)]
    made = {name: run_artifact(project, run, name) for name in names}
    return last_answer({name: artifact for name, artifact in made.items() if artifact is not None})
