"""The same report as Markdown, for pull requests and job summaries.

Nothing from a model or a dataset is markup here: short values are escaped, longer texts stand in code spans, where
neither links nor mentions nor HTML exist. The document stays below the limit above which GitHub drops a whole summary.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from workbench.core.wire import printable
from workbench.report.excerpts import excerpt
from workbench.report.model import ReportModel
from workbench.report.render.environment import markdown_environment
from workbench.report.sections import SECTIONS

MAX_BYTES = 1_000_000
"""GitHub shows no summary above 1,024 KiB."""
_SPECIAL = re.compile(r"([\\`*_{}\[\]()<>#|~&!$])")
_CODE_CHARS = 600
_CUT = "\n\n*(Shortened here to stay within the size limit: {lines} lines left out. `report.json` has everything.)*\n"
_CUT_ROOM = 200


class Markdown(str):
    """Text that is Markdown already and must not be escaped again."""

    __slots__ = ()


def render_markdown(model: ReportModel, max_bytes: int = MAX_BYTES) -> str:
    """The document, at most `max_bytes` long in UTF-8; sections that do not fit are cut between two lines."""
    environment = markdown_environment(_escaped, _code)
    names = ["verdict", *(f"sections/{section.name}" for section in SECTIONS if section.present(model))]
    titles = {f"sections/{section.name}": section.title for section in SECTIONS}
    blocks = []
    for name in names:
        body = environment.get_template(f"markdown/{name.removeprefix('sections/')}.md.j2").render(model=model)
        title = titles.get(name)
        blocks.append(_squeezed(f"## {title}\n\n{body}" if title else body))
    return _fitted(blocks, max_bytes)


def _fitted(blocks: Sequence[str], max_bytes: int) -> str:
    """All blocks, each one cut between two lines if it does not leave the later ones their first lines.

    Every block gets an equal part of the room, and passes on what it does not need.
    """
    written: list[str] = []
    room = max_bytes
    for index, block in enumerate(blocks):
        share = room // (len(blocks) - index)
        later = sum(len(other.encode("utf-8")) for other in blocks[index + 1 :])
        allowed = max(share, room - later)
        written.append(_cut(block, allowed))
        room -= len(written[-1].encode("utf-8"))
    return "".join(written)


def _cut(block: str, allowed: int) -> str:
    if len(block.encode("utf-8")) <= allowed:
        return block
    lines = block.splitlines()
    kept: list[str] = []
    used = _CUT_ROOM
    for line in lines:
        used += len(line.encode("utf-8")) + 1
        if used > allowed:
            break
        kept.append(line)
    if not kept:
        return ""
    return "\n".join(kept) + _CUT.format(lines=len(lines) - len(kept))


def _squeezed(text: str) -> str:
    """No more than one empty line in a row, one at the end."""
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n\n"


def _escaped(value: Any) -> str:
    """One line of plain text in which no character has a meaning of its own."""
    if isinstance(value, Markdown):
        return value
    return _SPECIAL.sub(r"\\\1", " ".join(printable(str(value)).split()))


def _code(text: str) -> Markdown:
    """`text` as a code span that may stand in a table: line breaks are shown, back ticks outnumbered.

    A pipe becomes U+2502: parsers disagree about when a backslash keeps a pipe from ending the cell.
    """
    shown = re.sub(r"\s*[\r\n]\s*", " ⏎ ", printable(excerpt(text, _CODE_CHARS)).strip())
    shown = shown.replace("\t", " ").replace("|", "│")
    if not shown:
        return Markdown("*(empty)*")
    fence = "`" * (max((len(run) for run in re.findall("`+", shown)), default=0) + 1)
    pad = " " if shown.startswith("`") or shown.endswith("`") else ""
    return Markdown(f"{fence}{pad}{shown}{pad}{fence}")
