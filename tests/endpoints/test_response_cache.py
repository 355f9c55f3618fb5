"""A cache that cannot be used says why, and never advises to throw away what was paid for without need."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from endpoints.asking import FakeTime, open_on, question
from endpoints.scripted_server import ScriptedServer, says, status

from workbench.core.errors import IncompleteError
from workbench.endpoints.cache import ResponseCache
from workbench.endpoints.calls import CallFailed, Reply

REPLY = Reply("x" * 20_000, "stop", None, 1, 1)


def test_a_full_disk_keeps_what_is_in_the_file_and_says_so(tmp_path: Path) -> None:
    with ResponseCache(tmp_path) as cache:
        cache.put("a", REPLY)
    with ResponseCache(tmp_path) as cache:
        cache._execute("PRAGMA max_page_count=1")  # as many as there are
        with pytest.raises(IncompleteError, match="full") as caught:
            for number in range(9):
                cache.put(str(number), REPLY)
    assert caught.value.next_step is not None and "make room" in caught.value.next_step
    with ResponseCache(tmp_path) as cache:
        assert cache.get("a") is not None


def test_a_file_that_another_holds_is_not_to_be_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.endpoints.cache._LOCK_WAIT_S", 0.05)
    with ResponseCache(tmp_path) as cache:
        other = sqlite3.connect(next(tmp_path.glob("*.sqlite")), isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(IncompleteError, match="locked") as caught:
            cache.put("a", REPLY)
        other.close()
    assert caught.value.next_step is not None and "another command" in caught.value.next_step


def test_a_place_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    cache = ResponseCache(tmp_path / "state" / "responses")
    with pytest.raises(IncompleteError, match="cannot be used") as caught, cache:
        pass
    assert str(tmp_path / "state") in str(caught.value) and "-C" in str(caught.value)


def test_a_long_pause_is_said(tmp_path: Path) -> None:
    time = FakeTime()
    with ScriptedServer(lambda _r, n: says("ok") if n > 1 else status(429, "too many", Retry_After="120")) as server:
        (answer,) = open_on(server.url, tmp_path, time).chat([question()])
    assert isinstance(answer, Reply)
    assert [line for line in time.said if "waiting 120 s, as the server asks: 429: too many" in line] == time.said
    assert len(time.said) == 2  # one for each of the two refusals, 120 s apart


def test_a_pause_that_is_over_in_a_moment_is_not_worth_a_word(tmp_path: Path) -> None:
    time = FakeTime()
    with ScriptedServer(lambda _r, _n: status(429, Retry_After="2")) as server:
        (answer,) = open_on(server.url, tmp_path, time).chat([question()])
    assert isinstance(answer, CallFailed) and time.said == []


def test_the_log_of_an_older_file_grows_no_longer_than_that_of_a_new_one(tmp_path: Path) -> None:
    older, newer = tmp_path / "older", tmp_path / "newer"
    older.mkdir()
    with closing(sqlite3.connect(older / "responses.sqlite")) as connection:
        connection.execute("PRAGMA page_size=4096")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE replies (key TEXT PRIMARY KEY, reply TEXT NOT NULL)")
    lengths = []
    for directory in (older, newer):
        with ResponseCache(directory) as cache:
            page = cache._execute("PRAGMA page_size").fetchone()[0]
            lengths.append((page, page * cache._execute("PRAGMA wal_autocheckpoint").fetchone()[0]))
    assert lengths == [(4096, 32 << 20), (1024, 32 << 20)]
