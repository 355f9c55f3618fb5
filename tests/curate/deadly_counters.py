"""Counters that do to a worker process what the world may do to it, once it has rows of a file to look at."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

from workbench.core.errors import UsageError
from workbench.core.records import Record
from workbench.curate.tokens import RecordTokens, WordCounter


def _warming_up(records: Sequence[Record]) -> bool:
    return all(record.source.row is None for record in records)


class Dying(WordCounter):
    """Ends the process with code 7, or by SIGKILL, at the second batch it sees."""

    def __init__(self, by_signal: bool = False) -> None:
        self._by_signal = by_signal
        self._seen = 0

    def count(self, records: Sequence[Record]) -> list[RecordTokens]:
        self._seen += not _warming_up(records)
        if self._seen == 2:
            os.kill(os.getpid(), signal.SIGKILL) if self._by_signal else os._exit(7)
        return super().count(records)


class Refusing(WordCounter):
    """Raises what people are told."""

    def count(self, records: Sequence[Record]) -> list[RecordTokens]:
        if _warming_up(records):
            return super().count(records)
        raise UsageError("not like this", where="here", next_step="like that")


class Endless(WordCounter):
    """Says that it has begun, and never ends."""

    SIGN = "at work"

    def count(self, records: Sequence[Record]) -> list[RecordTokens]:
        if _warming_up(records):
            return super().count(records)
        sys.stdout.write(f"{self.SIGN}\n")
        sys.stdout.flush()
        while True:
            signal.pause()
