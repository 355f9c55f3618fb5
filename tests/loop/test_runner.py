"""The runner on a three-node plan of small real stages: commit, cache, failure, cancel, resume, locks.

The stages here are written for these tests; they read and write real files through the same protocol as the product's.
"""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from workbench.core.config import LoopConfig
from workbench.core.errors import ExitCode, IncompleteError, PrerequisiteError, UsageError
from workbench.core.events import Event, read_events
from workbench.core.fingerprints import fingerprint
from workbench.core.parts import write_text
from workbench.core.paths import Project
from workbench.core.stage import Cancelled, Context, Done, Failed, Inputs, Outcome, Stage
from workbench.core.wire import Wire
from workbench.endpoints.calls import ServerChanged
from workbench.loop import run as runner
from workbench.loop.artifacts import ArtifactStore
from workbench.loop.plan import Node, Plan, select
from workbench.loop.runs import is_locked, list_runs, read_run


class Number(Wire):
    value: int = 0


def _write_number(config: Number, inputs: Inputs, ctx: Context) -> Outcome:
    total = config.value + sum(int(artifact.part("n.txt").read_text()) for artifact in inputs.values())
    ctx.progress(1, 1, "numbers")
    write_text(ctx.out_dir / "n.txt", str(total))
    return Done({"total": total})


Behaviour = Callable[[Number, Inputs, Context], Outcome]


@pytest.fixture
def behaviours(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Behaviour]]:
    """Stage name to what it does; tests replace single entries."""
    table: dict[str, Behaviour] = {"ingest": _write_number, "curate": _write_number, "mix": _write_number}
    monkeypatch.setattr(
        runner,
        "stages",
        lambda: {
            name: Stage(name=name, version=1, config=Number, run=lambda c, i, x, name=name: table[name](c, i, x))
            for name in table
        },
    )
    yield table


def _plan(first: int = 1, second: int = 10) -> Plan:
    """ingest:a (first) > curate (+second) > mix (+100)."""
    nodes: list[Node] = []
    for name, stage, value, inputs in (
        ("ingest:a", "ingest", first, ()),
        ("curate", "curate", second, ("ingest:a",)),
        ("mix", "mix", 100, ("curate",)),
    ):
        below = {other.name: other.fingerprint for other in nodes if other.name in inputs}
        nodes.append(Node(name, stage, Number(value=value), inputs, {}, {}, fingerprint([stage, value, below])))
    return Plan(tuple(nodes))


def _run(tmp_path: Path, plan: Plan, run: str = "r1", **options: object) -> runner.RunResult:
    return runner.execute(plan, LoopConfig(), Project(tmp_path), run, command="test", **options)


def _total(result: runner.RunResult) -> int:
    return int(result.artifacts["mix"].part("n.txt").read_text())


def test_values_flow_along_the_plan_and_are_committed(tmp_path: Path, behaviours: dict[str, Behaviour]) -> None:
    result = _run(tmp_path, _plan())
    assert (result.status, result.exit_code, _total(result)) == ("completed", 0, 111)
    manifest = json.loads((result.artifacts["curate"].path / "manifest.json").read_text())
    assert manifest["summary"] == {"total": 11} and [part["path"] for part in manifest["parts"]] == ["n.txt"]


def test_a_second_run_takes_everything_from_the_cache(tmp_path: Path, behaviours: dict[str, Behaviour]) -> None:
    _run(tmp_path, _plan())
    again = _run(tmp_path, _plan(), "r2")
    assert again.ran == () and again.cached == ("ingest:a", "curate", "mix") and _total(again) == 111


def test_a_changed_setting_reruns_its_node_and_what_depends_on_it(
    tmp_path: Path, behaviours: dict[str, Behaviour]
) -> None:
    _run(tmp_path, _plan())
    changed = _run(tmp_path, _plan(second=20), "r2")
    assert changed.cached == ("ingest:a",) and changed.ran == ("curate", "mix") and _total(changed) == 121


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (UsageError("bad"), ExitCode.USAGE),
        (IncompleteError("bad"), ExitCode.INCOMPLETE),
        (PrerequisiteError("bad"), ExitCode.PREREQUISITE),
        (ZeroDivisionError("bad"), ExitCode.INCOMPLETE),
    ],
)
def test_what_a_stage_raises_becomes_a_failed_node_with_its_exit_code(
    tmp_path: Path, behaviours: dict[str, Behaviour], raised: Exception, code: ExitCode
) -> None:
    def fail(config: Number, inputs: Inputs, ctx: Context) -> Outcome:
        raise raised

    behaviours["curate"] = fail
    result = _run(tmp_path, _plan())
    assert (result.status, result.exit_code) == ("failed", code) and "bad" in result.message
    assert ArtifactStore(Project(tmp_path)).find("curate", _plan().node("curate").fingerprint) is None
    view = read_run(Project(tmp_path), "r1")
    assert view.status == "failed" and [node.status for node in view.nodes] == ["done", "failed", "pending"]


def test_a_stage_whose_server_changed_begins_anew_once(tmp_path: Path, behaviours: dict[str, Behaviour]) -> None:
    begun = []

    def changed(times: int) -> Behaviour:
        def stage(config: Number, inputs: Inputs, ctx: Context) -> Outcome:
            begun.append(times)
            if len(begun) <= times:
                raise ServerChanged("another server")
            return _write_number(config, inputs, ctx)

        return stage

    behaviours["curate"] = changed(1)
    assert (_total(_run(tmp_path, _plan())), len(begun)) == (111, 2)
    begun.clear()
    behaviours["curate"] = changed(2)
    result = _run(tmp_path, _plan(second=20), "r2")
    assert (result.exit_code, len(begun)) == (ExitCode.INCOMPLETE, 2)


def test_the_traceback_of_an_unexpected_error_is_in_the_log_and_not_in_the_message(
    tmp_path: Path, behaviours: dict[str, Behaviour]
) -> None:
    def fail(config: Number, inputs: Inputs, ctx: Context) -> Outcome:
        raise ZeroDivisionError("deep inside")

    behaviours["mix"] = fail
    result = _run(tmp_path, _plan())
    log = (Project(tmp_path).runs / "r1" / "log.txt").read_text()
    assert "Traceback" in log and "deep inside" in log and "Traceback" not in result.message


def test_library_output_goes_to_the_log(
    tmp_path: Path, behaviours: dict[str, Behaviour], capfd: pytest.CaptureFixture[str]
) -> None:
    def noisy(config: Number, inputs: Inputs, ctx: Context) -> Outcome:
        subprocess.run(
            [sys.executable, "-c", "import sys; print('from a child'); print('more', file=sys.stderr)"], check=True
        )
        return _write_number(config, inputs, ctx)

    behaviours["curate"] = noisy
    _run(tmp_path, _plan())
    captured = capfd.readouterr()
    assert captured.out == "" and captured.err == ""
    log = (Project(tmp_path).runs / "r1" / "log.txt").read_text()
    assert "from a child" in log and "more" in log


def test_a_failed_run_continues_with_its_scratch(tmp_path: Path, behaviours: dict[str, Behaviour]) -> None:
    def first(config: Number, inputs: Inputs, ctx: Context) -> Outcome:
        write_text(ctx.work_dir / "half", "7")
        return Failed("the disk is full")

    def second(config: Number, inputs: Inputs, ctx: Context) -> Outcome:
        assert (ctx.work_dir / "half").read_text() == "7"
        return _write_number(config, inputs, ctx)

    behaviours["curate"] = first
    assert _run(tmp_path, _plan()).status == "failed"
    behaviours["curate"] = second
    result = _run(tmp_path, _plan())
    assert result.status == "completed" and result.cached == ("ingest:a",) and _total(result) == 111
    assert not (Project(tmp_path).work / "curate" / _plan().node("curate").fingerprint).exists()
    events, _ = read_events(Project(tmp_path).runs / "r1" / "events.jsonl")
    assert [event.seq for event in events] == list(range(1, len(events) + 1))


def test_cancelling_keeps_what_was_reached(tmp_path: Path, behaviours: dict[str, Behaviour]) -> None:
    asked = False

    def cancelling(config: Number, inputs: Inputs, ctx: Context) -> Outcome:
        nonlocal asked
        asked = True
        return Cancelled()

    behaviours["curate"] = cancelling
    result = _run(tmp_path, _plan(), cancelled=lambda: asked)
    assert (result.status, result.exit_code) == ("cancelled", 143) and result.ran == ("ingest:a",)
    assert read_run(Project(tmp_path), "r1").status == "cancelled"


def test_only_and_from_take_the_rest_from_the_cache_or_say_what_is_missing(
    tmp_path: Path, behaviours: dict[str, Behaviour]
) -> None:
    plan = _plan()
    missing = _run(tmp_path, plan, selected=select(plan, only="mix", first=None, last=None))
    assert missing.exit_code == ExitCode.INCOMPLETE and "ingest:a is needed" in missing.message
    partial = _run(tmp_path, plan, "r2", selected=select(plan, only=None, first=None, last="curate"))
    assert partial.ran == ("ingest:a", "curate") and "mix" not in partial.artifacts
    rest = _run(tmp_path, plan, "r3", selected=select(plan, only="mix", first=None, last=None))
    assert rest.ran == ("mix",) and _total(rest) == 111


def test_an_unknown_stage_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="unknown stage 'trian'"):
        select(_plan(), only="trian", first=None, last=None)


def test_two_processes_on_one_run_are_refused(tmp_path: Path, behaviours: dict[str, Behaviour]) -> None:
    script = textwrap.dedent(
        """
        import fcntl, sys
        lock = open(sys.argv[1], "ab"); fcntl.flock(lock, fcntl.LOCK_EX); print("held", flush=True); sys.stdin.read()
        """
    )
    directory = Project(tmp_path).runs / "r1"
    directory.mkdir(parents=True)
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(directory / "lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
    assert is_locked(directory)
    with pytest.raises(UsageError, match="another process"):
        _run(tmp_path, _plan())
    holder.communicate(b"")
    assert not is_locked(directory)
    assert _run(tmp_path, _plan()).status == "completed"


def test_a_half_written_artifact_is_never_taken_for_one(tmp_path: Path, behaviours: dict[str, Behaviour]) -> None:
    store = ArtifactStore(Project(tmp_path))
    left_over = store.fresh_output("curate", _plan().node("curate").fingerprint)
    write_text(left_over / "n.txt", "999")
    assert _total(_run(tmp_path, _plan())) == 111


def test_a_failure_outside_of_the_stages_is_a_failed_run_and_not_a_killed_one(
    tmp_path: Path, behaviours: dict[str, Behaviour]
) -> None:
    def blocks_its_commit(config: Number, inputs: Inputs, ctx: Context) -> Outcome:
        (ctx.out_dir.parent / ctx.fingerprint).write_text("a file where the artifact belongs")
        return Done({})

    behaviours["curate"] = blocks_its_commit
    with pytest.raises(NotADirectoryError):
        _run(tmp_path, _plan())
    view = read_run(Project(tmp_path), "r1")
    assert (view.status, view.exit_code) == ("failed", 3) and "Not a directory" in view.message


def test_a_run_whose_data_changed_is_not_continued(tmp_path: Path, behaviours: dict[str, Behaviour]) -> None:
    _run(tmp_path, _plan())
    directory = Project(tmp_path).runs / "r1"
    assert runner.resumable(directory, _plan()) == {"ingest:a", "curate", "mix"}
    with pytest.raises(IncompleteError, match="first affected node: curate"):
        runner.resumable(directory, _plan(second=11))


def test_a_run_is_continued_for_the_nodes_it_was_started_for(tmp_path: Path, behaviours: dict[str, Behaviour]) -> None:
    plan = _plan()
    _run(tmp_path, plan, selected=select(plan, only=None, first=None, last="curate"))
    assert runner.resumable(Project(tmp_path).runs / "r1", plan) == {"ingest:a", "curate"}


def test_a_run_without_a_process_is_called_killed(tmp_path: Path, behaviours: dict[str, Behaviour]) -> None:
    seen: list[Event] = []

    def dies(config: Number, inputs: Inputs, ctx: Context) -> Outcome:
        raise SystemExit(9)  # as sudden as a test may end

    behaviours["curate"] = dies
    with pytest.raises(SystemExit):
        _run(tmp_path, _plan(), on_event=seen.append)
    (view,) = list_runs(Project(tmp_path))
    assert view.status == "killed" and "the same command again" in view.message
    assert replace(view, status="running").node("curate") is not None
