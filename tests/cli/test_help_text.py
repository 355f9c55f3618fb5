"""Help pages on a narrow terminal: no option is cut, no example runs over the edge, and none changes."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from workbench.cli.help_text import fitted
from workbench.cli.main import app

COMMANDS = typer.main.get_command(app)


def pages(command: Any, *path: str) -> Iterator[tuple[str, ...]]:
    yield path
    for name, inner in getattr(command, "commands", {}).items():
        yield from pages(inner, *path, name)


def examples(text: str) -> list[list[str]]:
    """What a shell would run of the lines that begin with the program's name, continued lines joined."""
    joined = text.replace("\\\n", " ")
    return [shlex.split(line) for line in joined.splitlines() if line.startswith("    workbench ")]


@pytest.mark.parametrize("width", [72, 80])
def test_every_page_fits_keeps_its_words_whole_and_its_examples_as_they_were_written(width: int) -> None:
    found = list(pages(COMMANDS))
    assert ("adapters", "export") in found and len(found) > 30
    for path in found:
        command = COMMANDS
        for name in path:
            command = command.commands[name]
        shown = CliRunner().invoke(app, [*path, "--help"], terminal_width=width).output
        assert [line for line in shown.splitlines() if len(line) > width] == [], path
        # A word that ends in a hyphen was broken there
        assert [line for line in shown.splitlines() if line.endswith("-")] == [], path
        said = f"{command.help or ''}\n{command.epilog or ''}"
        written = [line for line in said.splitlines() if line.strip().startswith("workbench ")]
        assert examples(shown) == [shlex.split(line) for line in written], path


def test_a_quoted_value_and_an_option_with_its_value_stay_together() -> None:
    line = '    workbench promote support@2 --force --reason "version 3 answers in French" --json\n'
    assert fitted(line, 48) == (
        "    workbench promote support@2 --force \\\n"
        '        --reason "version 3 answers in French" \\\n'
        "        --json\n"
    )
    assert fitted(line, 100) == line
