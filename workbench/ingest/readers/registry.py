"""Which reader reads which file: by what stands in it, where that tells, and else by its name.

    data.jsonl, .ndjson, .json   ->  json_rows         data.parquet            ->  parquet
    data.csv, .tsv               ->  delimited         data.arrow, .feather    ->  arrow
    data.txt, .md                ->  plain_text        any text with .gz, .bz2, .xz or .zst

JSON called .txt, a table called .json or without any suffix are read as what they are, and that is said. What no reader
knows (archives, documents of other programs) is refused with what it is.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

from workbench.core.errors import UsageError
from workbench.ingest.compressed import SUFFIXES as COMPRESSED
from workbench.ingest.compressed import ByteBlocks, compression
from workbench.ingest.formats.registry import FORMATS
from workbench.ingest.readers import arrow, delimited, json_rows, parquet, plain_text
from workbench.ingest.rows import DataFile, Reader, ReadOptions

READERS: dict[str, Reader] = {
    "JSON": json_rows.read,
    "CSV": delimited.read,
    "Parquet": parquet.read,
    "Arrow": arrow.read,
    "text": plain_text.read,
}
KINDS = {
    ".jsonl": "JSON",
    ".ndjson": "JSON",
    ".json": "JSON",
    ".csv": "CSV",
    ".tsv": "CSV",
    ".parquet": "Parquet",
    ".arrow": "Arrow",
    ".feather": "Arrow",
    ".txt": "text",
    ".md": "text",
}
TEXT_SUFFIXES = (".txt", ".md")
TABLES = ("Parquet", "Arrow")
_TABLE_MAGIC = {
    "Parquet": re.compile(rb"PAR1"),
    "Arrow": re.compile(rb"ARROW1\x00\x00|\xff\xff\xff\xff...\x00", re.DOTALL),
}
_FOREIGN = {
    "a ZIP archive (or an Office file)": re.compile(rb"PK\x03\x04"),
    "a tar archive": re.compile(rb".{257}ustar", re.DOTALL),
    "a PDF": re.compile(rb"%PDF-"),
    "a pickle": re.compile(rb"\x80[\x02-\x05]"),
    "an SQLite database": re.compile(rb"SQLite format 3\x00"),
    "an HDF5 file": re.compile(rb"\x89HDF\r\n"),
    "an Avro file": re.compile(rb"Obj\x01"),
    "a Feather file of version 1 (read_table and write_feather of pyarrow.feather convert it)": re.compile(rb"FEA1"),
    "a pointer of Git LFS, not the data (run `git lfs pull`)": re.compile(rb"version https://git-lfs"),
}
_HEAD_BYTES = 512
_LONGEST_HEADER = 10_000
_LOOKED_AT_BYTES = 1_000_000


def suffix_of(path: Path) -> str:
    """The suffix that tells the kind of file, that of a compression taken off."""
    inner = Path(path.name.lower())
    return Path(inner.stem).suffix if inner.suffix in COMPRESSED else inner.suffix


def is_readable(path: Path) -> bool:
    """Whether a file found in a folder is data, judged by its name."""
    kind = KINDS.get(suffix_of(path))
    return kind is not None and not (kind in TABLES and path.suffix.lower() in COMPRESSED)


def reader_of(file: DataFile, options: ReadOptions) -> Reader:
    """The reader of a file. Raises UsageError if there is none, and OSError if the file cannot be read."""
    named = KINDS.get(suffix_of(file.path))
    kind = _kind(file, named, options)
    if kind is None:
        raise UsageError(
            f"no reader for files of kind {suffix_of(file.path) or file.path.name!r}",
            where=file.name,
            next_step=f"name it after what it is; known kinds: {', '.join(KINDS)}",
        )
    if (compressed := _is_compressed(file)) != (file.path.suffix.lower() in COMPRESSED):
        options.warn(f"{file.name}: {'' if compressed else 'not '}compressed, whatever its name says")
    if kind != named:
        options.warn(f"{file.name}: read as {kind}, because of what stands in it")
    return READERS[kind]


def holds_rows(file: DataFile) -> bool:
    """Whether a file that was found in a folder holds a table or JSON, whatever it is called."""
    said: list[str] = []
    try:
        return _kind(file, None, ReadOptions(_LOOKED_AT_BYTES, said.append)) in ("JSON", *TABLES)
    except UsageError:  # something else, or damaged
        return False


def _kind(file: DataFile, named: str | None, options: ReadOptions) -> str | None:
    """What stands in the file, or what it is called if that cannot be told."""
    blocks = ByteBlocks(file)
    head = next(iter(blocks), b"")[:_HEAD_BYTES]
    if table := next((kind for kind, magic in _TABLE_MAGIC.items() if magic.match(head)), None):
        if _is_compressed(file):
            raise UsageError(f"a compressed {table} file", where=file.name, next_step="unpack it")
        return table
    if foreign := next((what for what, magic in _FOREIGN.items() if magic.match(head)), None):
        raise UsageError(
            f"this is {foreign}", where=file.name, next_step=f"give the data as one of {', '.join(KINDS)}"
        )
    if named == "JSON" and head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"[", b"{", b""):
        return named
    if named != "JSON" and json_rows.looks_like_json(file, options):
        return "JSON"
    if named != "CSV" and named not in TABLES and _looks_like_table(file, options):
        return "CSV"
    return named or ("text" if not suffix_of(file.path) and b"\x00" not in head and head else None)


def _is_compressed(file: DataFile) -> bool:
    with file.path.open("rb") as stream:
        return compression(stream.read(_HEAD_BYTES)) is not None


def _looks_like_table(file: DataFile, options: ReadOptions) -> bool:
    """Whether the first line names columns that a format knows, and the second has a field for each."""
    lines = json_rows.first_lines(file, json_rows.quietly(options))[:2]
    if len(lines) < 2 or len(lines[0]) > _LONGEST_HEADER:
        return False
    try:
        header, values = csv.reader(lines, delimiter=delimited.delimiter_of(lines[0]))
    except (ValueError, csv.Error):  # ValueError: not two rows
        return False
    names = [name.strip() for name in header]
    if len(names) < 2 or len(names) != len(values) or len(set(names)) < len(names):
        return False
    return any(shape.fits(dict.fromkeys(names, "")) for shape in FORMATS)
