"""Which reader reads which file: by name, and for JSON by what stands in it.

    data.jsonl, data.ndjson  ->  json_lines       data.csv, data.tsv  ->  delimited        any of the text
    data.json                ->  json_document    data.parquet        ->  parquet          kinds with .gz
    data.txt, data.md        ->  plain_text

JSON Lines called .json and pretty-printed lists called .jsonl are both common, so for these the content decides.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from workbench.core.errors import UsageError
from workbench.core.records import Quarantined
from workbench.ingest.decode import Line, lines, sniff
from workbench.ingest.readers import delimited, json_document, json_lines, parquet, plain_text
from workbench.ingest.rows import DataFile, RawRow, Reader, ReadOptions, RowProblem, RowStream
from workbench.ingest.strict_json import parse


def read_json(file: DataFile, options: ReadOptions) -> RowStream:
    """Rows of JSON, lines or document, whichever it is."""
    said: list[str] = []  # the reader that is chosen says it again
    quiet = ReadOptions(options.max_row_bytes, said.append)
    if _looks_like_lines(file, quiet):
        yield from json_lines.read(file, options)
        return
    unread: list[Quarantined] = []
    rows = json_document.read(file, options)
    for item in rows:
        if isinstance(item, RawRow):
            yield from unread
            yield item
            yield from rows
            return
        unread.append(item)
    if unread and _has_lines(file, quiet):
        yield from json_lines.read(file, quiet)
    else:
        yield from unread


READERS: dict[str, Reader] = {
    ".jsonl": read_json,
    ".ndjson": read_json,
    ".json": read_json,
    ".csv": delimited.read,
    ".tsv": delimited.read,
    ".parquet": parquet.read,
    ".txt": plain_text.read,
    ".md": plain_text.read,
}
TEXT_SUFFIXES = (".txt", ".md")
_JUDGED_LINES = 50


def suffix_of(path: Path) -> str:
    """The suffix that tells the kind of file, `.gz` taken off."""
    name = path.name.lower()
    return Path(name.removesuffix(".gz")).suffix


def is_readable(path: Path) -> bool:
    """Whether there is a reader for a file of this name."""
    compressed_table = path.name.lower().endswith(".parquet.gz")
    return suffix_of(path) in READERS and not compressed_table


def reader_of(file: DataFile) -> Reader:
    """The reader of a file; UsageError names the kinds there are."""
    if not is_readable(file.path):
        raise UsageError(
            f"no reader for files of kind {suffix_of(file.path) or file.path.name!r}",
            where=file.name,
            next_step=f"name it after what it is; known kinds: {', '.join(READERS)}",
        )
    return READERS[suffix_of(file.path)]


def _looks_like_lines(file: DataFile, options: ReadOptions) -> bool:
    """Whether half of the first lines that are not blank are objects on their own; a single line is a document."""
    content = (line for line in lines(file, sniff(file, options), options.max_row_bytes) if line.text.strip())
    head = list(islice(content, _JUDGED_LINES))
    if not head or head[0].text.lstrip()[0] not in "[{":
        return True  # no document begins like that
    return len(head) > 1 and 2 * sum(_is_object(line) for line in head) >= len(head)


def _has_lines(file: DataFile, options: ReadOptions) -> bool:
    """Whether a file that is no document has a line that is an object, or nothing but lines that begin like one."""
    content = (line for line in lines(file, sniff(file, options), options.max_row_bytes) if line.text.strip())
    begins = []
    for line in content:
        if _is_object(line):
            return True
        begins.append(line.text.startswith("{"))
    return len(begins) > 1 and all(begins)


def _is_object(line: Line) -> bool:
    """Whether a line is one JSON object; duplicate keys and the like are a matter for the reader."""
    if not line.text.lstrip().startswith("{"):
        return False
    if line.cut:
        return True  # a document has short lines, or only one
    try:
        parse(line.text)
    except RowProblem as problem:
        return problem.reason != "bad_json"
    return True
