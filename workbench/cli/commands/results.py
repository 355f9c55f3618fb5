"""`compare`, `report` and `runs`: what has been measured, and what was decided about it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli import output
from workbench.cli.state import Json

if TYPE_CHECKING:
    from workbench.core.paths import Project
    from workbench.loop.runs import RunView

runs_app = typer.Typer(help="Runs: list, look, follow, stop.", no_args_is_help=True)

RunName = Annotated[str, typer.Argument(help="A run's id: workbench runs list.")]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command(short_help="Compare two scored arms: table, flips, verdict.")(compare)
    app.command(short_help="Write a run's page again, or sign it.")(report)
    app.add_typer(runs_app, name="runs")


def compare(
    context: typer.Context,
    before: Annotated[str, typer.Argument(help="RUN:ARM, or RUN for its deciding arm.")],
    after: Annotated[str, typer.Argument(help="RUN:ARM, or RUN for its deciding arm.")],
    json: Json = False,
) -> None:
    """Compare two scored arms, of one run or of two: paired table, flips, verdict.

    Exit codes: 0 passed or inconclusive, 1 regressed, 2 usage, 3 not comparable.

    \b
    Examples:
      workbench compare demo-20261122-101500:base@nf4 demo-20261122-101500:candidate
      workbench compare monday-20261116-030000 tuesday-20261117-030000 --json
    """
    from workbench.compare.samples import compare_arms
    from workbench.compare.text import render
    from workbench.gate.verdict import decide
    from workbench.loop.scored import config_of, scored_arm, suites_of

    project: Project = context.obj.project
    left, right = scored_arm(project, before), scored_arm(project, after)
    suites, config = suites_of(project, after), config_of(project, after)
    comparison, flips = compare_arms(left, right, suites, compare=config.compare, gate=config.gate)
    verdict = decide(comparison, config.gate, suites)
    if json:
        output.print_json(
            {
                "comparison": comparison.model_dump(mode="json"),
                "verdict": verdict.model_dump(mode="json"),
                "flips": [flip.model_dump(mode="json") for flip in flips],
            }
        )
    else:
        output.print_text(render(comparison, verdict))
        output.print_text(f"\nverdict: {verdict.state}. {verdict.headline}")
    raise typer.Exit(verdict.exit_code)


def report(
    context: typer.Context,
    run: RunName,
    sign: Annotated[
        Path | None, typer.Option("--sign", metavar="DECISION.json", help="Record a reviewer's decision.")
    ] = None,
    json: Json = False,
) -> None:
    """Write the reviewer's page of a run again, or record the reviewer's decision on it.

    Exit codes: 0 done, 2 usage or a decision on another report, 3 the run has no report yet.

    \b
    Examples:
      workbench report demo-20261122-101500
      workbench report demo-20261122-101500 --sign DECISION.json
    """
    from workbench.core.errors import IncompleteError
    from workbench.loop.decisions import append_decision
    from workbench.loop.publish import publish
    from workbench.loop.runs import continuation, read_run
    from workbench.loop.scored import run_artifact
    from workbench.report.sign import read_decision

    project: Project = context.obj.project
    artifact = run_artifact(project, run, "report")
    if artifact is None and sign is None and (page := _answer_again(project, run)) is not None:
        output.print_json({"report": str(page)}) if json else output.print_text(str(page))
        return
    if artifact is None:
        step = continuation(run, read_run(project, run).command)
        raise IncompleteError("the run has no report yet", where=run, next_step=step)
    if sign is not None:
        decision = read_decision(sign, artifact)
        append_decision(project, decision)
        output.print_json({"decision": decision.model_dump(mode="json")}) if json else output.print_text(
            f"recorded: {decision.verdict} by {decision.who}"
        )
        return
    page = publish(project, run, artifact, "report.html")
    output.print_json({"report": str(page)}) if json else output.print_text(str(page))


def _answer_again(project: Project, run: str) -> Path | None:
    """The page of a sweep, an ablation or rounds, written again; None if the run is none of these, or has no answer."""
    from workbench.loop.iterate_course import publish_again
    from workbench.loop.plan import ABLATION
    from workbench.loop.publish import publish
    from workbench.loop.scored import run_artifact
    from workbench.loop.sweep_course import publish_sweep, swept_artifact

    if (swept := swept_artifact(project, run)) is not None:
        return publish_sweep(project, run, swept)
    if (ablation := run_artifact(project, run, ABLATION)) is not None:
        return publish(project, run, ablation, "ablation.md")
    return publish_again(project, run)


@runs_app.command("list")
def list_(context: typer.Context, json: Json = False) -> None:
    """All runs, newest first.

    \b
    Example:
      workbench runs list --json
    """
    from workbench.loop.runs import list_runs

    runs = list_runs(context.obj.project)
    if json:
        output.print_json({"runs": [_row(run) for run in runs]})
        return
    if not runs:
        output.say("no runs yet; start with: workbench demo")
    for run in runs:
        output.print_text(f"{run.run:<36} {run.status:<10} {run.created_at:<26} {_one_line(run.message)}")


@runs_app.command()
def show(context: typer.Context, run: RunName, json: Json = False) -> None:
    """One run, node by node.

    \b
    Example:
      workbench runs show demo-20261122-101500
    """
    from workbench.loop.runs import read_run

    view = read_run(context.obj.project, run)
    if json:
        output.print_json(_row(view))
        return
    output.print_text(f"{view.run}  {view.status}  {_one_line(view.message)}")
    for node in view.nodes:
        seconds = "" if node.seconds is None else f"{node.seconds:.1f} s"
        output.print_text(f"  {node.name:<28} {node.status:<8} {seconds:>10}  {_one_line(node.message)}")


@runs_app.command()
def attach(context: typer.Context, run: RunName) -> None:
    """Follow a job until it ends; ends with the job's exit code (3 if it left none). Ctrl-C leaves the job running.

    \b
    Example:
      workbench runs attach demo-20261122-101500
    """
    from workbench.loop.attach import follow
    from workbench.loop.runs import read_run

    project: Project = context.obj.project
    display = output.RunDisplay()
    try:
        follow(project, run, display)
    finally:
        display.close()
    view = read_run(project, run)
    output.say(f"{view.status}: {_one_line(view.message)}")
    raise typer.Exit(3 if view.exit_code is None else view.exit_code)


@runs_app.command()
def cancel(context: typer.Context, run: RunName) -> None:
    """Stop a running job; it keeps what it can continue from.

    \b
    Example:
      workbench runs cancel demo-20261122-101500
    """
    from workbench.loop.jobs import cancel as cancel_job
    from workbench.loop.runs import continuation, read_run

    cancel_job(context.obj.project, run)
    output.say(f"asked {run} to stop; later {continuation(run, read_run(context.obj.project, run).command)}")


def _row(view: RunView) -> dict[str, object]:
    from dataclasses import asdict

    return asdict(view)


def _one_line(text: str) -> str:
    from workbench.core.wire import printable

    return printable(text.replace("\n", " | "))[:300]
