"""`demo`, `init`, `run`, and the stages alone: `synth`, `score`."""

from __future__ import annotations

import shlex
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli import output
from workbench.cli.state import Json, Settings

if TYPE_CHECKING:
    from workbench.core.config import LoopConfig
    from workbench.core.iteration import Iteration
    from workbench.core.paths import Project
    from workbench.core.results import Ablation
    from workbench.core.sweep_results import Sweep
    from workbench.loop.forecast import Forecast
    from workbench.loop.plan import Plan
    from workbench.loop.run import Course, RunResult

LoopFile = Annotated[Path | None, typer.Argument(help="Configuration; default: workbench.yaml of the project.")]
RunId = Annotated[str | None, typer.Option("--run-id", hidden=True)]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan and what is cached; write nothing.")]
Detach = Annotated[bool, typer.Option("--detach", help="Start in the background and print the run's id.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]


DEMO = "workbench demo"
RUN = "workbench run"
ABLATE = "workbench ablate"
ITERATE = "workbench iterate"
SWEEP = "workbench sweep"


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    app.command()(demo)
    app.command()(init)
    app.command("run")(run)
    app.command()(synth)
    app.command()(score)


def demo(
    context: typer.Context,
    json: Json = False,
    dry_run: DryRun = False,
    detach: Detach = False,
    quiet: Quiet = False,
    settings: Settings = None,
    run_id: RunId = None,
) -> None:
    """The whole loop on the embedded default: no key, no hub, no GPU.

    Works in the project directory if it is a fresh starter, else in ./workbench-demo.
    """
    from workbench.loop.settings import PROJECT_FILE
    from workbench.loop.starter import demo_project

    project, created = demo_project(context.obj.root, write=not dry_run)
    if created:
        output.say(f"demo project: {project.root}")
    request = Request(project, project.root / PROJECT_FILE, settings or [], command=DEMO, prefix="demo")
    arguments = ["demo", *spelled(None, settings)]
    raise typer.Exit(
        start(request, json=json, dry_run=dry_run, detach=detach, quiet=quiet, run_id=run_id, arguments=arguments)
    )


def init(
    context: typer.Context,
    directory: Annotated[Path, typer.Argument(help="Directory of the new project.")],
    json: Json = False,
) -> None:
    """A new project: workbench.yaml, suites and dataset cards to start from."""
    from workbench.loop.starter import create_project

    written = create_project(context.obj.root / directory)
    if json:
        output.print_json({"written": [str(path) for path in written]})
        return
    output.print_text("\n".join(str(path) for path in written))
    output.say(f"next: cd {shlex.quote(str(directory))}, edit workbench.yaml, then: workbench run --dry-run")


def run(
    context: typer.Context,
    config: LoopFile = None,
    resume: Annotated[
        str | None, typer.Option("--resume", metavar="RUN", help="Continue a run that was stopped or killed.")
    ] = None,
    only: Annotated[
        str | None, typer.Option("--only", metavar="STAGE", help="Run one stage; the others must be cached.")
    ] = None,
    first: Annotated[str | None, typer.Option("--from", metavar="STAGE", help="Run from this stage on.")] = None,
    last: Annotated[str | None, typer.Option("--until", metavar="STAGE", help="Run up to this stage.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Inconclusive ends in exit code 1.")] = False,
    json: Json = False,
    dry_run: DryRun = False,
    detach: Detach = False,
    quiet: Quiet = False,
    settings: Settings = None,
    run_id: RunId = None,
) -> None:
    """Run the loop: data, training, scores, verdict.

    Exit codes: 0 passed or inconclusive, 1 regressed, 2 usage, 3 incomplete or not comparable, 4 prerequisite missing.

    Examples: workbench run; workbench run --dry-run; workbench run --set train.max_steps=30; workbench run --resume RUN
    """
    project: Project = context.obj.project
    request = make_request(project, config, settings or [], resume, strict)
    request = request.limited(only=only, first=first, last=last)
    arguments = ["run", *spelled(config, settings, only, first, last, strict)]
    raise typer.Exit(
        start(
            request,
            json=json,
            dry_run=dry_run,
            detach=detach,
            quiet=quiet,
            run_id=run_id or resume,
            arguments=arguments,
        )
    )


def synth(
    context: typer.Context,
    config: LoopFile = None,
    settings: Settings = None,
    json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Up to the synthetic pairs (the same as: run --until synth)."""
    _until(context, "synth", config, settings, json, dry_run)


def score(
    context: typer.Context,
    config: LoopFile = None,
    settings: Settings = None,
    json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Up to the scores of all arms (the same as: run --until score)."""
    _until(context, "score", config, settings, json, dry_run)


def _until(
    context: typer.Context, stage: str, config: Path | None, settings: list[str] | None, json: bool, dry_run: bool
) -> None:
    request = make_request(context.obj.project, config, settings or [], None, strict=False).limited(last=stage)
    raise typer.Exit(start(request, json=json, dry_run=dry_run, detach=False, quiet=False, run_id=None, arguments=[]))


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
        from workbench.loop.iterate_course import course_of
        from workbench.loop.sweep_course import SweepCourse

        if self.command.startswith(SWEEP):
            return SweepCourse(config, plan, self.project)
        return course_of(config, self.project, self.command) if self.command.startswith(ITERATE) else None


def make_request(
    project: Project, config: Path | None, settings: list[str], resume: str | None, strict: bool, verb: str = RUN
) -> Request:
    """Where the configuration of a run comes from; UsageError if there is none."""
    from workbench.core.errors import UsageError
    from workbench.loop.runs import RESUMABLE, continuation, read_run, run_directory
    from workbench.loop.settings import PROJECT_FILE

    if resume is not None:
        if config is not None or settings:
            raise UsageError("--resume takes the run's own configuration; drop the file and --set")
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
    shown = verb + (f" {shlex.quote(str(config))}" if config else "")
    shown += "".join(f" --set {shlex.quote(setting)}" for setting in settings)
    return Request(project, path, [*settings, *(["gate.strict=true"] if strict else [])], shown)


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
    _show_result(result, json=json)
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


def show_plan(project: Project, plan: Plan, selected: set[str], expected: Forecast, *, json: bool) -> None:
    """Prints the nodes, what of them is cached, and how long the rest may take."""
    from workbench.loop.artifacts import ArtifactStore

    store = ArtifactStore(project)
    rows = [
        {
            "node": node.name,
            "stage": node.stage,
            "fingerprint": node.fingerprint,
            "inputs": list(node.inputs),
            "state": _planned_state(node.name, store.find(node.stage, node.fingerprint) is not None, selected),
        }
        for node in plan.nodes
    ]
    if json:
        costs = {"trainings": expected.trainings, "scorings": expected.scorings, "expected_s": expected.seconds}
        output.print_json({"dry_run": True, "nodes": rows, **costs, "left_out": list(_left_out(plan))})
        return
    width = max(len(node.name) for node in plan.nodes)
    output.print_text(
        "\n".join(f"{row['node']:<{width}}  {row['state']:<8}  {str(row['fingerprint'])[:12]}" for row in rows)
    )
    for said in _left_out(plan):
        output.say(f"left out: {said}")
    time = "not known before the first" if expected.seconds is None else f"about {expected.seconds / 60:.1f} min"
    output.say(f"to do: {expected.trainings} trainings, {expected.scorings} scorings; time: {time}")


def _left_out(plan: Plan) -> tuple[str, ...]:
    """Combinations of a sweep that are not in its plan."""
    from workbench.core.nodes import SweepNode

    last = plan.nodes[-1].config
    return last.left_out if isinstance(last, SweepNode) else ()


def _planned_state(name: str, cached: bool, selected: set[str]) -> str:
    if cached:
        return "cached"
    return "run" if name in selected else "left out"


def _show_result(result: RunResult, *, json: bool) -> None:
    ablation = _ablation(result)
    iteration = _iteration(result)
    sweep = _sweep(result)
    if json:
        output.print_json(
            {
                "run": result.run,
                "status": result.status,
                "exit_code": result.exit_code,
                "message": result.message,
                "cached": list(result.cached),
                "ran": list(result.ran),
                "verdict": result.verdict.model_dump(mode="json") if result.verdict else None,
                **({"ablation": ablation.model_dump(mode="json")} if ablation else {}),
                **({"iteration": iteration.model_dump(mode="json")} if iteration else {}),
                **({"sweep": sweep.model_dump(mode="json")} if sweep else {}),
                "report": str(result.report) if result.report else None,
                "artifacts": {name: str(artifact.path) for name, artifact in result.artifacts.items()},
            }
        )
        return
    if result.status == "completed" and ablation is not None:
        from workbench.compare.ablation_text import render_ablation

        output.print_text(f"{render_ablation(ablation)}\n\nanswer: {ablation.headline}")
        output.print_text(f"report: {result.report}")
    elif result.status == "completed" and iteration is not None:
        from workbench.loop.iterate_text import render_iteration

        output.print_text(f"{render_iteration(iteration)}\n\nanswer: {iteration.headline}")
        output.print_text(f"report: {result.report}")
    elif result.status == "completed" and sweep is not None:
        from workbench.compare.sweep_text import render_sweep

        output.print_text(f"{render_sweep(sweep)}\n\nanswer: {result.message}")
        output.print_text(f"report: {result.report}")
    elif result.status == "completed" and result.verdict is not None:
        output.print_text(_verdict_text(result))
    elif result.status != "completed":
        output.say(f"{result.status}: {result.message}")


def _ablation(result: RunResult) -> Ablation | None:
    from workbench.core.parts import read_model
    from workbench.core.results import Ablation
    from workbench.loop.plan import ABLATION

    artifact = result.artifacts.get(ABLATION)
    return None if artifact is None else read_model(artifact.part("ablation.json"), Ablation)


def _iteration(result: RunResult) -> Iteration | None:
    from workbench.core.iteration import Iteration
    from workbench.core.parts import read_model

    if result.report is None or result.report.name != "iterate.md":
        return None
    return read_model(result.report.with_suffix(".json"), Iteration)


def _sweep(result: RunResult) -> Sweep | None:
    from workbench.core.parts import read_model
    from workbench.core.sweep_results import Sweep
    from workbench.loop.sweep import last_answer

    artifact = last_answer(result.artifacts)
    return None if artifact is None else read_model(artifact.part("sweep.json"), Sweep)


def _verdict_text(result: RunResult) -> str:
    from workbench.compare.text import render
    from workbench.core.parts import read_model
    from workbench.core.results import Comparison

    assert result.verdict is not None
    lines = []
    if compare := result.artifacts.get("compare"):
        lines.append(render(read_model(compare.part("comparison.json"), Comparison), result.verdict))
    lines.append(f"\nverdict: {result.verdict.state}. {result.verdict.headline}")
    if result.report:
        lines.append(f"report:  {result.report}")
    return "\n".join(lines)


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
