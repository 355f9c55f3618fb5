"""From bytes to text: compression, byte order marks, UTF-16 and Latin-1, lines with their offsets.

b'{"a": "caf\\xc3\\xa9"}\\n'   ->  Line(number=1, byte=0, text='{"a": "café"}')
b'{"a": "caf\\xe9"}\\n'       ->  the same, with a warning that the file was read as Windows-1252
b'{"a": "\\xc3\\xa9"}\\n{"a": "\\xe9"}\\n'   ->  UTF-8, one bad line: a lone surrogate stands for the byte
"""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from workbench.core.errors import UsageError
from workbench.ingest.rows import DataFile, ReadOptions, RowProblem

MAX_EXPANDED_BYTES = 8 << 30
"""A compressed file that grows beyond this is refused."""
MAX_EXPANSION = 200
"""So is one that grows to more than so many times its size: text shrinks to a fifth, a bomb to a thousandth."""
_EXPANSION_FREE_BYTES = 64 << 20
_BOMS = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\x00\x00", "utf-32-le"),
    (b"\x00\x00\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
_HEAD_BYTES = 4096
_SCAN_BYTES = 1 << 20
_CONTINUATION = bytes(range(0x80, 0xC0))
_STRAY_BYTE = re.compile("[\udc80-\udcff]")


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a file's bytes are to be read."""

    name: str
    start: int = 0
    """Bytes of the byte order mark."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line without its end."""

    number: int
    """One-based."""
    byte: int
    """Offset of its first byte."""
    text: str
    """Bytes that do not fit the encoding are lone surrogates; `refuse_bad_bytes` finds them."""
    cut: bool = False
    """The line was longer than allowed: only its beginning is in `text`."""


class _Expanding(io.RawIOBase):
    """A gzip stream that refuses to grow without end."""

    def __init__(self, file: DataFile) -> None:
        super().__init__()
        self._gzip = gzip.GzipFile(file.path)
        self._name = file.name
        self._limit = min(MAX_EXPANDED_BYTES, max(_EXPANSION_FREE_BYTES, MAX_EXPANSION * file.path.stat().st_size))
        self._expanded = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # typeshed: Buffer has no len
        try:
            data = self._gzip.read(len(buffer))
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise UsageError(f"compressed file is damaged: {error}", where=self._name) from None
        self._expanded += len(data)
        if self._expanded > self._limit:
            raise UsageError(
                f"compressed file grows beyond {self._limit >> 20} MiB",
                where=self._name,
                next_step="if it is what it should be, unpack it yourself and name the unpacked file",
            )
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._gzip.close()
        super().close()


def open_bytes(file: DataFile) -> IO[bytes]:
    """The file's bytes, expanded if it is gzip."""
    return io.BufferedReader(_Expanding(file)) if file.path.suffix == ".gz" else file.path.open("rb")


def sniff(file: DataFile, options: ReadOptions) -> Encoding:
    """The encoding, judged by all bytes; what is neither UTF-8 nor empty is said through `options.warn`."""
    with open_bytes(file) as stream:
        head = stream.read(_HEAD_BYTES)
    for mark, name in _BOMS:
        if head.startswith(mark):
            if name != "utf-8":
                options.warn(f"{file.name}: read as {name.upper()} (byte order mark)")
            return Encoding(name, len(mark))
    if wide := _unmarked_utf16(head):
        options.warn(f"{file.name}: read as {wide.upper()} (no byte order mark, but every other byte is zero)")
        return Encoding(wide)
    name = _narrow_encoding(file)
    if name != "utf-8":
        options.warn(f"{file.name}: not UTF-8, read as {name}; convert the file if letters look wrong")
    return Encoding(name)


def _unmarked_utf16(head: bytes) -> str | None:
    """UTF-16 of mostly Latin text: zeros at nearly all odd (little-endian) or even positions, and at no others."""
    half = len(head) // 2
    if half < 16:
        return None
    even, odd = head[0 : 2 * half : 2].count(0), head[1 : 2 * half : 2].count(0)
    if odd > 0.8 * half and even == 0:
        return "utf-16-le"
    return "utf-16-be" if even > 0.8 * half and odd == 0 else None


def _narrow_encoding(file: DataFile) -> str:
    """UTF-8 if any line with other than ASCII is valid UTF-8 (or none is invalid), else an 8-bit encoding."""
    valid = invalid = 0
    high_controls: set[int] = set()
    inside_line = False
    with open_bytes(file) as stream:
        while piece := stream.readline(_SCAN_BYTES):
            if inside_line:
                piece = piece.lstrip(_CONTINUATION)
            inside_line = not piece.endswith(b"\n")
            if piece.isascii():
                continue
            if _is_utf8(piece):
                valid += 1
            else:
                invalid += 1
                high_controls |= {byte for byte in piece if 0x80 <= byte < 0xA0}
    if invalid == 0 or valid > 0:
        return "utf-8"
    # Windows-1252 is Latin-1 with typographic quotes and dashes where Latin-1 has control codes; five are unassigned.
    return "windows-1252" if high_controls.isdisjoint({0x81, 0x8D, 0x8F, 0x90, 0x9D}) else "latin-1"


def _is_utf8(piece: bytes) -> bool:
    """Whether a piece is UTF-8, apart from a character cut at its end when the line goes on."""
    try:
        piece.decode("utf-8")
    except UnicodeDecodeError as error:
        return not piece.endswith(b"\n") and error.end == len(piece) and error.reason == "unexpected end of data"
    return True


def whole_text(file: DataFile, encoding: Encoding) -> str:
    """The file's text without byte order mark; bytes that do not fit are lone surrogates (UTF-8) or U+FFFD (others)."""
    with open_bytes(file) as stream:
        data = stream.read()[encoding.start :]
    return data.decode(encoding.name, "surrogateescape" if encoding.name == "utf-8" else "replace")


def byte_length(text: str, encoding: Encoding) -> int:
    """Bytes that `text` takes in its file."""
    return len(text.encode(encoding.name, "surrogateescape" if encoding.name == "utf-8" else "replace"))


def lines(file: DataFile, encoding: Encoding, max_bytes: int) -> Iterator[Line]:
    """The file's lines; of one longer than `max_bytes` only the beginning is kept in memory. Only `\\n` ends a line."""
    if encoding.name == "utf-8":
        yield from _utf8_lines(file, encoding.start, max_bytes)
        return
    offset = encoding.start
    for number, text in enumerate(io.StringIO(whole_text(file, encoding), newline="\n"), start=1):
        size = byte_length(text, encoding)
        yield Line(number, offset, text.rstrip("\r\n"), cut=size > max_bytes)
        offset += size


def _utf8_lines(file: DataFile, start: int, max_bytes: int) -> Iterator[Line]:
    with open_bytes(file) as stream:
        stream.read(start)
        offset, number = start, 0
        while piece := stream.readline(max_bytes + 2):  # room for \r\n
            number += 1
            size = len(piece)
            while not piece.endswith(b"\n") and (more := stream.readline(_SCAN_BYTES)):
                size += len(more)
                piece = piece[:max_bytes] + more[-1:]  # the end tells whether the line is over
            content = piece.rstrip(b"\r\n")
            cut = len(content) > max_bytes or size > max_bytes + 2
            yield Line(number, offset, content.decode("utf-8", "surrogateescape"), cut)
            offset += size


def refuse_bad_bytes(text: str) -> None:
    """RowProblem `bad_encoding` if `text` holds a byte that is no UTF-8."""
    if stray := _STRAY_BYTE.search(text):
        byte = ord(stray.group()) - 0xDC00
        raise RowProblem("bad_encoding", f"byte 0x{byte:02x} at character {stray.start() + 1} is no UTF-8")
