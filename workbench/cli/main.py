"""The `workbench` command. This module and the command modules import nothing heavy: `--help` must be instant."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from workbench import __version__
from workbench.cli import output
from workbench.cli.commands import (
    ablate,
    adapters,
    advise,
    chat,
    configure,
    curate,
    iterate,
    judge,
    maintain,
    rate,
    restore,
    results,
    run,
    serve,
    suites,
    sweep,
    train,
    tui,
)
from workbench.cli.help_text import HelpGroup
from workbench.cli.state import Invocation

_PROJECT_HELP = "Project directory. Paths typed here start at the working directory, those in its files at the project."
_EPILOG = """Exit codes: 0 done, passed or inconclusive; 1 regressed; 2 usage; 3 incomplete or not comparable;
4 prerequisite missing; 130 interrupted. A crash is never a regression.

\b
Start with:
  workbench demo
"""

app = typer.Typer(
    name="workbench",
    cls=HelpGroup,
    help="Every fine-tune ends in a verdict somebody can trust.",
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(wanted: bool) -> None:
    if wanted:
        output.print_text(f"workbench {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _main(
    context: typer.Context,
    project: Annotated[Path, typer.Option("-C", "--project", help=_PROJECT_HELP)] = Path(),
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    context.obj = Invocation(project.absolute())
    if context.invoked_subcommand is None:
        if sys.stdin.isatty() and sys.stdout.isatty():
            tui.open_tui(context.obj)
        else:
            output.say(context.get_help())
            raise typer.Exit(2)


run.register(app)
curate.register(app)
train.register(app)
restore.register(app)
ablate.register(app)
iterate.register(app)
sweep.register(app)
adapters.register(app)
advise.register(app)
results.register(app)
suites.register(app)
judge.register(app)
rate.register(app)
chat.register(app)
configure.register(app)
serve.register(app)
maintain.register(app)
tui.register(app)


def main() -> None:
    """Entry point: turns errors into one message and the exit code that fits."""
    from workbench.core.errors import ExitCode, IncompleteError, WorkbenchError

    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        app()
    except WorkbenchError as error:
        output.print_error(error, as_json="--json" in sys.argv)
        sys.exit(error.exit_code)
    except OSError as error:
        failure = IncompleteError(error.strerror or str(error), where=str(error.filename) if error.filename else None)
        output.print_error(failure, as_json="--json" in sys.argv)
        sys.exit(failure.exit_code)
    except KeyboardInterrupt:
        output.say("interrupted")
        sys.exit(ExitCode.INTERRUPTED)
