"""The response cache: an answered call is never paid twice, not even after `kill -9`.

    with ResponseCache(state / "responses") as cache:
        cache.put(key, reply)       # on disk when this returns
        cache.get(key)              # Reply(..., cached=True), or None

One SQLite file per project, readable by its owner alone. It holds answers, and what servers were seen to be able to do,
under hashes: neither prompts nor API keys.
"""

from __future__ import annotations

import os
import sqlite3
from dataclasses import fields, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from pydantic import TypeAdapter, ValidationError

from workbench.core.errors import IncompleteError
from workbench.core.fingerprints import fingerprint
from workbench.endpoints.calls import Ability, ChatRequest, Reply

_FILE = "responses.sqlite"
_LOCK_WAIT_S = 30.0
_PAGE_BYTES = 1024
"""A reply is small, and every page that it touches goes into the log whole: 4 KB for one instead of 11."""
_LOG_BYTES = 32 << 20
"""Moving the log into the file waits for the disk, and every call in flight with it."""
_PRIMARY_CODE = 0xFF
"""Bits of an SQLite error code that say what it is; the others say where."""
_ADVICE = {
    sqlite3.SQLITE_FULL: "make room on the disk and run again: the answers in the file are kept",
    sqlite3.SQLITE_BUSY: "another command writes to it: wait for its end and run again",
    sqlite3.SQLITE_READONLY: "make the file and its directory writable and run again",
    sqlite3.SQLITE_CANTOPEN: "make the file and its directory writable and run again",
    sqlite3.SQLITE_IOERR: "see to the disk and run again: the answers in the file may be whole",
}
_DAMAGED = "delete the file and run again (its answers will be asked for, and paid, again)"
_SENT = tuple(field.name for field in fields(ChatRequest))
_REPLY = TypeAdapter(Reply)
_ABILITY = TypeAdapter(Ability)


def cache_key(served_by: str, request: ChatRequest) -> str:
    """SHA-256 over who answers (address and model) and everything that can change the answer, seed included."""
    # not `asdict`, which copies messages and schema: this runs for every request before the first is sent
    sent: dict[str, Any] = {name: getattr(request, name) for name in _SENT}
    sent["messages"] = [message.model_dump(mode="json") for message in request.messages]
    return fingerprint([served_by, sent])


class ResponseCache:
    """Replies by key. One writer at a time; another process waits up to 30 s for its turn."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._path = directory / _FILE
        self._connection: sqlite3.Connection | None = None

    def __enter__(self) -> ResponseCache:
        """Opens the file, creating it (mode 0600) where there is none. IncompleteError if it is damaged."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
        except OSError as error:
            raise IncompleteError(
                f"response cache cannot be used: {error.strerror}",
                where=str(self._path),
                next_step="make the directory writable, or give another project with -C",
            ) from None
        # isolation_level=None: every statement is its own transaction, so every reply is committed by itself
        self._connection = sqlite3.connect(self._path, timeout=_LOCK_WAIT_S, isolation_level=None)
        self._execute(f"PRAGMA page_size={_PAGE_BYTES}")
        self._execute("PRAGMA journal_mode=WAL")
        # a commit survives the death of the process; a power cut may cost the last answers, never the file
        self._execute("PRAGMA synchronous=NORMAL")
        page_bytes = self._execute("PRAGMA page_size").fetchone()[0]  # an older file keeps its own
        self._execute(f"PRAGMA wal_autocheckpoint={_LOG_BYTES // page_bytes}")
        self._execute("CREATE TABLE IF NOT EXISTS replies (key TEXT PRIMARY KEY, reply TEXT NOT NULL)")
        self._execute("CREATE TABLE IF NOT EXISTS abilities (key TEXT PRIMARY KEY, ability TEXT NOT NULL)")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def latest(self) -> int:
        """The number of the reply that was stored last, for `get`."""
        return int(self._execute("SELECT coalesce(max(rowid), 0) FROM replies").fetchone()[0])

    def get(self, key: str, since: int | None = None, until: int | None = None) -> Reply | None:
        """The reply stored under `key`, marked as cached unless it was stored after number `since`; None if there is
        none up to number `until`, or the row is no reply."""
        row = self._execute("SELECT rowid, reply FROM replies WHERE key = ?", key).fetchone()
        if row is None or (until is not None and row[0] > until):
            return None
        try:
            return replace(_REPLY.validate_json(row[1]), cached=since is None or row[0] <= since)
        except ValidationError:
            return None

    def put(self, key: str, reply: Reply) -> None:
        """Stores a reply; on disk when this returns."""
        # not REPLACE, which would give the row another number
        statement = "INSERT INTO replies VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET reply = excluded.reply"
        self._execute(statement, key, _REPLY.dump_json(reply).decode("utf-8"))

    def ability(self, served_by: str, name: str) -> Ability | None:
        """What was seen of a server the last time; None if it was never tried, or the row is none."""
        row = self._execute("SELECT ability FROM abilities WHERE key = ?", fingerprint([served_by, name])).fetchone()
        try:
            return None if row is None else _ABILITY.validate_json(row[0])
        except ValidationError:
            return None

    def put_ability(self, served_by: str, name: str, ability: Ability) -> None:
        """Stores what was seen."""
        found = _ABILITY.dump_json(ability).decode("utf-8")
        self._execute("INSERT OR REPLACE INTO abilities VALUES (?, ?)", fingerprint([served_by, name]), found)

    def _execute(self, statement: str, *values: str) -> sqlite3.Cursor:
        assert self._connection is not None, "use ResponseCache in a with statement"
        try:
            return self._connection.execute(statement, values)
        except sqlite3.DatabaseError as error:
            self._connection.close()
            raise IncompleteError(
                f"response cache cannot be used: {error}",
                where=str(self._path),
                next_step=_ADVICE.get(getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE, _DAMAGED),
            ) from None
