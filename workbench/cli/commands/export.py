"""`adapters export` and `adapters upload`: a verified model for others to run, and the hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from workbench.cli import output
from workbench.cli.state import Json

if TYPE_CHECKING:
    from workbench.adapters.export.make import ExportPlan
    from workbench.adapters.export.record import ExportRecord


Choice = TypeVar("Choice", bound=str)


def register(app: typer.Typer) -> None:
    """Adds the commands to the group `adapters`."""
    app.command()(export)
    app.command()(upload)


def export(
    context: typer.Context,
    adapter: Annotated[str, typer.Argument(metavar="NAME@VERSION|DIR", help="Registered adapter, slot, or directory.")],
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="New directory to write.")],
    format: Annotated[
        str, typer.Option("--format", help="merged, gguf-f16, gguf-q8_0, gguf-q4_k_m, adapter.")
    ] = "merged",
    base: Annotated[
        str, typer.Option("--base", help="Weights to merge into: `full` (as published) or `dequantised` (NF4).")
    ] = "full",
    name: Annotated[str | None, typer.Option("--name", help="Name of the model; default: the adapter's.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check what can be checked, write nothing.")] = False,
    json: Json = False,
) -> None:
    """Write an adapter as a model that others can run, compared with the adapter before it is published.

    Logits, first choices and perplexity of what was written are compared with those of the adapter as it was scored;
    past the documented limits nothing is written.

    Exit codes: 0 written, 2 usage or a method, architecture or tokenizer that cannot be exported so, 3 the export is
    not the adapter, 4 prerequisite missing.

    \b
    Examples:
      workbench adapters export support@production --to out
      workbench adapters export support@3 --to out --format gguf-q8_0
      workbench adapters export support@3 --to out --base dequantised --dry-run
      workbench adapters export runs/adapter --to out --format adapter
    """
    from workbench.adapters.export.make import export as make
    from workbench.adapters.export.make import plan_export
    from workbench.adapters.export.record import BASES, FORMATS
    from workbench.adapters.registry import resolve
    from workbench.loop.exporting import artifacts_behind
    from workbench.loop.run import utc_now

    chosen = _known("--format", format, FORMATS), _known("--base", base, BASES)
    project = context.obj.project
    found = resolve(project, context.obj.from_here(adapter))
    called = _checked_name(name or found.name)
    inputs = artifacts_behind(project, found)
    plan = plan_export(found, inputs, called, to.absolute(), *chosen, project.root)
    if dry_run:
        _show_plan(plan, json=json)
        return
    record = make(plan, project.root, at=utc_now(), say=output.say)
    _show(record, plan.target, json=json)


def upload(
    context: typer.Context,
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Directory that `adapters export` wrote.")],
    repository: Annotated[str, typer.Argument(metavar="ORG/NAME", help="Repository on the hub.")],
    public: Annotated[bool, typer.Option("--public", help="Create it public; default: private.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would be sent, and send nothing.")] = False,
    json: Json = False,
) -> None:
    """Send an export to the hub: the files that were verified, and nothing else. The token comes from HF_TOKEN.

    Exit codes: 0 sent, 2 usage, 3 files changed since the export, 4 no token, refused or unreachable.

    \b
    Examples:
      workbench adapters upload out my-org/support --dry-run
      workbench adapters upload out my-org/support --public
    """
    from workbench.adapters.export.upload import plan_upload
    from workbench.adapters.export.upload import upload as send

    plan = plan_upload(directory, repository, private=not public)
    files = [{"path": part.path, "size_bytes": part.size_bytes, "sha256": part.sha256} for part in plan.files]
    address = None
    if not dry_run:
        output.say(f"sending {len(plan.files)} files, {plan.size_bytes / 1e6:.1f} MB, to {repository}")
        address = send(plan)
    if json:
        about = {"repository": repository, "private": plan.private, "dry_run": dry_run, "address": address}
        output.print_json({**about, "files": files})
        return
    for part in plan.files:
        output.print_text(f"{part.size_bytes / 1e6:10.1f} MB  {part.sha256[:12]}  {output.clean(part.path)}")
    kind = "private" if plan.private else "public"
    output.print_text(address or f"would be sent to {repository} ({kind}): {plan.size_bytes / 1e6:.1f} MB")


def _known(option: str, typed: str, choices: tuple[Choice, ...]) -> Choice:
    """What was typed, if it is one of `choices`."""
    from workbench.core.errors import UsageError

    for choice in choices:
        if choice == typed:
            return choice
    raise UsageError(f"{typed!r} is not known", where=option, next_step=f"take one of {', '.join(choices)}")


def _checked_name(name: str) -> str:
    """A name becomes a file name and a served model's name."""
    from pydantic import TypeAdapter, ValidationError

    from workbench.core.cards import Name
    from workbench.core.errors import UsageError

    try:
        return TypeAdapter(Name).validate_python(name)
    except ValidationError:
        raise UsageError(
            f"{name!r} cannot name a model",
            where="--name",
            next_step="letters, digits, dot, dash and underscore, a letter or digit first",
        ) from None


def _show_plan(plan: ExportPlan, *, json: bool) -> None:
    about = {
        "adapter": plan.adapter.reference,
        "name": plan.name,
        "format": plan.format,
        "merged_into": None if plan.format == "adapter" else plan.base,
        "base": plan.adapter.base,
        "base_licence": plan.licence,
        "target": str(plan.target),
        "files": list(plan.files),
        "about_bytes": plan.about_bytes,
    }
    if json:
        output.print_json({"dry_run": True, **about})
        return
    size = "unknown size" if plan.about_bytes is None else f"about {plan.about_bytes / 1e6:.0f} MB"
    merged = "" if plan.format == "adapter" else f", merged into the {plan.base} weights of {plan.adapter.base}"
    output.print_text(f"{plan.adapter.reference} as {plan.format}{merged}")
    output.print_text(f"would write {', '.join(plan.files)} to {plan.target} ({size})")


def _show(record: ExportRecord, target: Path, *, json: bool) -> None:
    from workbench.adapters.export.verify import in_words

    if json:
        output.print_json({"target": str(target), "export": record.model_dump(mode="json")})
        return
    for check in record.checks:
        output.print_text(in_words(check))
    if record.tensors is not None:
        output.print_text(f"{record.tensors} tensors read back, each within the rounding of its format")
    for remark in record.remarks:
        output.say(f"note: {output.clean(remark)}")
    for part in record.files:
        output.print_text(f"{part.size_bytes / 1e6:10.1f} MB  {output.clean(part.path)}")
    output.print_text(f"written to {target}")
    if record.serve:
        output.print_text(f"serve it: {record.serve}")
