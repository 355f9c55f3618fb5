"""Several processes at one index, some of them killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import duckdb
import pytest
from sample_project import commit_artifact

from workbench.core.paths import Project
from workbench.core.records import CurvePoint
from workbench.store.connection import IndexBusy, StoreBusy, attach, reading
from workbench.store.loader import Loaded, load_artifact, pending, rebuild
from workbench.store.queries import query

WRITER = """
import sys
from pathlib import Path
from workbench.store.loader import load_artifact
for line in sys.stdin:
    print(type(load_artifact(Path(sys.argv[1]), Path(line.rstrip("\\n")), timeout_s=60)).__name__, flush=True)
"""
HOLDER = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1])
print("held", flush=True)
sys.stdin.readline()
"""


def start(script: str, index: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), str(index)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def curves(project: Project, count: int, steps: int = 50) -> list[Path]:
    """Artifacts of `steps` points each, told apart by their stage version."""
    made = []
    for number in range(1, count + 1):
        points = [
            CurvePoint(step=step, loss=number, learning_rate=0.1, grad_norm=1, tokens=1, seconds=step)
            for step in range(steps)
        ]
        directory, _ = commit_artifact(project, "train", {}, {"curve.jsonl": points}, version=number)
        made.append(directory)
    return made


def say(process: subprocess.Popen[str], line: object) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{line}\n")
    process.stdin.flush()


def hear(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def end(process: subprocess.Popen[str]) -> None:
    process.communicate()
    assert process.returncode == 0


def test_what_a_killed_writer_acknowledged_is_there_and_what_it_began_is_whole_or_absent(tmp_path: Path) -> None:
    project = Project(tmp_path)
    directories = curves(project, 6)
    acknowledged = []
    for first in range(0, len(directories), 3):
        writer = start(WRITER, project.index)
        for directory in directories[first : first + 2]:
            say(writer, directory)
            assert hear(writer) == "Loaded"
            acknowledged.append(directory.name)
        say(writer, directories[first + 2])  # under way, or about to be
        os.kill(writer.pid, signal.SIGKILL)
        writer.communicate()
    rows = query(project.index, "SELECT fingerprint, count(*) FROM curve GROUP BY 1").rows
    loaded = {row[0] for row in query(project.index, "SELECT fingerprint FROM artifacts").rows}
    assert set(acknowledged) <= loaded
    assert dict(rows) == dict.fromkeys(loaded, 50)
    for directory in directories:
        load_artifact(project.index, directory)
    assert query(project.index, "SELECT count(*) FROM curve").rows == ((300,),)


def test_two_writers_lose_nothing_and_a_reader_sees_only_whole_artifacts(tmp_path: Path) -> None:
    project = Project(tmp_path)
    directories = curves(project, 10)
    load_artifact(project.index, directories[0])
    writers = [start(WRITER, project.index), start(WRITER, project.index)]
    for position, directory in enumerate(directories):
        say(writers[position % 2], directory)
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.close()
    seen = [0]
    while any(writer.poll() is None for writer in writers):
        try:
            counts = query(project.index, "SELECT count(*) FROM curve GROUP BY fingerprint").rows
        except IndexBusy:
            continue
        assert {count for (count,) in counts} == {50}
        seen.append(len(counts))
    assert seen == sorted(seen)
    assert [writer.returncode for writer in writers] == [0, 0]
    assert query(project.index, "SELECT count(*), count(DISTINCT fingerprint) FROM curve").rows == ((500, 10),)


def test_a_held_index_gives_store_busy_with_the_process_and_the_artifact_stays_pending(tmp_path: Path) -> None:
    project = Project(tmp_path)
    (directory,) = curves(project, 1)
    load_artifact(project.index, directory)
    later, _ = commit_artifact(project, "train", {}, {}, version=99)
    holder = start(HOLDER, project.index)
    assert hear(holder) == "held"
    assert load_artifact(project.index, later, timeout_s=0.2) == StoreBusy(f"process {holder.pid}")
    with pytest.raises(IndexBusy, match=str(holder.pid)):
        rebuild(project, timeout_s=0.2)
    say(holder, "")
    end(holder)
    assert pending(project.index, project) == (later,)
    assert isinstance(load_artifact(project.index, later), Loaded)
    assert pending(project.index, project) == ()


def test_a_reader_of_a_held_index_is_told_who_holds_it(tmp_path: Path) -> None:
    project = Project(tmp_path)
    (directory,) = curves(project, 1)
    load_artifact(project.index, directory)
    holder = start(HOLDER, project.index)
    assert hear(holder) == "held"
    with pytest.raises(IndexBusy, match=f"process {holder.pid}"), reading(project.index, timeout_s=0.1):
        pass
    say(holder, "")
    end(holder)


def test_a_loader_waits_for_another_one_of_its_own_process(tmp_path: Path) -> None:
    project = Project(tmp_path)
    (directory,) = curves(project, 1)
    staging = duckdb.connect(":memory:")
    assert attach(staging, project.index) is None
    assert load_artifact(project.index, directory, timeout_s=0.1) == StoreBusy("another part of this process")
    staging.close()
    assert isinstance(load_artifact(project.index, directory), Loaded)


def test_the_log_that_a_killed_process_left_beside_a_damaged_index_does_not_reach_the_rebuilt_one(
    tmp_path: Path,
) -> None:
    project = Project(tmp_path)
    curves(project, 2)
    rebuild(project)
    project.index.write_bytes(b"no database" * 1000)
    project.index.with_name("workbench.duckdb.wal").write_bytes(b"no log" * 1000)
    rebuild(project)
    assert query(project.index, "SELECT count(*) FROM curve").rows == ((100,),)
