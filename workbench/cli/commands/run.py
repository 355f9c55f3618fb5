"""`demo`, `init`, `run`, and the stages alone: `synth`, `score`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli import output
from workbench.cli.starting import (
    Detach,
    DryRun,
    LoopFile,
    Quiet,
    Request,
    RunId,
    make_request,
    spelled,
    start,
)
from workbench.cli.state import Json, Settings
from workbench.core.commands import DEMO

if TYPE_CHECKING:
    from workbench.core.paths import Project


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    app.command()(demo)
    app.command(short_help="A new project: configuration, suites, dataset cards.")(init)
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

    Works in the project directory if it is a fresh starter, else in workbench-demo below it.

    Exit codes: 0 done, whatever the verdict, 2 usage, 3 incomplete, 4 prerequisite missing.

    \b
    Examples:
      workbench demo
      workbench demo --detach
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
    """A new project: workbench.yaml, suites and dataset cards to start from. Nothing that is there is overwritten.

    \b
    Example:
      workbench init support
    """
    from workbench.loop.starter import create_project

    written = create_project(directory.absolute())
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

    \b
    Examples:
      workbench run
      workbench run --dry-run
      workbench run nightly.yaml --set train.max_steps=30 --json
      workbench run --resume support-20261122-101500
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
    """Up to the synthetic pairs (the same as: run --until synth).

    \b
    Example:
      workbench synth --dry-run
    """
    _until(context, "synth", config, settings, json, dry_run)


def score(
    context: typer.Context,
    config: LoopFile = None,
    settings: Settings = None,
    json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Up to the scores of all arms (the same as: run --until score).

    \b
    Example:
      workbench score --set score.batch_size=8
    """
    _until(context, "score", config, settings, json, dry_run)


def _until(
    context: typer.Context, stage: str, config: Path | None, settings: list[str] | None, json: bool, dry_run: bool
) -> None:
    request = make_request(context.obj.project, config, settings or [], None, strict=False).limited(last=stage)
    raise typer.Exit(start(request, json=json, dry_run=dry_run, detach=False, quiet=False, run_id=None, arguments=[]))
