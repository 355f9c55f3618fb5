"""Runs and decisions as rows: what happened and who decided, from the files that are the truth.

.workbench/runs/RUN/{config.yaml, plan.json, events.jsonl}   ->  a row in runs, a row per node in run_nodes
.workbench/decisions/*.jsonl                                 ->  a row per decision, ratings.jsonl one per rating
.workbench/adapters/log.jsonl                                ->  a row per line
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import Field, ValidationError

from workbench.core.adapters import (
    ADAPTER_LINE,
    AdapterArchived,
    AdapterJudged,
    AdapterLine,
    AdapterPromoted,
    AdapterRegistered,
    AdapterRolledBack,
)
from workbench.core.errors import IncompleteError
from workbench.core.events import (
    Event,
    NodeCached,
    NodeFailed,
    NodeFinished,
    NodeStarted,
    RunFinished,
    RunStarted,
    read_events,
)
from workbench.core.parts import read_model
from workbench.core.records import SCHEMA_VERSION, Decision, HumanRating, contest_id
from workbench.core.wire import Wire
from workbench.store.sink import Sink

RATINGS = "ratings.jsonl"
"""File of the decisions directory that holds ratings of answers."""


class PlannedNode(Wire, extra="ignore"):
    """A node as plan.json has it."""

    name: str
    stage: str
    fingerprint: str | None = None
    inputs: tuple[str, ...] = ()


class Plan(Wire, extra="ignore"):
    """What the index reads of plan.json."""

    schema_version: int = SCHEMA_VERSION
    run: str
    created_at: str = ""
    config_hash: str = ""
    command: str = ""
    nodes: tuple[PlannedNode, ...] = Field(default=())


@dataclass(frozen=True, slots=True)
class _NodeState:
    status: str = "pending"
    fingerprint: str | None = None
    seconds: float | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class _RunState:
    status: str = "unfinished"
    """Of the last attempt; `unfinished` is for the files what `running` or `killed` is for who can see the process."""
    started_at: str | None = None
    finished_at: str | None = None
    exit_code: int | None = None
    message: str = ""
    attempts: int = 0


def add_run(sink: Sink, directory: Path) -> None:
    """The rows of one run. IncompleteError if it has no readable plan yet."""
    plan = read_model(directory / "plan.json", Plan)
    if plan.schema_version > SCHEMA_VERSION:
        raise IncompleteError("plan was written by a newer version of workbench", where=str(directory / "plan.json"))
    events, _ = read_events(directory / "events.jsonl")
    state, nodes = _outcome(events)
    config = directory / "config.yaml"
    config_yaml = config.read_text(encoding="utf-8", errors="replace") if config.is_file() else ""
    times = (plan.created_at, state.started_at, state.finished_at)
    end = (state.status, state.exit_code, state.message, state.attempts)
    sink.add("runs", (directory.name, *times, plan.command, plan.config_hash, config_yaml, *end))
    for position, planned in enumerate(plan.nodes):
        node = nodes.get(planned.name, _NodeState())
        fingerprint = node.fingerprint or planned.fingerprint
        inputs = json.dumps(planned.inputs, ensure_ascii=False)
        place = (directory.name, position, planned.name, planned.stage, fingerprint, inputs)
        sink.add("run_nodes", (*place, node.status, node.seconds, node.message))


def _outcome(events: list[Event]) -> tuple[_RunState, dict[str, _NodeState]]:
    """What the events of all attempts come to, in the order of their sequence numbers."""
    run = _RunState()
    nodes: dict[str, _NodeState] = {}
    for event in sorted(events, key=lambda event: event.seq):
        match event:
            case RunStarted(at=at):
                started_at = run.started_at or at
                run = _RunState(started_at=started_at, attempts=run.attempts + 1)
            case RunFinished(at=at, status=status, exit_code=code, message=message):
                run = replace(run, status=status, finished_at=at, exit_code=code, message=message)
            case NodeStarted(node=name, fingerprint=fingerprint):
                nodes[name] = _NodeState("running", fingerprint)
            case NodeCached(node=name, fingerprint=fingerprint):
                nodes[name] = _NodeState("cached", fingerprint)
            case NodeFinished(node=name, fingerprint=fingerprint, seconds=seconds):
                nodes[name] = _NodeState("done", fingerprint, seconds)
            case NodeFailed(node=name, message=message):
                nodes[name] = replace(nodes.get(name, _NodeState()), status="failed", message=message)
            case _:
                pass
    return run, nodes


def add_decisions(sink: Sink, directory: Path) -> tuple[str, ...]:
    """The rows of all decisions and ratings; gives the lines that are none (a torn last line among them), each with its
    place.

    A decision that stands in two files counts once, as in the first."""
    problems: list[str] = []
    seen: set[str] = set()
    for path in sorted(directory.glob("*.jsonl")):
        if path.name == RATINGS:
            problems += _add_ratings(sink, path)
            continue
        for number, line in enumerate(path.read_bytes().splitlines(), start=1):
            try:
                decision = Decision.model_validate_json(line)
            except ValidationError:
                if line.strip():
                    problems.append(f"{path}:{number}: is no decision; it was left out")
                continue
            if decision.schema_version > SCHEMA_VERSION:
                problems.append(f"{path}:{number}: was written by a newer version of workbench; it was left out")
                continue
            if decision.id not in seen:
                seen.add(decision.id)
                said = (decision.kind, decision.target, decision.verdict, decision.note)
                sink.add("decisions", (decision.id, decision.at, decision.who, *said, path.name, number))
    return tuple(problems)


def _add_ratings(sink: Sink, path: Path) -> list[str]:
    problems: list[str] = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            rating = HumanRating.model_validate_json(line)
        except ValidationError:
            problems.append(f"{path}:{number}: is no rating; it was left out")
            continue
        if rating.schema_version > SCHEMA_VERSION:
            problems.append(f"{path}:{number}: was written by a newer version of workbench; it was left out")
            continue
        contest = contest_id(rating.prompt, rating.before_output, rating.after_output)
        document = (rating.suite, rating.doc_hash, rating.occurrence, rating.before, rating.after)
        said = (rating.verdict, rating.shown_first, rating.note)
        texts = (rating.prompt, rating.reference, rating.before_output, rating.after_output)
        sink.add("ratings", (contest, number, rating.at, rating.rater, *document, *said, *texts))
    return problems


def add_adapter_events(sink: Sink, log: Path) -> tuple[str, ...]:
    """The rows of the adapters' log; gives the lines that are none (a torn last line among them), each with its
    place."""
    problems: list[str] = []
    written = log.read_bytes().splitlines() if log.is_file() else []
    for number, text in enumerate(written, start=1):
        try:
            line = ADAPTER_LINE.validate_json(text)
        except ValidationError:
            problems.append(f"{log}:{number}: is no line of the adapters' log; it was left out")
            continue
        if line.schema_version > SCHEMA_VERSION:
            problems.append(f"{log}:{number}: was written by a newer version of workbench; it was left out")
            continue
        adapter = (line.name, line.version, line.sha256)
        sink.add(
            "adapter_events",
            (number, line.at, line.who, line.event, *adapter, *_decided(line), text.decode("utf-8", "replace")),
        )
    return tuple(problems)


def _decided(line: AdapterLine) -> tuple[str | None, str | None, str | None, bool | None, str | None]:
    """Run, slot, state, forced and reason, as far as the line has them."""
    match line:
        case AdapterRegistered(run=run):
            return run, None, None, None, None
        case AdapterJudged(run=run, state=state):
            return run, None, state, None, None
        case AdapterPromoted(run=run, slot=slot, state=state, forced=forced, reason=reason):
            return run, slot, state, forced, reason
        case AdapterRolledBack(slot=slot, reason=reason):
            return None, slot, None, None, reason
        case AdapterArchived(reason=reason):
            return None, None, None, None, reason
