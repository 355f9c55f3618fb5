"""Lines of a large file by number, without reading it whole and without keeping it in memory.

    lines = Lines(artifact / "records.jsonl")
    dict(lines.read([3, 70_000]))      ->  {3: b'{"id": ...}\\n', 70000: b'{"id": ...}\\n'}

The first look at a far line passes over the lines before it; every 256th leaves a mark, 8 bytes each, from which the
next look begins.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from threading import Lock

from workbench.core.errors import IncompleteError

_LINES_BETWEEN_MARKS = 256


class Lines:
    """The lines of one file that does not change; may be used from several threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._marks = array("Q", [0])
        """Offset of every 256th line as far as the file was read."""
        self._lock = Lock()

    def read(self, numbers: Iterable[int]) -> Iterator[tuple[int, bytes]]:
        """The lines with these zero-based numbers, in ascending order, each with its number.

        IncompleteError if the file is missing or has fewer lines."""
        try:
            stream = self._path.open("rb")
        except OSError as error:
            raise IncompleteError(
                f"the records cannot be read: {error.strerror}",
                where=str(self._path),
                next_step="run `curate` again: it makes what is missing",
            ) from None
        with stream:
            here = 0
            for number in sorted(set(numbers)):
                mark = self._mark_before(number)
                if mark > here:
                    here = mark
                    stream.seek(self._marks[mark // _LINES_BETWEEN_MARKS])
                while here < number:
                    if not stream.readline():
                        raise self._too_short(number)
                    here += 1
                    self._leave_mark(here, stream.tell())
                line = stream.readline()
                if not line:
                    raise self._too_short(number)
                here += 1
                self._leave_mark(here, stream.tell())
                yield number, line

    def _mark_before(self, number: int) -> int:
        return min(number // _LINES_BETWEEN_MARKS, len(self._marks) - 1) * _LINES_BETWEEN_MARKS

    def _leave_mark(self, line: int, offset: int) -> None:
        """Notes where a line begins, if it is the next one to be marked."""
        if line % _LINES_BETWEEN_MARKS == 0:
            with self._lock:
                if line // _LINES_BETWEEN_MARKS == len(self._marks):
                    self._marks.append(offset)

    def _too_short(self, number: int) -> IncompleteError:
        return IncompleteError(
            f"there is no line {number + 1}: the index and the artifact do not belong together",
            where=str(self._path),
            next_step="workbench store rebuild",
        )
