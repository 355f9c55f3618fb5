"""`sweep`: which settings are worth having, over several seeds, within a budget?"""

from __future__ import annotations

import json as json_format
import shlex
from dataclasses import replace
from typing import Annotated

import typer

from workbench.cli.starting import (
    Detach,
    DryRun,
    LoopFile,
    Quiet,
    Request,
    RunId,
    make_request,
    refuse_budget,
    refuse_with_resume,
    start,
)
from workbench.cli.state import Json
from workbench.core.commands import SWEEP


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(short_help="Try settings: learning against forgetting.")(sweep)


def sweep(
    context: typer.Context,
    config: LoopFile = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=A,B,...",
            help="Values to try, e.g. train.rank=8,16; with one value a setting like any other.",
        ),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option("--seeds", min=1, max=20, help="Trainings per arm; three say something.")
    ] = None,
    random: Annotated[
        int | None, typer.Option("--random", min=1, metavar="N", help="Draw N of the combinations.")
    ] = None,
    budget: Annotated[
        str | None, typer.Option("--budget", metavar="2h|'8 runs'", help="Time, or trainings, for this command.")
    ] = None,
    target: Annotated[
        str | None, typer.Option("--target", metavar="SUITE", help="The target suite that decides.")
    ] = None,
    resume: Annotated[
        str | None, typer.Option("--resume", metavar="RUN", help="Continue a sweep that was stopped or killed.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="No recommendation ends in exit code 1.")] = False,
    json: Json = False,
    dry_run: DryRun = False,
    detach: Detach = False,
    quiet: Quiet = False,
    run_id: RunId = None,
) -> None:
    """Try settings against each other: learning against forgetting, over several seeds, and a recommendation.

    Exit codes: 0 done, with or without a recommendation (1 with --strict if there is none), 2 usage, 3 incomplete or
    not comparable, 4 prerequisite missing.

    \b
    Examples:
      workbench sweep --set train.rank=8,16,32 --set train.learning_rate=1e-4,2e-4 --dry-run
      workbench sweep --set train.method=qlora,dora --seeds 3 --budget 2h
      workbench sweep --resume RUN --budget 4h
      workbench sweep --set mix.replay.share=0,0.05,0.1 --set "mix.replay.datasets=[general]"
      workbench sweep --set "data=[docs],[docs, tickets]" --seeds 5
    """
    typed = settings or []
    refuse_budget(budget, "run")
    options = _options(typed, seeds, random, budget, target)
    if resume is not None:
        given = {"FILE": config, "--set": typed, "--seeds": seeds, "--random": random, "--target": target}
        refuse_with_resume({**given, "--strict": strict})
        request = make_request(context.obj.project, None, [], resume, strict=False, verb=SWEEP)
        _refuse_first_budget(request, budget)
        request = replace(request, settings=_settings([], None, None, budget, None))
    else:
        chosen = _settings(typed, seeds, random, budget, target)
        request = make_request(context.obj.project, config, chosen, None, strict, SWEEP)
        _refuse_fixed_axes(request, typed)
        words = [*([str(config)] if config else []), *options, *(["--strict"] if strict else [])]
        request = replace(request, command=" ".join([SWEEP, *map(shlex.quote, words)]))
    file = [str(config.absolute())] if config else []
    raise typer.Exit(
        start(
            request,
            json=json,
            dry_run=dry_run,
            detach=detach,
            quiet=quiet,
            run_id=run_id or resume,
            arguments=["sweep", *file, *options, *(["--strict"] if strict else [])],
        )
    )


def _settings(
    typed: list[str], seeds: int | None, random: int | None, budget: str | None, target: str | None
) -> list[str]:
    """Everything as settings, so that the run's configuration holds it."""
    from workbench.core.errors import UsageError
    from workbench.core.sweeps import axis_of, no_axis

    found, seen = [], set()
    for setting in typed:
        key, axis = setting.partition("=")[0], axis_of(setting)
        if (problem := no_axis(setting)) is not None:
            advice = "sweep one of these; a single value with a comma is quoted: KEY='\"A, B\"'"
            seeds_instead = key in ("seed", "sweep.seeds")
            raise UsageError(problem, where=f"--set {key}", next_step="--seeds 3" if seeds_instead else advice)
        if axis is not None and key in seen:
            step = f"give all values at once: --set {key}=A,B,C"
            problem = f"{key} is given twice, and the later values would replace the others"
            raise UsageError(problem, where="--set", next_step=step)
        seen.add(key)
        found.append(setting if axis is None else f"sweep.axes={json_format.dumps({axis[0]: axis[1]}, default=str)}")
    own = {"seeds": seeds, "random": random, "budget": budget, "target": target}
    return found + [f"sweep.{key}={json_format.dumps(value)}" for key, value in own.items() if value is not None]


def _options(
    typed: list[str], seeds: int | None, random: int | None, budget: str | None, target: str | None
) -> list[str]:
    """The options again as they were typed."""
    words = [word for setting in typed for word in ("--set", setting)]
    own = {"--seeds": seeds, "--random": random, "--budget": budget, "--target": target}
    return words + [word for option, value in own.items() if value is not None for word in (option, str(value))]


def _refuse_first_budget(request: Request, budget: str | None) -> None:
    """UsageError for a budget where the run had none: where a sweep may stop is part of its plan."""
    from workbench.core.errors import UsageError
    from workbench.loop.settings import load_config

    if budget is not None and load_config(request.config_file, [], {}).sweep.budget is None:
        raise UsageError(
            f"{request.resume} was planned without a budget",
            where="--budget",
            next_step=f"a new run takes what was done from the cache: {request.command} --budget {shlex.quote(budget)}",
        )


def _refuse_fixed_axes(request: Request, typed: list[str]) -> None:
    """UsageError for one typed value of a key that the file sweeps: the file's values would replace it."""
    from workbench.core.errors import UsageError
    from workbench.core.sweeps import axis_of
    from workbench.loop.settings import load_config

    axes = load_config(request.config_file, request.settings).sweep.axes
    for setting in typed:
        key = setting.partition("=")[0]
        if key in axes and axis_of(setting) is None:
            raise UsageError(
                f"{key} is swept by sweep.axes of the file, so one value for it has no effect",
                where="--set",
                next_step=f"--set 'sweep.axes={{{key}: [VALUE]}}', or several values: --set {key}=A,B",
            )
