"""The `workbench` command. This module and the command modules import nothing heavy: `--help` must be instant."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, NoReturn

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

_PROJECT_HELP = (
    "Project directory. Paths typed here start at the working directory, those in its files at the project, where a "
    "model or adapter that is not there is looked for, too."
)
_EPILOG = """Exit codes: 0 done, passed or inconclusive; 1 regressed; 2 usage; 3 incomplete or not comparable;
4 prerequisite missing; 130 interrupted (143 by SIGTERM). A crash is never a regression.

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
    except SystemExit as end:
        if not isinstance(end.__context__, BrokenPipeError):
            raise
        # typer ends with 1 whatever pipe is closed, which would say "regressed"
        if not output.has_reader():
            sys.exit(output.NOBODY_READS)
        _end_unexpectedly(end.__context__)
    except Exception as error:  # noqa: BLE001  the last boundary: Python's own code for a traceback is a regression's
        _end_unexpectedly(error)


def _end_unexpectedly(error: BaseException) -> NoReturn:
    """The traceback, for who mends it, and the exit code of what is incomplete."""
    import traceback

    from workbench.core.errors import IncompleteError

    output.say("".join(traceback.format_exception(error)))
    failure = IncompleteError(f"unexpected {type(error).__name__}: {error}")
    output.print_error(failure, as_json="--json" in sys.argv)
    sys.exit(failure.exit_code)
