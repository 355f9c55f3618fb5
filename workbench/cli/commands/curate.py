"""`curate FILE`: clean one file, with no configuration at all."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli import output
from workbench.cli.commands.run import Request, start_plan
from workbench.cli.state import Json, Settings

if TYPE_CHECKING:
    from workbench.core.cards import Card
    from workbench.core.paths import Project
    from workbench.core.stage import Artifact


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(curate)


def curate(
    context: typer.Context,
    file: Annotated[str, typer.Argument(help="File, folder or glob: JSONL, JSON, CSV, TSV, Parquet, text.")],
    out: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write the kept records here (.jsonl or .parquet).")
    ] = None,
    suites: Annotated[
        list[str] | None, typer.Option("--suite", help="Decontaminate against this suite of the project.")
    ] = None,
    format: Annotated[str, typer.Option("--format", help="Shape of the rows; `auto` looks.")] = "auto",
    settings: Settings = None,
    json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Clean one file: duplicates, filters, decontamination; prints what was dropped and why.

    Examples: workbench curate data.jsonl; workbench curate 'data/*.csv' -o clean.parquet
    """
    from workbench.curate.export import check_export, write_export
    from workbench.loop.plan import build_curate_plan
    from workbench.loop.settings import with_settings

    if out is not None:
        check_export(out)
    project: Project = context.obj.project
    config = with_settings({"name": "curate", "score": {"suites": suites or []}}, settings or [])
    card = _card(file, format)
    plan = build_curate_plan(config, project.root, card)
    request = Request(project, project.root, [], command=f"workbench curate {file}")
    result = start_plan(request, config, plan, {node.name for node in plan.nodes}, None, quiet=quiet or json)
    if result.exit_code != 0:
        output.say(f"{result.status}: {result.message}")
        raise typer.Exit(result.exit_code)
    curated = result.artifacts["curate"]
    if out is not None:
        rows = write_export(curated.part("records.jsonl"), out)
        output.say(f"{rows} records written to {out}")
    _show(curated, result.artifacts[f"ingest:{card.name}"], json=json, out=out)


def _card(file: str, format: str) -> Card:
    from workbench.core.cards import Card
    from workbench.core.yamlfile import validate

    stem = re.sub(r"[^A-Za-z0-9._-]", "-", Path(file).stem).strip("-.") or "data"
    path = str(Path(file).absolute())
    values = {"name": stem[:64], "source": {"kind": "file", "path": path}, "format": format, "heldout_fraction": 0}
    return validate(values, Card, file="command line")


def _show(curated: Artifact, ingested: Artifact, *, json: bool, out: Path | None) -> None:
    from workbench.core.parts import read_model, read_rows
    from workbench.core.records import Edge
    from workbench.core.results import Funnel
    from workbench.curate.summary import render_funnel

    funnel = read_model(curated.part("funnel.json"), Funnel)
    if json:
        output.print_json(
            {
                "funnel": funnel.model_dump(mode="json"),
                "ingest": ingested.manifest.summary,
                "artifact": str(curated.path),
                "output": str(out) if out else None,
            }
        )
        return
    output.print_text(render_funnel(funnel, list(read_rows(curated.part("edges.jsonl"), Edge))))
    output.say(f"every dropped row with its reasons: {curated.part('dropped.jsonl')}")
