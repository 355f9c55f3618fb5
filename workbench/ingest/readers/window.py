"""A window that slides over a text: what a reader of JSON documents sees of a file of any size.

    [{"text": "one"}, {"text": "two"}, ...
     ^at                                     peek() -> "{"     value() -> ({"text": "one"}, ...)

Only what lies between `at` and the last block read is in memory.
"""

from __future__ import annotations

import re
from typing import Any

from workbench.ingest.decode import TextFile
from workbench.ingest.rows import too_long
from workbench.ingest.strict_json import Unfinished, parse_at, skip_space

_OUTSIDE = re.compile(r'["{}\[\],]')
_IN_STRING = re.compile(r'"|\\.', re.DOTALL)
_HELD_CHARS = 16 << 20
_OVERLAP_CHARS = 4096
"""A pattern that `seek` looks for may be as long."""


class Window:
    """The text of a file between `at` and what was read last."""

    def __init__(self, source: TextFile) -> None:
        self.text = ""
        self.at = 0
        """Position in `text`."""
        self._source = source
        self._blocks = source.blocks()
        self._held: int | None = None
        self._counted = 0
        self._line = 1
        self._byte = 0
        self._whole = False

    def peek(self) -> str:
        """The next character that is no white space, which `at` then points to; empty at the end of the text."""
        while True:
            self.at = skip_space(self.text, self.at)
            if self.at < len(self.text):
                return self.text[self.at]
            if not self.more():
                return ""

    def peek_inside(self) -> str:
        """The next such character behind the one at `at`, which stays."""
        while True:
            position = skip_space(self.text, self.at + 1)
            if position < len(self.text):
                return self.text[position]
            if not self.more():
                return ""

    def space(self) -> str:
        """The white space from `at` on, of a longer one the last part; `at` then points behind it."""
        space = ""
        while True:
            end = skip_space(self.text, self.at)
            space = (space + self.text[self.at : end])[-_OVERLAP_CHARS:]
            self.at = end
            if end < len(self.text) or not self.more():
                return space

    def value(self, max_bytes: int) -> tuple[Any, int]:
        """The JSON value at `at` and the position behind it; `at` stays.

        Raises RowProblem as `parse_at` does, Unfinished only at the end of the text, and `too_long`."""
        while True:
            try:
                value, end = parse_at(self.text, self.at)
            except Unfinished:
                if len(self.text) - self.at > max_bytes:
                    raise too_long("row", max_bytes) from None
                if not self.more():
                    raise
                continue
            if end < len(self.text) or not self.more():
                break
        if end - self.at > max_bytes or self._source.byte_length(self.text[self.at : end]) > max_bytes:
            raise too_long("row", max_bytes)
        return value, end

    def skip_value(self) -> bool:
        """Moves `at` behind the value that begins there, by its brackets and quotes alone; False if it has no end."""
        depth, in_string = 0, False
        if self.peek() in ("]", "}"):
            self.at += 1
            return True
        while True:
            found = (_IN_STRING if in_string else _OUTSIDE).search(self.text, self.at)
            if found is None:
                self.at = len(self.text) - (in_string and self.text.endswith("\\"))
                if not self.more():
                    return False
                continue
            token = found.group()
            if depth == 0 and token in ",]}":
                self.at = found.start()
                return True
            self.at = found.end()
            if token == '"':
                in_string = not in_string
            elif token in "{[":
                depth += 1
            elif token in "}]":
                depth -= 1
            if depth == 0 and not in_string and token in '"}]':
                return True

    def hold(self) -> None:
        """Keeps the text from `at` on for `back`, as long as it does not grow beyond bounds."""
        self._held = self.at

    def release(self) -> None:
        """Keeps it no longer."""
        self._held = None

    def back(self) -> None:
        """Moves `at` behind the character at which `hold` was called, or leaves it if that is no longer there."""
        if self._held is not None:
            self.at = self._held + 1
        self._held = None

    def seek(self, pattern: re.Pattern[str]) -> bool:
        """Moves `at` to the start of the first group of the next match; False, at the end of the text, without one."""
        while True:
            if found := pattern.search(self.text, self.at):
                self.at = found.start(1)
                return True
            self.at = max(self.at, len(self.text) - _OVERLAP_CHARS)
            if not self.more():
                self.at = len(self.text)
                return False

    def more(self) -> bool:
        """Reads on, at least as much again as is held; False at the end of the text."""
        if self._whole:
            return False
        if self._held is not None and len(self.text) - self._held > _HELD_CHARS:
            self._held = None
        self._let_go(self.at if self._held is None else self._held)
        pieces, size = [self.text], 0
        wanted = len(self.text) + 1
        while size < wanted:
            block = next(self._blocks, None)
            if block is None:
                self._whole = True
                break
            pieces.append(block)
            size += len(block)
        self.text = "".join(pieces)
        return size > 0

    def place(self) -> tuple[int, int]:
        """Line, from one, and byte of `at`."""
        return self._place(self.at)

    def _place(self, position: int) -> tuple[int, int]:
        self._byte = self._byte or self._source.start
        passed = self.text[self._counted : position]
        self._line += passed.count("\n")
        if "\r" in passed:
            self._line += passed.count("\r") - passed.count("\r\n")
        self._byte += self._source.byte_length(passed)
        self._counted = position
        return self._line, self._byte

    def _let_go(self, position: int) -> None:
        """Drops the text before `position`."""
        position -= position > 0 and self.text[position - 1] == "\r"  # it may be half of a line end
        self._place(position)
        self.text = self.text[position:]
        self.at -= position
        self._held = None if self._held is None else self._held - position
        self._counted = 0
