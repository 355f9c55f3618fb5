"""Plain text and Markdown: paragraphs and sections as documents.

notes.txt, blank lines between paragraphs   ->  one document per paragraph
notes.txt, no blank line at all             ->  one document per line
guide.md                                    ->  one document per section, with its heading; long ones cut between
                                                paragraphs, fenced code kept whole
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from workbench.core.records import Quarantined
from workbench.ingest.decode import Line, TextFile, checked_line
from workbench.ingest.rows import DataFile, Place, RawRow, ReadOptions, Row, RowProblem, RowStream, rejected, too_long

SECTION_CHARS = 2000
"""A Markdown section is cut between paragraphs when it grows beyond this: about 500 tokens."""
_HEADING = re.compile(r"#{1,6}[ \t]+(\S.*)")
_FENCE = re.compile(r"[ ]{0,3}(```+|~~~+)")


@dataclass(slots=True)
class _Block:
    """Neighbouring lines that belong together."""

    first: Line
    heading: str | None = None
    """Set if the block is a heading."""
    lines: list[str] = field(default_factory=list)
    size: int = 0
    """Characters."""
    problem: RowProblem | None = None
    """Why the block is no text."""

    def add(self, line: Line, max_bytes: int) -> None:
        """Takes one more line; of a block beyond `max_bytes` only the beginning is kept."""
        self.size += len(line.text) + 1
        try:
            text = checked_line(line, max_bytes)
            if self.size > max_bytes:
                raise too_long("paragraph", max_bytes)
        except RowProblem as problem:
            self.problem = self.problem or problem
            text = line.text
        if self.size <= max_bytes or not self.lines:
            self.lines.append(text)

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


@dataclass(frozen=True, slots=True)
class _Piece:
    """One document to be."""

    blocks: tuple[_Block, ...]
    heading: str | None
    section: int


def read(file: DataFile, options: ReadOptions) -> RowStream:
    """Documents of a text file as rows with `text` and, below a Markdown heading, `topic`."""
    text = TextFile(file, options)
    lines = text.whole_lines(options.max_row_bytes)
    if ".md" in file.path.suffixes:
        pieces = _sections(_blocks(lines, options.max_row_bytes, markdown=True))
    elif _has_paragraphs(file, options):
        blocks = _blocks(lines, options.max_row_bytes, markdown=False)
        pieces = (_Piece((block,), None, number) for number, block in enumerate(blocks))
    else:
        pieces = _single_lines(lines, options.max_row_bytes)
    row = 0
    for row, piece in enumerate(pieces, start=1):
        yield _row(piece, row - 1, file, options.max_row_bytes)
    if damage := text.damaged_row(row):
        yield damage


def _row(piece: _Piece, row: int, file: DataFile, max_bytes: int) -> RawRow | Quarantined:
    first = piece.blocks[0].first
    place = Place(file.name, row, first.number, first.byte)
    text = "\n\n".join(block.text for block in piece.blocks)
    problem = next((block.problem for block in piece.blocks if block.problem), None)
    if problem is None and not text.isascii() and len(text.encode()) > max_bytes:
        problem = too_long("paragraph", max_bytes)
    if problem:
        return rejected(place, problem, text)
    values: Row = {"text": text} if piece.heading is None else {"text": text, "topic": piece.heading}
    return RawRow(values, place, file.name if file.is_unit else f"{file.name}#{piece.section + 1}", file.split)


def _has_paragraphs(file: DataFile, options: ReadOptions) -> bool:
    """Whether a blank line stands between two that are not."""
    said: list[str] = []  # the pass that gives rows says it again
    blank_since_text: bool | None = None
    for line in TextFile(file, ReadOptions(options.max_row_bytes, said.append)).whole_lines(options.max_row_bytes):
        is_blank = not line.cut and not line.text.strip()
        if blank_since_text and not is_blank:
            return True
        if not is_blank or blank_since_text is not None:
            blank_since_text = is_blank
    return False


def _single_lines(lines: Iterator[Line], max_bytes: int) -> Iterator[_Piece]:
    number = 0
    for line in lines:
        if line.cut or line.text.strip():
            block = _Block(line)
            block.add(line, max_bytes)
            yield _Piece((block,), None, number)
            number += 1


def _blocks(lines: Iterator[Line], max_bytes: int, *, markdown: bool) -> Iterator[_Block]:
    """Runs of lines without a blank one; in Markdown fenced code is one block and a heading is one of its own."""
    current: _Block | None = None
    fence: str | None = None
    for line in lines:
        is_blank = not line.cut and not line.text.strip()
        heading = _HEADING.match(line.text) if markdown and fence is None else None
        if current and fence is None and (is_blank or heading):
            yield current
            current = None
        if heading:
            current = _Block(line, _title(heading.group(1)))
        if current is None and not is_blank:
            current = _Block(line)
        if current:
            current.add(line, max_bytes)
        if heading or (current and current.size > max_bytes):
            assert current, line
            yield current
            current, fence = None, None  # a fence that is never closed does not take the rest of the file
        elif markdown and (opened := _FENCE.match(line.text)):
            if fence is None:
                fence = opened.group(1)
            elif opened.group(1).startswith(fence):
                fence = None
    if current:
        yield current


def _sections(blocks: Iterator[_Block]) -> Iterator[_Piece]:
    """Blocks under their heading; a heading without text of its own stays with what follows, if anything does."""
    heading: str | None = None
    section = 0
    current: list[_Block] = []
    size = 0
    for block in blocks:
        has_text = any(held.heading is None for held in current)
        if has_text and (block.heading is not None or size + block.size > SECTION_CHARS):
            yield _Piece(tuple(current), heading, section)
            current, size = [], 0
        if block.heading is not None:
            heading = block.heading
            section += has_text
        current.append(block)
        size += block.size
    if current:
        if all(held.heading for held in current):
            current[0].problem = RowProblem("no_text", "no text follows the heading")
        yield _Piece(tuple(current), heading, section)


def _title(heading: str) -> str:
    """A heading without the hash signs that may close it; those of `C#` are its own."""
    title = heading.rstrip()
    bare = title.rstrip("#")
    return bare.rstrip() if bare.endswith((" ", "\t")) else title
