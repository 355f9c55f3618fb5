"""`suite new`, `suite check` and `suite freeze`."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli import output
from workbench.cli.state import Json

if TYPE_CHECKING:
    from workbench.core.paths import Project
    from workbench.loop.suite_checks import SuiteCheck
    from workbench.score.suite_new import NewSuite

suite_app = typer.Typer(help="Suites: make, check and freeze them.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.add_typer(suite_app, name="suite")


@suite_app.command()
def new(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the suite: evals/NAME.yaml and its documents are written.")],
    file: Annotated[Path | None, typer.Argument(help="Rows (JSON Lines) to make it from.")] = None,
    task: Annotated[str | None, typer.Option("--task", help="Or a standard benchmark: gsm8k, mmlu, bbh ...")] = None,
    kind: Annotated[str | None, typer.Option("--kind", help="In place of what the rows look like.")] = None,
    role: Annotated[str | None, typer.Option("--role", help="target, general, safety or anchor.")] = None,
    metric: Annotated[str | None, typer.Option("--metric", help="The metric that decides.")] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Rows from the start, of each part.")] = None,
    subset: Annotated[list[str] | None, typer.Option("--subset", help="Part of the benchmark; repeatable.")] = None,
    fewshot: Annotated[int | None, typer.Option("--fewshot", min=0, help="Examples before each question.")] = None,
    documents: Annotated[
        Path | None, typer.Option("--documents", help="The benchmark's rows: a file, or a folder with one per part.")
    ] = None,
    fewshot_documents: Annotated[
        Path | None, typer.Option("--fewshot-documents", help="The rows that examples are drawn from.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be written, and write nothing.")] = False,
    json: Json = False,
) -> None:
    """Make a suite from a file of rows, or from a standard benchmark by name.

    \b
    Examples:
      workbench suite new my-facts facts.jsonl
      workbench suite new tickets tickets.jsonl --kind judge --limit 100 --dry-run
      workbench suite new gsm8k --task gsm8k --limit 200
      workbench suite new mmlu-bio --task mmlu --subset anatomy --subset virology --fewshot 5
      workbench suite new gsm8k --task gsm8k --documents test.jsonl --fewshot-documents train.jsonl
    """
    from workbench.core.errors import UsageError
    from workbench.score.suite_new import from_rows

    if (file is None) == (task is None):
        raise UsageError("give a file of rows, or a benchmark with --task", where="suite new")
    of_task = {
        "--subset": subset or None,
        "--fewshot": fewshot,
        "--documents": documents,
        "--fewshot-documents": fewshot_documents,
    }
    wrong = [option for option, value in of_task.items() if value is not None and task is None]
    if wrong or (kind and task):
        option = wrong[0] if wrong else "--kind"
        raise UsageError(f"{option} goes {'with' if wrong else 'without'} --task", where="suite new")
    directory = _suites_dir(context.obj.project)
    if task is None:
        assert file is not None, "one of the two is given"
        made = from_rows(name, file, directory, kind=kind, role=role, metric=metric, limit=limit)
        if not dry_run:
            made.write(directory)
        _tell_new(made, directory, dry_run=dry_run, json=json)
        return
    from workbench.score.standard_new import Request, standard_suite

    request = Request(
        task, tuple(subset or ()), limit, fewshot, documents, fewshot_documents, role or "general", metric
    )
    standard = standard_suite(name, request, directory)
    if not dry_run:
        standard.write(directory)
    _tell_new(standard.new, directory, dry_run=dry_run, json=json)


@suite_app.command()
def check(
    context: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(help="Suites; default: all under evals/.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Settings and files only: no lm-eval, no tokens.")] = False,
    json: Json = False,
) -> None:
    """Say what is wrong with suites and what they cost, without loading a model.

    \b
    Examples:
      workbench suite check
      workbench suite check my-facts --json
    """
    from workbench.core.errors import UsageError
    from workbench.loop.suite_checks import check_suites

    checks = check_suites(context.obj.project, names, quick=quick)
    if not checks:
        directory = _suites_dir(context.obj.project)
        raise UsageError("there are no suites", where=str(directory), next_step="workbench suite new NAME FILE.jsonl")
    if json:
        output.print_json({"suites": [one.model_dump(mode="json") for one in checks]})
    else:
        for one in checks:
            _tell_check(one)
    if code := max((one.exit_code for one in checks), default=0):
        raise typer.Exit(code)


@suite_app.command()
def freeze(
    context: typer.Context,
    items: Annotated[Path, typer.Argument(help="Candidate items (JSON Lines with question, choices, answer).")],
    out: Annotated[Path, typer.Option("-o", "--output", help="Frozen items go here, NAME.yaml beside it if new.")],
    margin: Annotated[float, typer.Option("--margin", min=0, help="Least log-likelihood margin, in nats.")] = 0.5,
    must_pass: Annotated[
        float | None, typer.Option("--must-pass", min=0, help="Margin in nats from which an item may never fail.")
    ] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", help="Label of a new suite; repeatable.")] = None,
    owner: Annotated[list[str] | None, typer.Option("--owner", help="Who is asked when it regresses.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="In place of the project's model.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be kept, and write nothing.")] = False,
    json: Json = False,
) -> None:
    """Keep the items that the base gets right under every rotation of the choices, with a likelihood margin.

    \b
    Example:
      workbench suite freeze candidates.jsonl -o evals/basics.jsonl --margin 2 --must-pass 8 --owner ml-team
    """
    from workbench.core.config import ModelConfig
    from workbench.core.events import NodeProgress, NodeStarted
    from workbench.loop.suite_checks import base_of
    from workbench.score.freeze import freeze_items

    project: Project = context.obj.project
    with closing(output.RunDisplay(quiet=json or not os.isatty(2), nodes=1)) as display:
        display(NodeStarted(node="freeze", fingerprint=""))
        frozen = freeze_items(
            items,
            out,
            base_of(project) if model is None else ModelConfig(ref=context.obj.from_here(model)),
            project.root,
            margin=margin,
            must_pass=must_pass,
            tags=tuple(tag or ()),
            owners=tuple(owner or ()),
            dry_run=dry_run,
            on_batch=lambda what, done, total: display(
                NodeProgress(node="freeze", done=done, total=total, unit="rows", message=what)
            ),
        )
    if json:
        output.print_json(frozen.model_dump(mode="json"))
        return
    done = "would be frozen" if dry_run else "frozen"
    output.print_text(f"{frozen.kept} of {frozen.candidates} items {done} to {out}, {frozen.must_pass} must pass")
    output.print_text(
        f"the base's own A/A arm gets {frozen.noise_flips} wrong: allowed_failures {frozen.allowed_failures} suggested"
    )


def _suites_dir(project: Project) -> Path:
    from workbench.loop.settings import suites_dir

    return project.root / suites_dir(project)


def _tell_new(made: NewSuite, directory: Path, *, dry_run: bool, json: bool) -> None:
    from workbench.score.suite_new import suite_yaml

    if json:
        output.print_json(
            {
                "suite": made.suite.model_dump(mode="json"),
                "documents": len(made.rows),
                "examples": len(made.examples),
                "notes": made.notes,
                "written": not dry_run,
            }
        )
        return
    for note in made.notes:
        output.say(f"note: {output.clean(note)}")
    output.print_text(suite_yaml(made.suite))
    where = directory / f"{made.suite.name}.yaml"
    output.say(f"{'would write' if dry_run else 'wrote'} {where} and {len(made.rows)} documents")
    if not dry_run:
        output.say(f"next: name it under score.suites; workbench suite check {made.suite.name}")


def _tell_check(one: SuiteCheck) -> None:
    count = "made by its dataset" if one.documents is None else f"{one.documents} documents"
    if one.exit_code and one.documents is None:
        count = "not usable"
    pieces = [count]
    if one.tokens_read is not None:
        written = f" + up to {one.tokens_generated:,} written" if one.tokens_generated else ""
        pieces.append(f"{one.tokens_read:,} tokens{written} an arm")
    if one.seconds is not None:
        pieces.append(f"about {one.seconds:,.0f} s")
    if one.base is not None:
        pieces.append(f"base {one.base:.3g}")
    gated = "gated" if one.gated else "shown"
    output.print_text(f"{one.suite:<26} {one.kind:<11} {one.role:<8} {gated:<6} {', '.join(pieces)}")
    for found in one.findings:
        output.print_text(f"  {found.level}: {output.clean(found.text)}")
