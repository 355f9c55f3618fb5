"""Help pages whose lines break between words alone: an option or an example is never cut in two.

    workbench sweep --set train.rank=8,16,32 --set train.learning_rate=1e-4,2e-4 --dry-run
->  workbench sweep --set train.rank=8,16,32 \\
        --set train.learning_rate=1e-4,2e-4 --dry-run

Click breaks words at their hyphens, and leaves an example that is too long for the line to the terminal.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import typer
from typer.core import TyperGroup

_TIED = "\u2011"
"""Stands for a hyphen while lines are broken."""
_EXAMPLE = re.compile(r" {4}workbench ")
_WORD = re.compile(r"""(?:"[^"]*"|'[^']*'|\S)+""")


class _Formatter(typer.Context.formatter_class):  # type: ignore[misc,valid-type]  # no public name
    def write_text(self, text: str) -> None:
        super().write_text(text.replace("-", _TIED))

    def write_dl(self, rows: Sequence[tuple[str, str]], *args: Any, **kwargs: Any) -> None:
        super().write_dl([(name, said.replace("-", _TIED)) for name, said in rows], *args, **kwargs)

    def getvalue(self) -> str:
        text = super().getvalue().replace(_TIED, "-")
        return "".join(fitted(line, self.width) for line in text.splitlines(keepends=True))


class _Context(typer.Context):
    formatter_class = _Formatter


class HelpGroup(TyperGroup):
    """The group of all commands; theirs and its own help pages are made here."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for command in _all(self):
            command.context_class = _Context


def _all(command: Any) -> Iterator[Any]:
    yield command
    for inner in getattr(command, "commands", {}).values():
        yield from _all(inner)


def fitted(line: str, width: int) -> str:
    """A line of a help page; an example longer than `width` goes on in the next line, as the shell reads it."""
    if len(line.rstrip()) <= width or not _EXAMPLE.match(line):
        return line
    lines, indent = [" " * 4], " " * 8
    for piece in _pieces(_WORD.findall(line)):
        if lines[-1].strip() and len(lines[-1]) + len(piece) + len(r" \ ") > width:
            lines[-1] += " \\"
            lines.append(indent + piece)
        else:
            lines[-1] += f" {piece}" if lines[-1].strip() else piece
    return "\n".join(lines) + "\n"


def _pieces(words: Sequence[str]) -> list[str]:
    """Words, an option together with its value."""
    pieces: list[str] = []
    for word in words:
        if pieces and pieces[-1].startswith("-") and " " not in pieces[-1] and not word.startswith("-"):
            pieces[-1] += f" {word}"
        else:
            pieces.append(word)
    return pieces
