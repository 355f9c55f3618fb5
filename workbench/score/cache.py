"""The score cache: finished batches of one arm in one file, so that no batch is computed twice in a project.

    .workbench/scores/5d0c...e1.jsonl
        {"batch":"<sha256>","check":"<sha256, 16 digits>","entry":{"seconds":0.41,"result":[[0.71,1,true],...]}}

The file's name is the hash of everything that decides an arm's numbers (`conditions.arm_key`), its first line says what
that was. A line is keyed by the hash of what the batch consists of. Lines are appended one at a time under a lock and
never move, so several processes may score the same arm. What a kill left unfinished, and a line whose check does not
fit, counts as damaged, is blanked, and is computed again. Results survive bit for bit: a float is written so that it
reads the same.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from workbench.core.fingerprints import fingerprint

_LINE = re.compile(rb'\{"batch":"([0-9a-f]{64})","check":"([0-9a-f]{16})","entry":(.*)\}\n', re.DOTALL)


@dataclass(frozen=True, slots=True)
class BatchTime:
    """One batch that was asked for."""

    seconds: float
    """Between asking and keeping, when it was computed."""
    reused: bool
    """Whether it was in the cache."""


class ScoreCache:
    """A `BatchMemo` in a file. Not for several threads; any number of processes may have the same file open."""

    def __init__(self, directory: Path, arm: Mapping[str, Any]) -> None:
        """Opens the arm's file, or begins it; the lines others have written are found. OSError as the disk has it."""
        directory.mkdir(parents=True, exist_ok=True)
        self._path = directory / f"{fingerprint(arm)[:32]}.jsonl"
        self._arm = dict(arm)
        self._lines: dict[str, tuple[int, int]] = {}
        self._read_up_to = 0
        self._asked: tuple[str, float] | None = None
        self._times: list[BatchTime] = []
        self.damaged = 0
        """Lines that could not be used, and were blanked so that they are told once."""
        self._append(b"")
        os.utime(self._path)  # used today: `workbench gc` goes by this
        self._find_lines()

    def get(self, batch: object) -> Any | None:
        """The result kept for `batch`; None if there is none, or a damaged one."""
        key = fingerprint(batch)
        entry = self._entry(key)
        if entry is None:
            self._asked = key, time.perf_counter()
            return None
        self._times.append(BatchTime(entry["seconds"], reused=True))
        return entry["result"]

    def put(self, batch: object, result: Any) -> None:
        """Appends the result; when this returns the operating system has it, so that a kill cannot lose it."""
        key = fingerprint(batch)
        asked, since = self._asked or (None, 0.0)
        seconds = time.perf_counter() - since if asked == key else 0.0
        self._append(_line(key, {"seconds": round(seconds, 6), "result": result}))
        self._times.append(BatchTime(seconds, reused=False))

    def take_times(self) -> list[BatchTime]:
        """The batches asked for since the last call."""
        taken, self._times = self._times, []
        return taken

    def _entry(self, key: str) -> dict[str, Any] | None:
        size = self._path.stat().st_size if self._path.exists() else 0
        if size < self._read_up_to:  # somebody collected the file, which may have been begun anew
            self._forget_lines()
        if key not in self._lines and size > self._read_up_to:
            self._find_lines()
        if key not in self._lines:
            return None
        with self._path.open("rb") as stream:
            entry = self._read(stream, key)
        if entry is not None:
            return entry
        self._forget_lines()  # the line is damaged, or the file is another one that has grown as long
        self._find_lines()
        if key not in self._lines:
            return None
        with self._path.open("rb+") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            entry = self._read(stream, key)
            if entry is None:
                self._blank(stream, *self._lines.pop(key))
        return entry

    def _read(self, stream: BinaryIO, key: str) -> dict[str, Any] | None:
        """What stands in the line of `key`; None if that is no such line, or a damaged one."""
        start, length = self._lines[key]
        stream.seek(start)
        found = _LINE.fullmatch(stream.read(length))
        if found is None or found[1].decode() != key or found[2] != _check(found[1], found[3]):
            return None
        entry: dict[str, Any] = json.loads(found[3])
        return entry

    def _forget_lines(self) -> None:
        self._lines, self._read_up_to = {}, 0

    def _append(self, line: bytes) -> None:
        with self._path.open("ab+") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            end = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, end - 1))
            last = stream.read(1)
            if last == b"":
                stream.write(_line(fingerprint("arm"), self._arm))
            elif last != b"\n":  # what a killed writer left becomes a line of its own, which nobody will find
                stream.write(b"\n")
            stream.write(line)

    def _find_lines(self) -> None:
        """Notes where the lines begin that were written since the last look, by this process or by others."""
        unusable = []
        with self._path.open("rb+") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            stream.seek(max(0, self._read_up_to - 1))
            if self._read_up_to and stream.read(1) != b"\n":  # not where a line ended: another file
                self._forget_lines()
                stream.seek(0)
            for line in stream:
                if (found := _LINE.fullmatch(line)) is not None:
                    self._lines[found[1].decode()] = self._read_up_to, len(line)
                elif not line.isspace():
                    unusable.append((self._read_up_to, len(line)))
                self._read_up_to += len(line)
            for start, length in unusable:
                self._blank(stream, start, length)

    def _blank(self, stream: BinaryIO, start: int, length: int) -> None:
        """An empty line in the place of a damaged one: those after it stay where other processes know them to be."""
        stream.seek(start)
        stream.write(b" " * (length - 1) + b"\n")
        self.damaged += 1


def _line(key: str, entry: object) -> bytes:
    batch, content = key.encode(), json.dumps(entry, ensure_ascii=True, separators=(",", ":")).encode()
    return b'{"batch":"%b","check":"%b","entry":%b}\n' % (batch, _check(batch, content), content)


def _check(batch: bytes, content: bytes) -> bytes:
    return hashlib.sha256(batch + content).hexdigest()[:16].encode()
