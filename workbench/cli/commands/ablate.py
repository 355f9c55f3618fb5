"""`ablate`: does a filter help, or would a random drop of the same size have done as well?"""

from __future__ import annotations

import json as json_format
from typing import Annotated

import typer

from workbench.cli.starting import (
    Detach,
    DryRun,
    LoopFile,
    Quiet,
    RunId,
    make_request,
    refuse_with_resume,
    spelled,
    start,
)
from workbench.cli.state import Json, Settings
from workbench.core.commands import ABLATE


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(short_help="Does a filter help? Trainings with and without it.")(ablate)


def ablate(
    context: typer.Context,
    config: LoopFile = None,
    seeds: Annotated[int | None, typer.Option("--seeds", min=1, help="Trainings per arm; three say something.")] = None,
    arms: Annotated[
        str | None, typer.Option("--arms", metavar="A,B,...", help="Of all, filtered, random, dropped.")
    ] = None,
    filters: Annotated[
        list[str] | None,
        typer.Option("--filter", metavar="NAME", help="Ask about this filter or reason alone; may be repeated."),
    ] = None,
    resume: Annotated[
        str | None, typer.Option("--resume", metavar="RUN", help="Continue an ablation that was stopped or killed.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Filters that hurt end in exit code 1.")] = False,
    json: Json = False,
    dry_run: DryRun = False,
    detach: Detach = False,
    quiet: Quiet = False,
    settings: Settings = None,
    run_id: RunId = None,
) -> None:
    """Does a filter help? Train on the filtered rows and on a random part of equal size, and compare.

    Exit codes: 0 done, whatever the answer (1 with --strict if the filters hurt), 2 usage, 3 incomplete or nothing was
    dropped, 4 prerequisite missing.

    \b
    Examples:
      workbench ablate --dry-run
      workbench ablate --seeds 5
      workbench ablate --filter repetition
    """
    if resume is not None:
        given = {"FILE": config, "--set": settings, "--seeds": seeds, "--arms": arms, "--filter": filters}
        refuse_with_resume({**given, "--strict": strict})
    chosen = [*(settings or []), *_chosen(seeds, arms, filters)]
    request = make_request(context.obj.project, config, chosen, resume, strict, verb=ABLATE)
    arguments = ["ablate", *spelled(config, chosen, strict=strict)]
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


def _chosen(seeds: int | None, arms: str | None, filters: list[str] | None) -> list[str]:
    """The options as settings, so that the run's configuration holds them."""
    found = [] if seeds is None else [f"ablate.seeds={seeds}"]
    if arms is not None:
        found.append(f"ablate.arms={json_format.dumps([arm.strip() for arm in arms.split(',')])}")
    if filters:
        found.append(f"ablate.filters={json_format.dumps(filters)}")
    return found
