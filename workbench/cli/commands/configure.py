"""`config` and `doctor`: what can be set, what is set, what is installed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from workbench.cli import output
from workbench.cli.state import Json, Settings

config_app = typer.Typer(help="The configuration: its schema, its reference, its values.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.add_typer(config_app, name="config")
    app.command()(doctor)


@config_app.command()
def schema() -> None:
    """JSON Schema of workbench.yaml, for editors.

    \b
    Example:
      workbench config schema > workbench.schema.json
    """
    import json

    from workbench.core.config import LoopConfig

    output.print_text(json.dumps(LoopConfig.model_json_schema(), indent=2))


@config_app.command()
def reference() -> None:
    """Every key with its type, default and meaning, as Markdown.

    \b
    Example:
      workbench config reference | less
    """
    from workbench.loop.reference import config_reference

    output.print_text(config_reference())


@config_app.command()
def show(
    context: typer.Context,
    file: Annotated[Path | None, typer.Argument(help="Configuration; default: workbench.yaml of the project.")] = None,
    settings: Settings = None,
    json: Json = False,
) -> None:
    """The resolved configuration: file, environment and --set together.

    \b
    Examples:
      workbench config show
      workbench config show nightly.yaml --set train.rank=8 --json
    """
    import yaml

    from workbench.core.fingerprints import fingerprint
    from workbench.loop.settings import PROJECT_FILE, load_config

    resolved = load_config(file or context.obj.project.root / PROJECT_FILE, settings or []).model_dump(mode="json")
    if json:
        output.print_json({"config": resolved, "config_hash": fingerprint(resolved)})
    else:
        output.print_text(yaml.safe_dump(resolved, sort_keys=False, allow_unicode=True))


def doctor(context: typer.Context, json: Json = False) -> None:
    """What is installed and set. Keys are named, never shown.

    Exit codes: 0 all that is needed is there, 4 something is missing.

    \b
    Example:
      workbench doctor
    """
    from workbench.loop.examine import examine

    checks = examine(context.obj.project, os.environ)
    if json:
        output.print_json({"checks": [check.as_dict() for check in checks]})
    else:
        for check in checks:
            output.print_text(
                f"{'ok ' if check.ok else 'NO ' if check.needed else '-  '} {check.name:<28} {check.detail}"
            )
    raise typer.Exit(4 if any(check.needed and not check.ok for check in checks) else 0)
