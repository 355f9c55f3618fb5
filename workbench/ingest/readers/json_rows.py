"""JSON, as lines or as a document: what stands in the file decides, not its name.

    {"text": "one"}\\n{"text": "two"}\\n     ->  lines          [\\n  {"text": "one"},\\n ...     ->  a document

JSON Lines called .json and pretty-printed lists called .jsonl are both common.
"""

from __future__ import annotations

import re
from itertools import islice

from workbench.core.records import Quarantined
from workbench.ingest.decode import TextFile
from workbench.ingest.readers import json_document, json_lines
from workbench.ingest.rows import DataFile, RawRow, ReadOptions, RowProblem, RowStream
from workbench.ingest.strict_json import parse

_JUDGED_CHARS = 1 << 20
_JUDGED_LINES = 50
_JUDGED_ELEMENTS = 3
_UNREAD_ROWS = 1000


def read(file: DataFile, options: ReadOptions) -> RowStream:
    """Rows of JSON, lines or document, whichever it is."""
    quiet = quietly(options)
    if _looks_like_lines(first_lines(file, quiet)):
        yield from json_lines.read(file, options)
        return
    unread: list[Quarantined] = []
    rows = json_document.read(file, options)
    for item in rows:
        if isinstance(item, RawRow) or len(unread) == _UNREAD_ROWS:
            yield from unread
            yield item
            yield from rows
            return
        unread.append(item)
    if unread and _has_lines(file, quiet):
        yield from json_lines.read(file, quiet)
    else:
        yield from unread


def looks_like_json(file: DataFile, options: ReadOptions) -> bool:
    """Whether a file of any name holds rows of JSON: half of its first lines are, or its first elements."""
    quiet = quietly(options)
    lines = first_lines(file, quiet)
    if not lines or lines[0][0] not in "[{":
        return False
    if len(lines) > 1 and _looks_like_lines(lines):
        return True
    elements = list(islice(json_document.read(file, quiet), _JUDGED_ELEMENTS))
    return bool(elements) and all(isinstance(item, RawRow) for item in elements)


def quietly(options: ReadOptions) -> ReadOptions:
    """Options for a look: what it would say is said by the pass that gives the rows."""
    said: list[str] = []
    return ReadOptions(options.max_row_bytes, said.append)


def first_lines(file: DataFile, options: ReadOptions) -> list[str]:
    """The first lines that are not blank, stripped; the last may be cut."""
    head = ""
    for block in TextFile(file, options).blocks():
        head += block
        if len(head) >= _JUDGED_CHARS:
            break
    lines = (line.strip().lstrip(json_lines.BYTE_ORDER_MARK) for line in re.split(r"[\r\n]+", head))
    return list(islice((line for line in lines if line), _JUDGED_LINES))


def _looks_like_lines(lines: list[str]) -> bool:
    """Whether half of the first lines are objects on their own; a single line is a document."""
    if not lines or lines[0][0] not in "[{":
        return True  # no document begins like that
    return len(lines) > 1 and 2 * sum(map(_is_object, lines)) >= len(lines)


def _has_lines(file: DataFile, options: ReadOptions) -> bool:
    """Whether a file that is no document has a line that is an object, or nothing but lines that begin like one."""
    lines, begun = 0, 0
    for line in TextFile(file, options).lines(options.max_row_bytes):
        if line.cut or line.text.strip():
            if not line.cut and _is_object(line.text):
                return True
            lines += 1
            begun += line.text.startswith("{")
    return begun == lines > 1


def _is_object(line: str) -> bool:
    """Whether a line is one JSON object; duplicate keys and the like are a matter for the reader."""
    if not line.lstrip().startswith("{"):
        return False
    try:
        parse(line)
    except RowProblem as problem:
        return problem.reason != "bad_json"
    return True
