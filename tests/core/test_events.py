"""Events: numbered, flushed, and readable while they are being written."""

from __future__ import annotations

from pathlib import Path

from workbench.core.events import EventWriter, NodeProgress, NodeStarted, RunStarted, read_events


def _clock() -> str:
    return "2026-01-01T00:00:00+00:00"


def test_events_come_back_as_written_and_numbered(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path / "events.jsonl", _clock)
    writer.write(RunStarted(run="r", pid=1, nodes=("a",), resumed=False))
    writer.write(NodeProgress(node="a", done=1, total=None, unit="rows", message="\x1b[2J \ud800"))
    writer.close()
    events, offset = read_events(tmp_path / "events.jsonl")
    assert [event.seq for event in events] == [1, 2]
    assert events[1].event == "node_progress" and events[1].message == "\x1b[2J \ufffd"
    assert offset == (tmp_path / "events.jsonl").stat().st_size


def test_numbers_continue_after_a_kill_that_tore_the_last_line(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    writer = EventWriter(path, _clock)
    writer.write(NodeStarted(node="a", fingerprint="f"))
    writer.close()
    with path.open("a") as stream:
        stream.write('{"event": "node_pro')
    events, offset = read_events(path)
    assert len(events) == 1 and offset < path.stat().st_size, "the torn line is not consumed"
    resumed = EventWriter(path, _clock)
    resumed.write(NodeStarted(node="b", fingerprint="g"))
    resumed.close()
    assert [(event.seq, event.node) for event in read_events(path)[0]] == [(1, "a"), (2, "b")]


def test_reading_from_an_offset_gives_only_what_is_new(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    writer = EventWriter(path, _clock)
    writer.write(NodeStarted(node="a", fingerprint="f"))
    _, offset = read_events(path)
    writer.write(NodeStarted(node="b", fingerprint="g"))
    fresh, _ = read_events(path, offset)
    writer.close()
    assert [event.node for event in fresh] == ["b"]


def test_lines_of_a_newer_writer_are_skipped(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text(
        '{"event": "from_the_future", "x": 1}\n{"event": "node_started", "node": "a", "fingerprint": "f"}\n'
    )
    events, _ = read_events(path)
    assert [event.event for event in events] == ["node_started"]
