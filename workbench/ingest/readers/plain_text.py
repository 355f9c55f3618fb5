"""Plain text and Markdown: paragraphs and sections as documents.

notes.txt, blank lines between paragraphs   ->  one document per paragraph
notes.txt, no blank line at all             ->  one document per line
guide.md                                    ->  one document per section, with its heading; long ones cut between
                                                paragraphs, fenced code kept whole
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from workbench.core.records import Quarantined
from workbench.ingest.decode import Encoding, byte_length, refuse_bad_bytes, sniff, whole_text
from workbench.ingest.rows import DataFile, Place, RawRow, ReadOptions, Row, RowProblem, RowStream, rejected

SECTION_CHARS = 2000
"""A Markdown section is cut between paragraphs when it grows beyond this: about 500 tokens."""
_HEADING = re.compile(r"#{1,6}[ \t]+(.+?)[ \t#]*$")
_FENCE = re.compile(r"[ ]{0,3}(```+|~~~+)")


@dataclass(frozen=True, slots=True)
class _Block:
    """Neighbouring lines that belong together."""

    text: str
    line: int
    """Zero-based, of its first line."""
    heading: str | None = None
    """Set if the block is a heading."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """One document to be."""

    blocks: tuple[_Block, ...]
    heading: str | None
    section: int


def read(file: DataFile, options: ReadOptions) -> RowStream:
    """Documents of a text file, whole in memory, as rows with `text` and, below a heading, `topic`."""
    encoding = sniff(file, options)
    physical = whole_text(file, encoding).split("\n")
    if ".md" in file.path.suffixes:
        pieces = list(_sections(list(_blocks(physical, markdown=True))))
    else:
        blocks = list(_blocks(physical, markdown=False))
        if len(blocks) == 1 and len(physical) > 1:
            blocks = [_Block(line, number) for number, line in enumerate(physical) if line.strip()]
        pieces = [_Piece((block,), None, number) for number, block in enumerate(blocks)]
    yield from _rows(pieces, physical, file, encoding, options.max_row_bytes)


def _rows(pieces: list[_Piece], physical: list[str], file: DataFile, encoding: Encoding, max_bytes: int) -> RowStream:
    offset, counted = encoding.start, 0
    for row, piece in enumerate(pieces):
        first = piece.blocks[0].line
        offset += sum(byte_length(line + "\n", encoding) for line in physical[counted:first])
        counted = first
        part_of = file.name if file.is_unit else f"{file.name}#{piece.section + 1}"
        yield _row(piece, Place(file.name, row, first + 1, offset), part_of, max_bytes)


def _row(piece: _Piece, place: Place, part_of: str, max_bytes: int) -> RawRow | Quarantined:
    text = "\n\n".join(block.text for block in piece.blocks)
    try:
        if len(text.encode("utf-8", "surrogateescape")) > max_bytes:
            raise RowProblem("too_long", f"paragraph is longer than {max_bytes:,} bytes (max_line_bytes of the card)")
        refuse_bad_bytes(text)
    except RowProblem as problem:
        return rejected(place, problem, text)
    values: Row = {"text": text} if piece.heading is None else {"text": text, "topic": piece.heading}
    return RawRow(values, place, part_of)


def _blocks(physical: list[str], *, markdown: bool) -> Iterator[_Block]:
    """Runs of lines without a blank one; in Markdown fenced code is one block and a heading is one of its own."""
    current: list[str] = []
    first = 0
    fence: str | None = None
    for number, raw in enumerate(physical):
        line = raw.rstrip()
        opened = _FENCE.match(line) if markdown else None
        heading = _HEADING.match(line) if markdown and fence is None else None
        if current and fence is None and (not line or heading):
            yield _Block("\n".join(current), first)
            current = []
        if heading:
            yield _Block(line, number, heading.group(1))
        elif line or fence is not None:
            first = first if current else number
            current.append(line)
        if opened and fence is None:
            fence = opened.group(1)
        elif opened and fence is not None and opened.group(1).startswith(fence):
            fence = None
    if current:
        yield _Block("\n".join(current), first)


def _sections(blocks: list[_Block]) -> Iterator[_Piece]:
    """Blocks under their heading; a heading without text of its own stays with what follows."""
    heading: str | None = None
    section = 0
    current: list[_Block] = []
    size = 0
    for block in blocks:
        has_text = any(held.heading is None for held in current)
        if has_text and (block.heading is not None or size + len(block.text) > SECTION_CHARS):
            yield _Piece(tuple(current), heading, section)
            current, size = [], 0
        if block.heading is not None:
            heading = block.heading
            section += has_text
        current.append(block)
        size += len(block.text)
    if any(held.heading is None for held in current):
        yield _Piece(tuple(current), heading, section)
