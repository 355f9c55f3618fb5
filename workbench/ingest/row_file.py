"""A JSON Lines part that is written while rows come in, beside other parts.

    with RowFile(out_dir / "records.jsonl") as records, RowFile(out_dir / "quarantine.jsonl") as quarantine: ...

The file gets its name when the block ends, so that what is there is complete; after an error there is none.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import BaseModel


class RowFile:
    """One part, for one `with` block."""

    def __init__(self, path: Path) -> None:
        self.rows = 0
        """Rows written."""
        self._path = path
        self._aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = self._aside.open("w", encoding="utf-8", buffering=1 << 18)
        return self

    def write(self, row: BaseModel) -> None:
        """Adds a row."""
        self.write_line(row.model_dump_json(exclude_defaults=True) + "\n")

    def write_line(self, line: str) -> None:
        """Adds a row as its JSON, line end included."""
        self._stream.write(line)
        self.rows += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._stream.flush()
                os.fsync(self._stream.fileno())
        finally:
            self._stream.close()
        if kind is None:
            self._aside.replace(self._path)
        else:
            self._aside.unlink(missing_ok=True)


def lines_of(path: Path) -> Iterator[str]:
    """The rows of a part as they were written, line ends included."""
    with path.open(encoding="utf-8", newline="\n") as stream:
        yield from stream
