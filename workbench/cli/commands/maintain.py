"""`store` and `gc`: the index and the disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli import output
from workbench.cli.state import Json

if TYPE_CHECKING:
    from workbench.core.paths import Project

store_app = typer.Typer(help="The DuckDB index: rebuild it, ask it.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.add_typer(store_app, name="store")
    app.command(short_help="Delete artifacts that no run refers to.")(gc)


@store_app.command()
def rebuild(context: typer.Context, json: Json = False) -> None:
    """Make the index again from artifacts, runs and decisions.

    \b
    Example:
      workbench store rebuild
    """
    from workbench.store.loader import rebuild as rebuild_index

    rebuilt = rebuild_index(context.obj.project)
    for problem in rebuilt.problems:
        output.say(f"warning: left out: {problem}")
    if json:
        output.print_json({"rows": rebuilt.rows, "problems": list(rebuilt.problems)})
        return
    for table, rows in rebuilt.rows.items():
        output.print_text(f"{table:<20} {rows}")


@store_app.command()
def query(context: typer.Context, sql: Annotated[str, typer.Argument(help="One query.")], json: Json = False) -> None:
    """Ask the index in SQL (read-only, without access to files).

    \b
    Examples:
      workbench store query "select suite, count(*) from samples group by suite"
      workbench store query "from funnel_reasons" --json
    """
    from workbench.store.queries import query as run_query

    columns, rows = run_query(context.obj.project.index, sql)
    if json:
        output.print_json({"columns": columns, "rows": [list(row) for row in rows]})
        return
    from workbench.core.wire import printable

    output.print_text("\t".join(columns))
    for row in rows:
        output.print_text("\t".join("" if value is None else printable(str(value)) for value in row))


@store_app.command()
def tables(context: typer.Context) -> None:
    """Names of the tables.

    \b
    Example:
      workbench store tables
    """
    from workbench.store.queries import query as run_query

    _, rows = run_query(context.obj.project.index, "select table_name from information_schema.tables order by 1")
    output.print_text("\n".join(str(row[0]) for row in rows))


def gc(
    context: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", help="Delete; without it nothing is touched.")] = False,
    scores: Annotated[
        float | None,
        typer.Option(
            "--scores", min=0, metavar="DAYS", help="Also cached scores of arms that were not scored for so many days."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Find artifacts and scratch that no run refers to; delete them with --yes.

    \b
    Examples:
      workbench gc
      workbench gc --scores 30 --yes
    """
    from workbench.loop.collect import find_garbage, remove

    project: Project = context.obj.project
    garbage = find_garbage(project, scores)
    if yes:
        remove(garbage)
    if json:
        paths = [str(path) for path in garbage.paths]
        output.print_json({"paths": paths, "size_bytes": garbage.size_bytes, "deleted": yes})
        return
    verb = "deleted" if yes else "could be deleted (with --yes)"
    output.print_text(f"{len(garbage.paths)} files and directories, {garbage.size_bytes / 1e6:.1f} MB {verb}")
