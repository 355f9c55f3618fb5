"""Tables of text, for the terminal and for Markdown.

aligned([("suite", "gain"), ("docs", "+0.021")])   ->   "  suite    gain", "  docs   +0.021"
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from workbench.core.wire import printable

_MARKUP = re.compile(r"([\\`*_{}\[\]()<>#|~&!$])")
Row = tuple[str, ...]


def aligned(rows: Sequence[Row]) -> Iterator[str]:
    """Columns beside each other, the first to the left and the others to the right."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    for row in rows:
        cells = [
            f"{cell:{'<' if place == 0 else '>'}{width}}"
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield f"  {'  '.join(cells)}".rstrip()


def table(rows: Sequence[Row]) -> str:
    """A Markdown table, numbers to the right."""
    lines = [f"| {' | '.join(plain(cell) for cell in row)} |" for row in rows]
    ruler = ["---", *["---:"] * (len(rows[0]) - 1)]
    return "\n".join([lines[0], f"| {' | '.join(ruler)} |", *lines[1:]])


def plain(text: str) -> str:
    """One line of text in which nothing is markup."""
    return _MARKUP.sub(r"\\\1", printable(" ".join(text.split())))
