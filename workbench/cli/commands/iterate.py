"""`iterate`: train, find weaknesses, make pairs for them, train again."""

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
    refuse_budget,
    refuse_with_resume,
    spelled,
    start,
)
from workbench.cli.state import Json, Settings
from workbench.core.commands import ITERATE


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(short_help="Train, find weak topics, make pairs, train again.")(iterate)


def iterate(
    context: typer.Context,
    config: LoopFile = None,
    rounds: Annotated[
        int | None, typer.Option("--rounds", min=1, max=20, help="At most so many rounds after a first training.")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option("--seeds", min=1, max=10, help="Trainings per round; three say something.")
    ] = None,
    budget: Annotated[
        str | None, typer.Option("--budget", metavar="2h|N requests", help="Begin no round that would not fit.")
    ] = None,
    resume: Annotated[
        str | None, typer.Option("--resume", metavar="RUN", help="Continue a run that was stopped or killed.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Inconclusive ends in exit code 1.")] = False,
    json: Json = False,
    dry_run: DryRun = False,
    detach: Detach = False,
    quiet: Quiet = False,
    settings: Settings = None,
    run_id: RunId = None,
) -> None:
    """Train, find the topics known worst, make pairs for them, train again from the base; stop when it no longer helps.

    Weak topics are found on documents that are set aside and never trained on; no verdict uses them. The last round
    that passed its gate, and beat the round before, is registered.

    Exit codes: 0 a round passed, or none is conclusive; 1 regressed; 2 usage; 3 incomplete or not comparable; 4
    prerequisite missing.

    \b
    Examples:
      workbench iterate --dry-run
      workbench iterate --rounds 2 --budget 2h
      workbench iterate --resume support-20261122-101500
    """
    refuse_budget(budget, "request")
    if resume is not None:
        given = {"FILE": config, "--set": settings, "--rounds": rounds, "--seeds": seeds, "--budget": budget}
        refuse_with_resume({**given, "--strict": strict})
    chosen = [*(settings or []), *_chosen(rounds, seeds, budget)]
    request = make_request(context.obj.project, config, chosen, resume, strict, verb=ITERATE)
    arguments = ["iterate", *spelled(config, chosen, strict=strict)]
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


def _chosen(rounds: int | None, seeds: int | None, budget: str | None) -> list[str]:
    """The options as settings, so that the run's configuration holds them."""
    found = [] if rounds is None else [f"iterate.rounds={rounds}"]
    found += [] if seeds is None else [f"iterate.seeds={seeds}"]
    return found if budget is None else [*found, f"iterate.budget={json_format.dumps(budget)}"]
