"""`restore`: take back records that curation dropped; the next run keeps them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli import output
from workbench.cli.state import Json

if TYPE_CHECKING:
    from workbench.core.paths import Project


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(short_help="Keep records that curation dropped.")(restore)


def restore(
    context: typer.Context,
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID", help="Ids of dropped records.")] = None,
    reason: Annotated[str | None, typer.Option("--reason", help="Why they should be kept.")] = None,
    who: Annotated[str | None, typer.Option("--who", help="Who decides; default: the user's name.")] = None,
    withdraw: Annotated[
        list[str] | None, typer.Option("--withdraw", metavar="ID", help="Take the restoring of this record back.")
    ] = None,
    list_all: Annotated[bool, typer.Option("--list", help="Show what is restored.")] = False,
    json: Json = False,
) -> None:
    """Keep records that curation dropped: no reason drops them in the next run.

    Ids stand in dropped.jsonl of the run, in the file of `curate --dropped`, and in the index (table drops).

    \b
    Examples:
      workbench restore 0a1b2c3d4e5f6071 --reason "a poem may repeat itself"
      workbench restore --list
      workbench restore --withdraw 0a1b2c3d4e5f6071
    """
    from workbench.core.errors import UsageError
    from workbench.loop.restoring import restore_records, restored, withdraw_records

    project: Project = context.obj.project
    if sum((bool(ids), bool(withdraw), list_all)) != 1:
        raise UsageError(
            "give ids to restore, or --withdraw ID, or --list", next_step="workbench restore ID --reason TEXT"
        )
    if ids:
        made = restore_records(project, ids, reason or "", who)
    elif withdraw:
        made = withdraw_records(project, withdraw, reason or "", who)
    else:
        made = restored(project)
    if json:
        output.print_json({"decisions": [decision.model_dump(mode="json") for decision in made]})
        return
    for decision in made:
        note = f": {output.clean(decision.note)}" if decision.note else ""
        who = output.clean(decision.who)
        output.print_text(f"{decision.verdict:<8}  {decision.target}  {decision.at}  by {who}{note}")
    if not made:
        output.say("nothing is restored")
    elif not list_all:
        output.say("the next run, or `workbench curate`, goes by it")
