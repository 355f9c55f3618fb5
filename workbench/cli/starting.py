"""What the commands that run a plan share: their options, where the configuration comes from, and the start.

    request = make_request(project, config, settings, resume, strict, verb=SWEEP)
    start(request, json=json, dry_run=dry_run, detach=detach, ...)      ->  exit code
"""

from __future__ import annotations

import shlex
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli import output
from workbench.cli.outcome import show_plan, show_result
from workbench.core.commands import ABLATE, DEMO, ITERATE, RESUMABLE, RUN, SWEEP

if TYPE_CHECKING:
    from workbench.core.config import LoopConfig
    from workbench.core.paths import Project
    from workbench.loop.plan import Plan
    from workbench.loop.run import Course, RunResult

LoopFile = Annotated[Path | None, typer.Argument(help="Configuration; default: workbench.yaml of the project.")]
RunId = Annotated[str | None, typer.Option("--run-id", hidden=True)]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan and what is cached; write nothing.")]
Detach = Annotated[bool, typer.Option("--detach", help="Start in the background and print the run's id.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]


@dataclass(frozen=True, slots=True)
class Request:
    """A run as asked for."""

    project: Project
    config_file: Path
    settings: list[str]
    command: str
    prefix: str | None = None
    """First part of the run id; None takes the configuration's name."""
    resume: str | None = None
    limits: dict[str, str | None] = field(default_factory=dict)

    def limited(self, only: str | None = None, first: str | None = None, last: str | None = None) -> Request:
        """The same for some of the stages."""
        limits = {"only": only, "first": first, "last": last}
        return Request(self.project, self.config_file, self.settings, self.command, self.prefix, self.resume, limits)

    def plan(self, config: LoopConfig) -> Plan:
        """The plan that the command stands for."""
        from workbench.loop.ablation import build_ablation_plan
        from workbench.loop.iterate import build_iterate_plan
        from workbench.loop.plan import build_plan
        from workbench.loop.sweep import build_sweep_plan

        if self.command.startswith(ITERATE):
            return build_iterate_plan(config, self.project.root, self.command)
        if self.command.startswith(SWEEP):
            return build_sweep_plan(config, self.project.root, self.command)
        build = build_ablation_plan if self.command.startswith(ABLATE) else build_plan
        return build(config, self.project.root, self.command)

    def course(self, config: LoopConfig, plan: Plan) -> Course | None:
        """What decides during the run how far it goes, for commands whose length depends on results or a budget."""
        from workbench.loop.iterate_course import IterateCourse
        from workbench.loop.sweep_course import SweepCourse

        if self.command.startswith(SWEEP):
            return SweepCourse(config, plan, self.project)
        return IterateCourse(config, self.project, self.command) if self.command.startswith(ITERATE) else None


def make_request(
    project: Project, config: Path | None, settings: list[str], resume: str | None, strict: bool, verb: str = RUN
) -> Request:
    """Where the configuration of a run comes from; UsageError if there is none."""
    from workbench.core.errors import UsageError
    from workbench.loop.runs import continuation, read_run, run_directory
    from workbench.loop.settings import PROJECT_FILE

    if resume is not None:
        refuse_with_resume({"FILE": config, "--set": settings, "--strict": strict})
        directory = run_directory(project, resume)
        command = read_run(project, resume).command
        if not command.startswith(RESUMABLE):
            problem = "only the command that started the run can continue it" if command else "the run has no plan"
            raise UsageError(problem, where=resume, next_step=continuation(resume, command))
        if verb != RUN and not command.startswith(verb):
            started = " ".join(shlex.split(command)[:2])
            step = f"{RUN if started == DEMO else started} --resume {resume}"
            raise UsageError(f"the run was started by `{started}`, not `{verb}`", where=resume, next_step=step)
        return Request(project, directory / "config.yaml", [], command, resume=resume)
    path = project.root / PROJECT_FILE if config is None else config.absolute()
    if config is None and not path.is_file():
        raise UsageError(
            f"no {PROJECT_FILE} here", where=str(project.root), next_step="workbench init DIR, or: workbench demo"
        )
    shown = verb + (f" {shlex.quote(_from_root(path, project))}" if config else "")
    shown += "".join(f" --set {shlex.quote(setting)}" for setting in settings)
    shown += " --strict" if strict else ""
    return Request(project, path, [*settings, *(["gate.strict=true"] if strict else [])], shown)


def _from_root(path: Path, project: Project) -> str:
    """A file as it is found from the project, where who reads a report calls the command; absolute where it lies
    elsewhere."""
    file, root = path.parent.resolve() / path.name, project.root.resolve()
    return str(file.relative_to(root) if file.is_relative_to(root) else file)


def refuse_with_resume(given: dict[str, object]) -> None:
    """UsageError if any option of a new run was given to one that goes on with its own configuration."""
    from workbench.core.errors import UsageError

    if names := [option for option, value in given.items() if value not in (None, [], False)]:
        raise UsageError(
            f"the run goes on with its own configuration, which {', '.join(names)} cannot change",
            where="--resume",
            next_step="leave it out, or start a new run with it: what is the same is taken from the cache",
        )


def refuse_budget(budget: str | None, counted: str) -> None:
    """UsageError, at the option, for a budget that cannot be read; `counted` as for `read_budget`."""
    from workbench.core.budgets import read_budget
    from workbench.core.errors import UsageError

    try:
        read_budget(budget, counted)
    except ValueError as error:
        raise UsageError(str(error), where="--budget") from None


def spelled(
    config: Path | None,
    settings: list[str] | None,
    only: str | None = None,
    first: str | None = None,
    last: str | None = None,
    strict: bool = False,
) -> list[str]:
    """The options again, for a detached job."""
    words = [str(config.absolute())] if config else []
    for option, value in (("--only", only), ("--from", first), ("--until", last)):
        words += [option, value] if value else []
    for setting in settings or []:
        words += ["--set", setting]
    return words + (["--strict"] if strict else [])


def start(
    request: Request, *, json: bool, dry_run: bool, detach: bool, quiet: bool, run_id: str | None, arguments: list[str]
) -> int:
    """Plans and runs, or only shows the plan, or hands over to a detached job; returns the exit code."""
    from workbench.loop.forecast import forecast
    from workbench.loop.plan import select
    from workbench.loop.run import refuse_unwritable, resumable
    from workbench.loop.runs import run_directory
    from workbench.loop.settings import load_config

    environment: dict[str, str] | None = {} if request.resume else None
    config = load_config(request.config_file, request.settings, environment)
    plan = request.plan(config)
    selected = select(plan, **{"only": None, "first": None, "last": None, **request.limits})
    if request.resume is not None:
        asked_for = resumable(run_directory(request.project, request.resume), plan)
        selected = selected if any(request.limits.values()) else asked_for
    if dry_run:
        show_plan(request.project, plan, selected, forecast(plan, selected, request.project), json=json)
        return 0
    refuse_unwritable(request.project)
    if detach:
        from workbench.loop.jobs import resume, spawn

        run = request.resume
        if run is None:
            run = spawn(request.project, arguments, name=request.prefix or config.name)
        else:
            resume(request.project, run, arguments)
        output.print_json({"run": run}) if json else output.print_text(run)
        output.say(f"follow with: workbench runs attach {run}")
        return 0
    result = start_plan(request, config, plan, selected, run_id, quiet=quiet or json)
    show_result(result, json=json)
    # a completed demo is a success whatever the verdict: the verdict itself is what it shows
    return 0 if request.command == DEMO and result.exit_code == 1 else result.exit_code


def start_plan(
    request: Request,
    config: LoopConfig,
    plan: Plan,
    selected: set[str],
    run_id: str | None,
    *,
    quiet: bool,
) -> RunResult:
    """Runs a plan in this process with progress on standard error; signals stop it in an orderly way."""
    from workbench.loop.jobs import new_run_id
    from workbench.loop.run import execute

    display = output.RunDisplay(quiet=quiet)
    stop = _StopRequested()
    try:
        result = execute(
            plan,
            config,
            request.project,
            run_id or new_run_id(request.project, request.prefix or config.name),
            command=request.command,
            selected=selected,
            course=request.course(config, plan),
            on_event=display,
            cancelled=stop,
        )
    finally:
        display.close()
        stop.restore()
    return stop.with_exit_code(result)


class _StopRequested:
    """True once SIGINT or SIGTERM came; a second SIGINT ends the process at once."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self._previous = {number: signal.signal(number, self._receive) for number in (signal.SIGINT, signal.SIGTERM)}

    def __call__(self) -> bool:
        return self.signal is not None

    def restore(self) -> None:
        """Gives the signals back."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def with_exit_code(self, result: RunResult) -> RunResult:
        """A cancelled run ends in 128 + the signal's number."""
        from dataclasses import replace

        if result.status == "cancelled" and self.signal is not None:
            return replace(result, exit_code=128 + self.signal)
        return result

    def _receive(self, number: int, frame: Any) -> None:
        if self.signal == signal.SIGINT and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number
        output.say("stopping: what was reached is kept")
