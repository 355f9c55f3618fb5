"""From bytes to text, in constant memory: byte order marks, UTF-16 and Latin-1, lines with their offsets.

b'{"a": "caf\\xc3\\xa9"}\\n'   ->  Line(number=1, byte=0, text='{"a": "café"}', ...)
b'{"a": "caf\\xe9"}\\n'       ->  the same, with a warning that the file was read as Windows-1252
b'{"a": "\\xc3\\xa9"}\\n{"a": "\\xe9"}\\n'   ->  UTF-8, one bad line: a lone surrogate stands for the byte

A line ends at `\\n`, `\\r\\n` or `\\r`.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from workbench.core.records import Quarantined
from workbench.ingest.compressed import ByteBlocks
from workbench.ingest.rows import DataFile, Place, ReadOptions, RowProblem, rejected, too_long

_BOMS = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\x00\x00", "utf-32-le"),
    (b"\x00\x00\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
_WIDE = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
_HEAD_BYTES = 4096
_JUDGED_BYTES = 1 << 20
_SPARE_BYTES = 16
"""For the line end and the characters around a cut."""
_HIGH_CONTROLS = frozenset(range(0x80, 0xA0))
_UNASSIGNED = frozenset({0x81, 0x8D, 0x8F, 0x90, 0x9D})
"""Bytes that Windows-1252 does not use."""
_UNASSIGNED_SHARE = 0.05
"""Of a text: characters newer than Python's tables, or of private use. Other bytes read as UTF-16 have far more."""
_PRINTABLE = bytes([*b"\t\n\r", *range(0x20, 0x7F)])
_CONTROLS = bytes(range(0x20))
_OTHER_SHARE = 0.1
_CONTROL_SHARE = 0.25
"""Of the bytes: in UTF-16 every other one is, where the text is Latin, Cyrillic or Indian."""
_SEPARATORS = " \t\r\n\",:{}[]"
_SURROGATE = re.compile("[\ud800-\udfff]")
_STRAY = "workbench.stray"
"""Name of the error handler for UTF-16 and UTF-32: one lone surrogate for what is no character."""


def _stray(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError), error
    return "\udcff", error.end


codecs.register_error(_STRAY, _stray)


class Line(NamedTuple):
    """One line without its end."""

    number: int
    """One-based."""
    byte: int
    """Offset of its first byte."""
    text: str
    """Bytes that do not fit the encoding are lone surrogates; `refuse_bad_bytes` finds them."""
    cut: bool
    """The line was longer than allowed: only its beginning is in `text`."""
    end: str
    """The line end; empty only for the last line of a file."""


class TextFile:
    """The text of one file from beginning to end; for one pass, by `lines` or by `blocks`.

    What is not UTF-8 is said through `options.warn`, when it is met.
    """

    def __init__(self, file: DataFile, options: ReadOptions) -> None:
        self.file = file
        self.encoding = "utf-8"
        """As far as is known: the first byte beyond ASCII decides between UTF-8 and an 8-bit encoding."""
        self.start = 0
        """Bytes of the byte order mark."""
        self.unread = (1, 0)
        """Line and byte of the first line that was not given whole."""
        self.torn = ""
        """What stands in the last line before damage, which `whole_lines` leaves out."""
        self._options = options
        self._bytes = ByteBlocks(file)
        self._judged = False

    @property
    def damage(self) -> RowProblem | None:
        """Why the text ended too early; known when the pass is over."""
        if self._bytes.damage is None:
            return None
        return RowProblem("damaged_file", f"{self._bytes.damage}; what stands before was read")

    def lines(self, max_bytes: int) -> Iterator[Line]:
        """The lines; of one longer than `max_bytes` only the beginning is kept in memory."""
        offset = 0
        for number, (piece, dropped) in enumerate(_pieces(self._utf8_or_narrow(), max_bytes, self._size), start=1):
            offset = offset or self.start
            content = piece.rstrip(b"\r\n")
            end = piece[len(content) :].decode("ascii")
            text = content.decode("ascii") if content.isascii() else self._decoded(content)
            self.unread = (number, offset)
            yield Line(number, offset, text, len(content) + dropped > max_bytes, end)
            offset += self._size(piece) + dropped
            if end:
                self.unread = (number + 1, offset)

    def whole_lines(self, max_bytes: int) -> Iterator[Line]:
        """As `lines`, without the line that damage has torn."""
        for line in self.lines(max_bytes):
            if self.damage and not line.end:
                self.torn = line.text
            else:
                yield line

    def damaged_row(self, row: int) -> Quarantined | None:
        """The quarantined entry for the damage behind `row` rows, if there is any; for readers of lines."""
        if (damage := self.damage) is None:
            return None
        return rejected(Place(self.file.name, row, *self.unread), damage, self.torn)

    def blocks(self) -> Iterator[str]:
        """The text in pieces of arbitrary length."""
        decoder: codecs.IncrementalDecoder | None = None
        for block in self._raw_blocks():
            if decoder is None and (self._judged or not block.isascii()):
                decoder = codecs.getincrementaldecoder(self.encoding)(self._errors())
            yield block.decode("ascii") if decoder is None else decoder.decode(block)
        if decoder is not None and (rest := decoder.decode(b"", final=True)):
            yield rest

    def byte_length(self, text: str) -> int:
        """Bytes that `text` takes in its file."""
        if self.encoding in _WIDE:
            return len(text.encode(self.encoding, "surrogatepass"))
        return len(text) if text.isascii() else len(text.encode(self.encoding, "surrogateescape"))

    def _errors(self) -> str:
        return _STRAY if self.encoding in _WIDE else "surrogateescape"

    def _decoded(self, line: bytes) -> str:
        if self.encoding in _WIDE:
            return line.decode("utf-8", "surrogatepass")  # as `_utf8_or_narrow` made it
        return line.decode(self.encoding, "surrogateescape")

    def _size(self, piece: bytes) -> int:
        """Bytes in the file of a piece of what `_utf8_or_narrow` gives."""
        return self.byte_length(self._decoded(piece)) if self.encoding in _WIDE else len(piece)

    def _utf8_or_narrow(self) -> Iterator[bytes]:
        """Blocks in which `\\n` is one byte: UTF-16 and UTF-32 as UTF-8, everything else as it is."""
        decoder: codecs.IncrementalDecoder | None = None
        for block in self._raw_blocks():
            if self.encoding not in _WIDE:
                yield block
                continue
            if decoder is None:
                decoder = codecs.getincrementaldecoder(self.encoding)(_STRAY)
            yield decoder.decode(block).encode("utf-8", "surrogatepass")
        if decoder is not None:
            yield decoder.decode(b"", final=True).encode("utf-8", "surrogatepass")

    def _raw_blocks(self) -> Iterator[bytes]:
        """Bytes behind the byte order mark; `encoding` is right for each block when it is given."""
        passed = 0
        for block in _with_head(self._bytes):
            start = self._begin(block) if passed == 0 else 0
            if not self._judged and not block.isascii():
                self._judge(passed)
            passed += len(block)
            yield block[start:]

    def _begin(self, head: bytes) -> int:
        """Looks for a byte order mark, or for UTF-16 without one; gives the mark's length."""
        for mark, name in _BOMS:
            if head.startswith(mark):
                self.encoding, self.start, self._judged = name, len(mark), True
                if name in _WIDE:
                    self._options.warn(f"{self.file.name}: read as {name.upper()} (byte order mark)")
                return len(mark)
        if wide := _unmarked_utf16(head[:_HEAD_BYTES]):
            self.encoding, self._judged = wide, True
            why = "no byte order mark, but its zeros tell"
            self._options.warn(f"{self.file.name}: read as {wide.upper()} ({why})")
        return 0

    def _judge(self, start: int) -> None:
        """UTF-8 if any line with other than ASCII is valid UTF-8, else an 8-bit encoding; all before is ASCII."""
        self._judged = True
        self.encoding = _narrow_encoding(ByteBlocks(self.file, start))
        if self.encoding != "utf-8":
            said = f"not UTF-8, read as {self.encoding}; convert the file if letters look wrong"
            self._options.warn(f"{self.file.name}: {said}")


def refuse_bad_bytes(text: str) -> None:
    """RowProblem `bad_encoding` if `text`, as decoded, holds what is no character of its encoding."""
    if text.isascii():
        return
    if stray := _SURROGATE.search(text):
        code = ord(stray.group())
        what = f"byte 0x{code - 0xDC00:02x}" if 0xDC80 <= code < 0xDCFF else "something"
        raise RowProblem("bad_encoding", f"{what} at character {stray.start() + 1} is no text in the file's encoding")


def checked_line(line: Line, max_bytes: int) -> str:
    """The text of a line. Raises RowProblem `too_long` or `bad_encoding`."""
    if line.cut:
        raise too_long("line", max_bytes)
    refuse_bad_bytes(line.text)
    return line.text


def _with_head(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes, with at least `_HEAD_BYTES` in the first block if there are so many."""
    head = b""
    for block in blocks:
        if len(head) < _HEAD_BYTES:
            head += block
            if len(head) < _HEAD_BYTES:
                continue
            block = head
        yield block
    if 0 < len(head) < _HEAD_BYTES:
        yield head


def _pieces(
    blocks: Iterable[bytes], max_bytes: int, size: Callable[[bytes], int] = len
) -> Iterator[tuple[bytes, int]]:
    """Lines with their ends; behind each, the size of what was taken out of the middle of one that is too long."""
    held, dropped = b"", 0
    for block in blocks:
        pieces = (held + block).splitlines(keepends=True)
        # A line that ends in \r may go on with \n in the next block.
        held = pieces.pop() if pieces and not pieces[-1].endswith(b"\n") else b""
        for piece in pieces:
            yield piece, dropped
            dropped = 0
        if len(held) > max_bytes + _SPARE_BYTES:
            end = b"\r" if held.endswith(b"\r") else b""
            kept = _whole_characters(held[: max_bytes + 1])
            dropped += size(held[len(kept) : len(held) - len(end)])
            held = kept + end
    if held:
        yield held, dropped


def _whole_characters(data: bytes) -> bytes:
    """`data` without a UTF-8 character that is cut at its end."""
    for back in range(1, min(4, len(data)) + 1):
        if data[-back] >= 0xC0:
            return data[:-back]
        if data[-back] < 0x80:
            break
    return data


def _unmarked_utf16(head: bytes) -> str | None:
    """UTF-16, told by the zeros of its Latin letters, quotes and line ends; None if it is something else.

    Mostly Latin text has zeros at nearly all odd (little-endian) or even positions, and at no others. Text of other
    scripts has few of them, and some at the others (`\u4e00`); but its bytes are neither mostly ASCII nor UTF-8 with
    few control characters, and as UTF-16 they are text.
    """
    half = len(head) // 2
    if half < 16 or 0 not in head:
        return None
    even, odd = head[0 : 2 * half : 2].count(0), head[1 : 2 * half : 2].count(0)
    if odd > 0.8 * half and even == 0:
        return "utf-16-le"
    if even > 0.8 * half and odd == 0:
        return "utf-16-be"
    if len(head.translate(None, _PRINTABLE)) < _OTHER_SHARE * len(head):
        return None
    controls = len(head) - len(head.translate(None, _CONTROLS))
    if controls < _CONTROL_SHARE * len(head) and _decoded_head(head, "utf-8"):
        return None
    told = {name: _latin_signs(_decoded_head(head, name)) for name in ("utf-16-le", "utf-16-be")}
    best = max(told, key=lambda name: told[name])
    return best if told[best] > min(told.values()) and _is_text(_decoded_head(head, best)) else None


def _decoded_head(head: bytes, encoding: str) -> str:
    """The beginning of a file in an encoding, without a character that is cut; empty if it is no such text."""
    try:
        return codecs.getincrementaldecoder(encoding)("strict").decode(head)
    except UnicodeDecodeError:
        return ""


def _is_text(text: str) -> bool:
    """Whether a text is one: there is something, without control characters, and nearly all is assigned."""
    kinds = Counter(unicodedata.category(character) for character in text if character not in "\t\n\r\f")
    return bool(kinds) and not kinds["Cc"] and kinds["Cn"] + kinds["Co"] <= _UNASSIGNED_SHARE * kinds.total()


def _latin_signs(text: str) -> int:
    """How many different letters and signs of ASCII a text has: with its bytes swapped there are one or two, and hardly
    one that separates."""
    return sum(1 + 2 * (sign in _SEPARATORS) for sign in set(text) if " " <= sign <= "~" or sign in _SEPARATORS)


def _narrow_encoding(blocks: Iterable[bytes]) -> str:
    """UTF-8 or an 8-bit encoding, judged by lines up to the first that is UTF-8 and not ASCII."""
    high_controls: set[int] = set()
    invalid = False
    for piece, _ in _pieces(blocks, _JUDGED_BYTES):
        if piece.isascii():
            continue
        if _is_utf8(piece):
            return "utf-8"
        invalid = True
        high_controls |= set(piece) & _HIGH_CONTROLS
    if not invalid:
        return "utf-8"
    # Windows-1252 is Latin-1 with typographic quotes and dashes where Latin-1 has control codes.
    return "windows-1252" if high_controls.isdisjoint(_UNASSIGNED) else "latin-1"


def _is_utf8(piece: bytes) -> bool:
    """Whether a line, of which the middle may be missing, is UTF-8."""
    try:
        piece.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start > _JUDGED_BYTES - 4
    return True
