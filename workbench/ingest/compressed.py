"""Bytes of a file, expanded if it is compressed, whatever it is called.

    rows.jsonl, rows.jsonl.gz, .bz2, .xz, .zst   ->  the same bytes

The first bytes tell the kind, not the name. A file that grows like a bomb is refused. One that is damaged gives what
comes before the damage, and `damage` says what is wrong.
"""

from __future__ import annotations

import bz2
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from typing import IO

from workbench.core.errors import UsageError
from workbench.ingest.rows import DataFile

MAX_EXPANSION = 200
"""A compressed file that grows to more than so many times its size is refused: text shrinks to a fifth or a tenth, a
bomb to a thousandth."""
BLOCK_BYTES = 1 << 18
"""Bytes per block."""
SUFFIXES = (".gz", ".bz2", ".xz", ".zst")
"""Of files that hold another file."""
_EXPANSION_FREE_BYTES = 64 << 20
_MAGIC = {
    "gzip": re.compile(rb"\x1f\x8b\x08"),
    "bzip2": re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)"),
    "xz": re.compile(rb"\xfd7zXZ\x00"),
    "zstd": re.compile(rb"\x28\xb5\x2f\xfd"),
}
_MAGIC_BYTES = 10
_INPUT_BYTES = 1 << 16
_STEP_BYTES = {"gzip": 1 << 16, "bzip2": 1 << 10, "xz": 1 << 10, "zstd": 1 << 16}
"""Bytes expanded at a time. What bzip2 and xz had expanded in the step that finds the damage is lost: it is short."""


def compression(head: bytes) -> str | None:
    """How bytes that begin like `head` are compressed; None if they are not."""
    return next((name for name, magic in _MAGIC.items() if magic.match(head)), None)


class ByteBlocks:
    """The expanded bytes of a file from `start` on, in blocks of about `BLOCK_BYTES`; for one pass.

    The pass raises UsageError for a bomb and OSError for a file that cannot be read. `damage` is set at its end if the
    compressed data is damaged.
    """

    def __init__(self, file: DataFile, start: int = 0) -> None:
        self.damage: str | None = None
        self._file = file
        self._start = start

    def __iter__(self) -> Iterator[bytes]:
        with self._file.path.open("rb") as stream:
            kind = compression(stream.read(_MAGIC_BYTES))
            stream.seek(0 if kind else self._start)
            if kind is None:
                while block := stream.read(BLOCK_BYTES):
                    yield block
            else:
                yield from self._expanded(stream, kind)

    def _expanded(self, stream: IO[bytes], kind: str) -> Iterator[bytes]:
        limit = max(_EXPANSION_FREE_BYTES, MAX_EXPANSION * self._file.path.stat().st_size)
        expanded = 0
        for block in self._blocks(_zstd(self._file) if kind == "zstd" else _members(stream, kind)):
            before = expanded
            expanded += len(block)
            if expanded > limit:
                raise UsageError(
                    f"compressed file grows beyond {limit >> 20} MiB ({MAX_EXPANSION} times its size)",
                    where=self._file.name,
                    next_step="if it is what it should be, unpack it yourself and name the unpacked file",
                )
            if expanded > self._start:
                yield block[max(0, self._start - before) :]

    def _blocks(self, steps: Iterator[bytes]) -> Iterator[bytes]:
        """Steps joined to blocks; damage ends them."""
        pieces: list[bytes] = []
        size = 0
        try:
            for piece in steps:
                pieces.append(piece)
                size += len(piece)
                if size >= BLOCK_BYTES:
                    yield b"".join(pieces)
                    pieces, size = [], 0
        except _Damaged as problem:
            self.damage = f"the compressed data is damaged: {problem}"
        if pieces:
            yield b"".join(pieces)


class _Damaged(Exception):
    """Compressed data that ends too early or is not what it should be."""


class _Gzip:
    """zlib behind the interface of bz2 and lzma, giving every byte before damage."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(31)  # with a gzip header
        self._left = b""
        self._failed: zlib.error | None = None
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        if self._failed:
            raise self._failed
        given = self._left + data
        before = self._inner.copy()
        try:
            expanded = self._inner.decompress(given, max_length)
        except zlib.error as error:
            self._failed, self.needs_input = error, False
            return self._until_failure(before, given)
        self._left = self._inner.unconsumed_tail
        self.needs_input = not self._left and len(expanded) < max_length
        return expanded

    def _until_failure(self, before: zlib._Decompress, given: bytes) -> bytes:
        """What had been expanded when the damage was met, which zlib keeps to itself."""
        pieces: list[bytes] = []
        for position in range(len(given)):
            try:
                pieces.append(before.decompress(given[position : position + 1]))
            except zlib.error:
                break
        return b"".join(pieces)


_Member = _Gzip | bz2.BZ2Decompressor | lzma.LZMADecompressor
_MEMBERS: dict[str, Callable[[], _Member]] = {
    "gzip": _Gzip,
    "bzip2": bz2.BZ2Decompressor,
    "xz": lzma.LZMADecompressor,
}


def _members(stream: IO[bytes], kind: str) -> Iterator[bytes]:
    """Expanded bytes of all members of a file: compressed files may be joined end to end, with zeros between."""
    data = stream.read(_INPUT_BYTES)
    while data:
        member = _MEMBERS[kind]()
        while not member.eof:
            try:
                piece = member.decompress(data, _STEP_BYTES[kind])
            except (zlib.error, lzma.LZMAError, OSError) as error:
                raise _Damaged(str(error)) from None
            yield piece
            data = b""
            if member.needs_input and not member.eof and not (data := stream.read(_INPUT_BYTES)):
                raise _Damaged("it ends too early")
        data = member.unused_data.lstrip(b"\x00")
        while len(data) < _MAGIC_BYTES and (more := stream.read(_INPUT_BYTES)):
            data = (data + more).lstrip(b"\x00")
        if data and compression(data) != kind:
            raise _Damaged("something that is not compressed follows its end")


def _zstd(file: DataFile, start: int = 0, step: int = _STEP_BYTES["zstd"]) -> Iterator[bytes]:
    """Expanded bytes from `start` on; a step that meets damage is taken again byte by byte."""
    import pyarrow as pa  # 0.1 s

    given = start
    with pa.OSFile(str(file.path)) as raw, pa.input_stream(raw, compression="zstd") as stream:
        for skipped in range(0, start, _STEP_BYTES["zstd"]):
            stream.read(min(_STEP_BYTES["zstd"], start - skipped))
        while True:
            try:
                piece = stream.read(step)
            except OSError as error:
                if step == 1:
                    raise _Damaged(str(error)) from None
                break
            if not piece:
                return
            given += len(piece)
            yield piece
    yield from _zstd(file, given, 1)
