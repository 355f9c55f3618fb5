"""Running a plan: skip what is cached, do the rest in order, commit each node, survive every kind of end.

Killed anywhere, the same plan continues: committed nodes are found by fingerprint, the node that was at work finds its
scratch directory again.
"""

from __future__ import annotations

import fcntl
import gc
import json
import os
import platform
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Protocol

import yaml

from workbench import __version__
from workbench.core.ablation_results import Ablation
from workbench.core.config import LoopConfig
from workbench.core.errors import ExitCode, IncompleteError, UsageError, WorkbenchError
from workbench.core.events import (
    Event,
    EventWriter,
    NodeCached,
    NodeFailed,
    NodeFinished,
    NodeMessage,
    NodeStarted,
    RunFinished,
    RunStarted,
)
from workbench.core.fingerprints import fingerprint
from workbench.core.nodes import CurateNode
from workbench.core.parts import read_model, write_text
from workbench.core.paths import Project
from workbench.core.records import Manifest
from workbench.core.results import Verdict
from workbench.core.stage import Artifact, Cancelled, Context, Done, Failed, Outcome
from workbench.endpoints.calls import ServerChanged
from workbench.loop.artifacts import ArtifactStore
from workbench.loop.extend_index import extend_index
from workbench.loop.indexing import index_artifact, index_run
from workbench.loop.jobs import LOCK_FD
from workbench.loop.library_output import to_log
from workbench.loop.plan import ABLATION, Node, Plan
from workbench.loop.publish import publish
from workbench.loop.registering import register_run
from workbench.loop.registry import stages
from workbench.loop.runs import continuation

RunStatus = Literal["completed", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended."""

    run: str
    exit_code: int
    status: RunStatus
    message: str
    cached: tuple[str, ...]
    ran: tuple[str, ...]
    artifacts: dict[str, Artifact]
    verdict: Verdict | None
    report: Path | None


@dataclass(frozen=True, slots=True)
class Ending:
    """What a run of its own kind ends in."""

    exit_code: int
    headline: str
    report: Path
    adapter: dict[str, Artifact]
    """What is to be registered, under the names that a loop's nodes have; empty for nothing."""


class Course(Protocol):
    """Decides while a plan runs which of its nodes are left out, and how it ends: for plans whose length depends on
    results or a budget. What it says of a node must follow from the artifacts of earlier nodes alone, or a continued
    run differs; only where a budget ends it may it be another.
    """

    def leaves_out(self, node: Node, artifacts: Mapping[str, Artifact]) -> bool:
        """Whether a node is not wanted, given the artifacts of all nodes before it that were."""
        ...

    def end(self, run: str, artifacts: Mapping[str, Artifact]) -> Ending:
        """Called once when nothing is left to do; writes what people read."""
        ...


def utc_now() -> str:
    """UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def execute(
    plan: Plan,
    config: LoopConfig,
    project: Project,
    run: str,
    *,
    command: str,
    selected: set[str] | None = None,
    course: Course | None = None,
    on_event: Callable[[Event], object] = lambda event: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> RunResult:
    """Runs the selected nodes (all by default); nodes outside the selection are taken from the cache or are an error.

    Every end is written to the run's events: completed, failed (with the exit code of the reason) or cancelled (143).
    Raises WorkbenchError or OSError for what goes wrong outside of the stages, such as a full disk.
    """
    directory = project.runs / run
    resumed = (directory / "plan.json").is_file()
    with _run_lock(directory):
        if not resumed:
            _write_run_files(directory, plan, config, run, command, selected)
        writer = EventWriter(directory / "events.jsonl", utc_now)

        def emit(event: Event) -> None:
            on_event(writer.write(event))

        try:
            emit(RunStarted(run=run, pid=os.getpid(), nodes=tuple(node.name for node in plan.nodes), resumed=resumed))
            wanted = {node.name for node in plan.nodes} if selected is None else selected
            with to_log(directory / "log.txt"):
                result = _Execution(plan, config, project, run, emit, cancelled, wanted, command, course).run()
            emit(RunFinished(run=run, status=result.status, exit_code=result.exit_code, message=result.message))
        except (WorkbenchError, OSError) as error:  # outside of any stage: a full disk, a damaged artifact
            code = error.exit_code if isinstance(error, WorkbenchError) else ExitCode.INCOMPLETE
            emit(RunFinished(run=run, status="failed", exit_code=code, message=str(error)))
            raise
        finally:
            writer.close()
        if (problem := index_run(project, directory)) is not None:
            on_event(NodeMessage(node="index", level="warning", message=problem))
    return result


@dataclass(slots=True)
class _Execution:
    """One pass over the plan."""

    plan: Plan
    config: LoopConfig
    project: Project
    run_id: str
    emit: Callable[[Event], None]
    cancelled: Callable[[], bool]
    wanted: set[str]
    command: str
    course: Course | None = None

    def run(self) -> RunResult:
        store = ArtifactStore(self.project)
        artifacts: dict[str, Artifact] = {}
        cached: list[str] = []
        ran: list[str] = []

        def ended(status: RunStatus, exit_code: int, message: str, report: Path | None = None) -> RunResult:
            verdict = _verdict_of(artifacts)
            return RunResult(
                self.run_id, exit_code, status, message, tuple(cached), tuple(ran), artifacts, verdict, report
            )

        go_on = continuation(self.run_id, self.command)
        for node in self.plan.nodes:
            if self.cancelled():
                return ended("cancelled", ExitCode.TERMINATED, f"stopped before {node.name}; {go_on}")
            if self.course is not None and self.course.leaves_out(node, artifacts):
                continue
            found = store.find(node.stage, node.fingerprint)
            if found is None and node.name not in self.wanted:
                if _needed(node, self.plan, self.wanted):
                    message = f"{node.name} is needed and was never run; run without --from or --only"
                    self.emit(NodeFailed(node=node.name, message=message, exit_code=ExitCode.INCOMPLETE))
                    return ended("failed", ExitCode.INCOMPLETE, message)
                continue
            if found is not None:
                if node.name in self.wanted:
                    self.emit(NodeCached(node=node.name, fingerprint=node.fingerprint))
                    cached.append(node.name)
                artifacts[node.name] = found
                self._index(node, found)
            else:
                outcome = self._run_node(store, node, artifacts)
                if isinstance(outcome, Cancelled):
                    return ended("cancelled", ExitCode.TERMINATED, f"stopped in {node.name}; {go_on}")
                if isinstance(outcome, Failed):
                    self.emit(NodeFailed(node=node.name, message=outcome.message, exit_code=outcome.exit_code))
                    return ended("failed", outcome.exit_code, f"{node.name}: {outcome.message}")
                artifacts[node.name] = outcome
                ran.append(node.name)
            if (problem := _nothing_left(node, artifacts[node.name])) is not None:
                self._extend_index(artifacts)
                self.emit(NodeFailed(node=node.name, message=problem, exit_code=ExitCode.INCOMPLETE))
                return ended("failed", ExitCode.INCOMPLETE, f"{node.name}: {problem}")
        self._extend_index(artifacts)
        if self.course is not None:
            ending = self.course.end(self.run_id, artifacts)
            self._register_adapter(ending.adapter)
            return ended("completed", ending.exit_code, ending.headline, ending.report)
        self._register_adapter(artifacts)
        if ablated := artifacts.get(ABLATION):
            ablation = read_model(ablated.part("ablation.json"), Ablation)
            written = publish(self.project, self.run_id, ablated, "ablation.md")
            return ended("completed", ablation.exit_code, ablation.headline, written)
        reported = artifacts.get("report")
        page = None if reported is None else publish(self.project, self.run_id, reported, "report.html")
        verdict = _verdict_of(artifacts)
        return ended(
            "completed", verdict.exit_code if verdict else ExitCode.OK, verdict.headline if verdict else "done", page
        )

    def _extend_index(self, artifacts: dict[str, Artifact]) -> None:
        """What was kept is known from now on, where a saved index is configured."""
        for node in self.plan.nodes:
            if node.name in artifacts and (joined := extend_index(self.project, node, artifacts[node.name])):
                self.emit(NodeMessage(node=node.name, level="info", message=joined))

    def _register_adapter(self, artifacts: dict[str, Artifact]) -> None:
        """What was trained gets a version, what was judged its verdict; a damaged registry costs the run a warning."""
        try:
            for said in register_run(self.project, self.run_id, self.config, artifacts, utc_now()):
                self.emit(NodeMessage(node="adapters", level="info", message=said))
        except WorkbenchError as error:
            advice = f"{error}\n  afterwards: workbench adapters register {self.run_id}"
            self.emit(NodeMessage(node="adapters", level="warning", message=advice))

    def _run_node(
        self, store: ArtifactStore, node: Node, artifacts: dict[str, Artifact]
    ) -> Artifact | Failed | Cancelled:
        with store.exclusive(node.stage, node.fingerprint, self.cancelled) as held:
            if not held:
                return Cancelled()
            if (found := store.find(node.stage, node.fingerprint)) is not None:
                return found
            self.emit(NodeStarted(node=node.name, fingerprint=node.fingerprint))
            output = store.fresh_output(node.stage, node.fingerprint)
            inputs = {node.known_as.get(name, name): artifacts[name] for name in node.inputs}
            context = Context(
                node=node.name,
                out_dir=output,
                work_dir=store.scratch(node.stage, node.fingerprint),
                project=self.project.root,
                seed=self.config.seed,
                emit=self.emit,
                clock=utc_now,
                cancelled=self.cancelled,
                fingerprint=node.fingerprint,
            )
            started = time.monotonic()
            outcome = _outcome_of(node, inputs, context)
            gc.collect()
            if not isinstance(outcome, Done):
                return outcome
            seconds = round(time.monotonic() - started, 3)
            artifact = store.commit(output, _manifest(node, inputs, outcome, seconds))
        self.emit(NodeFinished(node=node.name, fingerprint=node.fingerprint, seconds=seconds, summary=outcome.summary))
        self._index(node, artifact)
        return artifact

    def _index(self, node: Node, artifact: Artifact) -> None:
        """Tells the index. It may be busy or damaged, but it is rebuildable: that costs the run a warning, no more."""
        if (problem := index_artifact(self.project, artifact)) is not None:
            self.emit(NodeMessage(node=node.name, level="warning", message=problem))


def _outcome_of(node: Node, inputs: dict[str, Artifact], context: Context) -> Outcome:
    """Runs the stage; whatever it raises becomes a failed node with the exit code its reason deserves."""
    run = stages()[node.stage].run
    try:
        try:
            return run(node.config, inputs, context)
        except ServerChanged as changed:
            context.warn(f"{changed.problem}: the node begins anew")
        return run(node.config, inputs, context)
    except WorkbenchError as error:
        return Failed(str(error), error.exit_code)
    except MemoryError:
        return Failed("out of memory; lower batch_size or max_length")
    except OSError as error:
        traceback.print_exc()
        return Failed(f"{error.strerror or error}: {error.filename or ''}".rstrip(": "))
    except Exception as error:  # noqa: BLE001  the boundary to third-party code: the traceback goes to the run's log
        traceback.print_exc()
        return Failed(f"unexpected {type(error).__name__}: {error}; the traceback is in the run's log.txt")


def _manifest(node: Node, inputs: dict[str, Artifact], outcome: Done, seconds: float) -> Manifest:
    return Manifest(
        node=node.name,
        stage=node.stage,
        stage_version=stages()[node.stage].version,
        fingerprint=node.fingerprint,
        inputs={name: artifact.manifest.fingerprint for name, artifact in inputs.items()},
        config=node.config.model_dump(mode="json"),
        external=node.external,
        libraries={**node.libraries, "workbench": __version__, "python": platform.python_version()},
        parts=(),
        summary=dict(outcome.summary),
        created_at=utc_now(),
        seconds=seconds,
    )


def _nothing_left(node: Node, artifact: Artifact) -> str | None:
    """Why the run cannot go on with a curation that kept no row; None if it kept some, or the node is another."""
    if not isinstance(node.config, CurateNode):
        return None
    counts = dict(artifact.manifest.summary)
    rows, left, _ = (counts.pop(key, 0) for key in ("rows_in", "rows_out", "edges"))
    if left:
        return None
    return (
        f"nothing is left of {rows} records; rows dropped by reason:"
        f" {', '.join(f'{reason} {dropped}' for reason, dropped in counts.items())}\n  next: loosen or leave out the"
        f" filter that takes most (keys `curate.*`), or look at the data: {artifact.part('dropped.jsonl')}"
    )


def _needed(node: Node, plan: Plan, wanted: set[str]) -> bool:
    """Whether a wanted node that has to run depends on it, directly or through others."""
    direct = [other for other in plan.nodes if node.name in other.inputs]
    return any(other.name in wanted or _needed(other, plan, wanted) for other in direct)


def _verdict_of(artifacts: dict[str, Artifact]) -> Verdict | None:
    gate = artifacts.get("gate")
    return read_model(gate.part("verdict.json"), Verdict) if gate else None


@contextmanager
def _run_lock(directory: Path) -> Iterator[None]:
    """Held while the process works on the run; a job spawned detached has inherited it already."""
    if inherited := os.environ.pop(LOCK_FD, None):
        os.set_inheritable(int(inherited), False)
        yield
        return
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("ab") as lock:
        for attempt in range(20):  # a reader that looks whether the run lives holds the lock for an instant
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if attempt == 19:
                    raise UsageError(
                        f"run {directory.name!r} is being worked on by another process",
                        next_step=f"workbench runs attach {directory.name}",
                    ) from None
                time.sleep(0.1)
        yield


def _write_run_files(
    directory: Path, plan: Plan, config: LoopConfig, run: str, command: str, selected: set[str] | None
) -> None:
    resolved = config.model_dump(mode="json")
    header = f"# The configuration of run {run}, resolved: every value that was used.\n"
    write_text(directory / "config.yaml", header + yaml.safe_dump(resolved, sort_keys=False, allow_unicode=True))
    document = {
        "schema_version": 1,
        "run": run,
        "created_at": utc_now(),
        "config_hash": fingerprint(resolved),
        "command": command,
        "selected": [node.name for node in plan.nodes if selected is None or node.name in selected],
        "nodes": [
            {"name": node.name, "stage": node.stage, "fingerprint": node.fingerprint, "inputs": list(node.inputs)}
            for node in plan.nodes
        ],
    }
    write_text(directory / "plan.json", json.dumps(document, indent=2) + "\n")


def resumable(directory: Path, plan: Plan) -> set[str]:
    """The nodes the run was started for; IncompleteError if cards, suites, data or libraries changed since then."""
    recorded = json.loads((directory / "plan.json").read_text(encoding="utf-8"))
    before = {node["name"]: node["fingerprint"] for node in recorded["nodes"]}
    now = {node.name: node.fingerprint for node in plan.nodes}
    if before == now:
        return set(recorded["selected"])
    changed = [name for name in now if before.get(name) != now[name]]
    first = (changed or sorted(before))[0]
    raise IncompleteError(
        f"data, suites or libraries changed since the run was started; first affected node: {first}",
        where=f"run {directory.name}",
        next_step="start a new run: everything that is unchanged is taken from the cache",
    )


def refuse_unwritable(project: Project) -> None:
    """UsageError before anything is done if the project's directory cannot be written."""
    try:
        for directory in (project.runs, project.artifacts, project.reports):
            directory.mkdir(parents=True, exist_ok=True)
        probe = project.state / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UsageError(
            f"directory is not writable: {error.strerror}",
            where=str(error.filename or project.root),
            next_step="choose another directory with -C DIR",
        ) from None
