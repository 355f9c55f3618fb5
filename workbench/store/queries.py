"""What people ask the index: runs, curves, comparisons, flips, samples. What they ask about curation is in `curation`.

    comparison(project.index, "demo-20261122-101500")   ->  (PairRow(before="base@nf4", after="candidate", ...), ...)

Every function opens the index read-only, asks, and closes it; errors are those of `connection.reading`. Lists that may
be long come page by page. Text is as it was said: who shows it makes it printable.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from workbench.core.errors import UsageError
from workbench.store.connection import damage_errors, literal, reading


class Answer(NamedTuple):
    """The answer to a question in SQL."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run."""

    run: str
    created_at: str
    finished_at: str | None
    status: str
    """`completed`, `failed`, `cancelled`, or `unfinished` (running, or killed: the files cannot tell)."""
    exit_code: int | None
    message: str
    command: str
    config_hash: str
    verdict: str | None
    """State of the run's verdict, if it came to one."""
    headline: str | None


@dataclass(frozen=True, slots=True)
class NodeRow:
    """One node of a run."""

    node: str
    stage: str
    status: str
    seconds: float | None
    """Time the node took in this run; for a cached node, when it was made."""
    fingerprint: str | None
    summary: dict[str, Any]


@dataclass(frozen=True, slots=True)
class CurveRow:
    """One optimiser step."""

    node: str
    step: int
    loss: float
    learning_rate: float


@dataclass(frozen=True, slots=True)
class SuiteRow:
    """Two arms on one suite; positive gain is better, whatever the metric."""

    suite: str
    metric: str
    role: str
    unit: str
    gated: bool
    margin: float
    n: int
    before: float
    after: float
    gain: float
    gain_low: float
    gain_high: float
    forgotten: int | None
    learned: int | None
    state: str | None
    """The gate's state, None if the gate has not spoken."""
    reason: str | None
    nothing_changed: bool


@dataclass(frozen=True, slots=True)
class PairRow:
    """Two arms of a run."""

    before: str
    after: str
    purpose: str
    comparable: bool
    obstacles: tuple[str, ...]
    state: str | None
    decisive: bool
    suites: tuple[SuiteRow, ...]


@dataclass(frozen=True, slots=True)
class FlipRow:
    """A document whose correctness changed; the texts are shortened to 2,000 characters."""

    kind: str
    suite: str
    metric: str
    filter_name: str
    doc_hash: str
    occurrence: int
    group_name: str | None
    prompt: str
    target: str
    before_output: str
    after_output: str


@dataclass(frozen=True, slots=True)
class SampleRow:
    """One document under one metric, in one arm."""

    arm: str
    suite: str
    metric: str
    filter_name: str
    doc_hash: str
    occurrence: int
    doc_id: int
    group_name: str | None
    value: float | None
    weight: float
    parsed: bool
    error: str | None
    prompt: str
    target: str
    output: str


@dataclass(frozen=True, slots=True)
class GenerationRow:
    """One prompt and what two arms answered."""

    suite: str
    prompt: str
    reference: str
    before: str
    after: str


def query(index: Path, sql: str) -> Answer:
    """Answers `sql` from the index, read-only and without access to any other file.

    UsageError for SQL that does not run; otherwise as `reading`."""
    import duckdb  # 75 ms

    with reading(index) as connection:
        try:
            cursor = connection.execute(sql)
            columns = tuple(str(column[0]) for column in cursor.description or ())
            return Answer(columns, tuple(cursor.fetchall()))
        except damage_errors():
            raise
        except duckdb.Error as error:
            raise UsageError(str(error).strip(), where="query") from None


def runs(index: Path, limit: int = 200) -> tuple[RunRow, ...]:
    """Runs, newest first."""
    sql = f"""
        SELECT r.run, r.created_at, r.finished_at, r.status, r.exit_code, r.message, r.command, r.config_hash,
            any_value(v.state), any_value(v.headline)
        FROM runs r
        LEFT JOIN run_nodes n ON n.run = r.run AND n.stage = 'gate' AND n.status IN ('done', 'cached')
        LEFT JOIN verdicts v ON v.fingerprint = n.fingerprint
        GROUP BY ALL ORDER BY r.created_at DESC, r.run DESC LIMIT {int(limit)}"""
    return tuple(RunRow(*row) for row in _ask(index, sql))


def verdicts(index: Path) -> dict[str, str]:
    """Run to the state of its verdict, for the runs that came to one."""
    sql = """
        SELECT n.run, v.state FROM run_nodes n JOIN verdicts v USING (fingerprint)
        WHERE n.stage = 'gate' AND n.status IN ('done', 'cached')"""
    return dict(_ask(index, sql))


def headline(index: Path, run: str) -> str | None:
    """The sentence at the top of the run's verdict; None if it came to none."""
    sql = f"SELECT v.headline FROM {made_by(run)} n JOIN verdicts v USING (fingerprint)"
    found = _ask(index, sql)
    return str(found[0][0]) if found else None


def nodes(index: Path, run: str) -> tuple[NodeRow, ...]:
    """The run's nodes in the order of the plan."""
    sql = f"""
        SELECT n.node, n.stage, n.status, coalesce(n.seconds, a.seconds), n.fingerprint, a.summary_json
        FROM run_nodes n
        LEFT JOIN artifacts a ON a.fingerprint = n.fingerprint AND n.status IN ('done', 'cached')
        WHERE n.run = {literal(run)} ORDER BY n.position"""
    return tuple(
        NodeRow(node, stage, status, seconds, fingerprint, json.loads(summary) if summary else {})
        for node, stage, status, seconds, fingerprint, summary in _ask(index, sql)
    )


def curve(index: Path, run: str) -> tuple[CurveRow, ...]:
    """Loss by step of every training node of the run."""
    sql = f"""
        SELECT n.node, c.step, c.loss, c.learning_rate FROM {made_by(run)} n JOIN curve c USING (fingerprint)
        ORDER BY n.position, c.step"""
    return tuple(CurveRow(*row) for row in _ask(index, sql))


def comparison(index: Path, run: str) -> tuple[PairRow, ...]:
    """Every pair of arms of the run with its suites and what the gate said, the deciding pair first."""
    mine = made_by(run)
    pair_sql = f"""
        SELECT p.pair, p.before_arm, p.after_arm, p.purpose, p.comparable, p.obstacles_json, v.state,
            coalesce(v.decisive, p.purpose = 'candidate')
        FROM {mine} n JOIN pairs p USING (fingerprint)
        LEFT JOIN (SELECT v.* FROM {mine} g JOIN pair_verdicts v USING (fingerprint)) v
            ON v.before_arm = p.before_arm AND v.after_arm = p.after_arm
        ORDER BY 8 DESC, p.pair"""
    suite_sql = f"""
        SELECT c.pair, c.suite, c.metric, c.role, c.unit, c.gated, c.margin, c.n, c.before_value, c.after_value,
            c.gain, c.gain_low, c.gain_high, c.forgotten, c.learned, v.state, v.reason,
            coalesce(v.nothing_changed, c.identical)
        FROM {mine} n JOIN comparisons c USING (fingerprint)
        LEFT JOIN (SELECT v.* FROM {mine} g JOIN suite_verdicts v USING (fingerprint)) v
            ON v.before_arm = c.before_arm AND v.after_arm = c.after_arm AND v.suite = c.suite AND v.metric = c.metric
        ORDER BY c.pair, c.position"""
    with reading(index) as connection:
        pairs = connection.execute(pair_sql).fetchall()
        suites = connection.execute(suite_sql).fetchall()
    return tuple(
        PairRow(
            *(before, after, purpose, comparable, tuple(json.loads(obstacles)), state, decisive),
            suites=tuple(SuiteRow(*row[1:]) for row in suites if row[0] == number),
        )
        for number, before, after, purpose, comparable, obstacles, state, decisive in pairs
    )


def count_flips(index: Path, run: str, before: str, after: str) -> dict[tuple[str, str], int]:
    """Number of flips between two arms by suite and kind."""
    sql = f"""
        SELECT f.suite, f.kind, count(*) FROM {made_by(run)} n JOIN flips f USING (fingerprint)
        WHERE {_between(before, after)} GROUP BY ALL ORDER BY ALL"""
    return {(suite, kind): count for suite, kind, count in _ask(index, sql)}


def flips(
    index: Path,
    run: str,
    before: str,
    after: str,
    *,
    suite: str | None = None,
    kind: str | None = None,
    contains: str = "",
    offset: int = 0,
    limit: int = 100,
) -> tuple[FlipRow, ...]:
    """One page of the flips between two arms, forgotten first, then by suite; `contains` is searched in prompt and
    outputs, in any case."""
    where = _between(before, after)
    where += f" AND f.suite = {literal(suite)}" if suite is not None else ""
    where += f" AND f.kind = {literal(kind)}" if kind is not None else ""
    if contains:
        texts = "concat_ws(chr(10), f.prompt, f.target, f.before_output, f.after_output)"
        where += f" AND contains(lower({texts}), lower({literal(contains)}))"
    # The page is chosen by position first: sorting rows with their texts would carry the texts along.
    sql = f"""
        WITH page AS (
            SELECT f.fingerprint, f.position, row_number() OVER (ORDER BY f.kind, f.suite, f.position) AS place
            FROM {made_by(run)} n JOIN flips f USING (fingerprint) WHERE {where}
            ORDER BY place LIMIT {int(limit)} OFFSET {int(offset)})
        SELECT f.kind, f.suite, f.metric, f.filter_name, f.doc_hash, f.occurrence, f.group_name, left(f.prompt, 2000),
            left(f.target, 2000), left(f.before_output, 2000), left(f.after_output, 2000)
        FROM page JOIN flips f USING (fingerprint, position) ORDER BY place"""
    return tuple(FlipRow(*row) for row in _ask(index, sql))


def samples(
    index: Path, run: str, suite: str, doc_hash: str, occurrence: int, arms: tuple[str, ...]
) -> tuple[SampleRow, ...]:
    """One document in the arms named, every metric, with whole texts, in the order of `arms`."""
    if not arms:
        return ()
    names = ", ".join(literal(arm) for arm in arms)
    sql = f"""
        SELECT s.arm, s.suite, s.metric, s.filter_name, s.doc_hash, s.occurrence, s.doc_id, s.group_name, s.value,
            s.weight, s.parsed, s.error, o.prompt, o.target, o.output
        FROM {made_by(run)} n JOIN samples s ON s.fingerprint = n.fingerprint
        JOIN outputs o ON o.fingerprint = s.fingerprint AND o.position = s.position
        WHERE s.suite = {literal(suite)} AND s.doc_hash = {literal(doc_hash)}
            AND s.occurrence = {int(occurrence)} AND s.arm IN ({names})
        ORDER BY list_position([{names}], s.arm), s.metric, s.filter_name"""
    return tuple(SampleRow(*row) for row in _ask(index, sql))


def generations(index: Path, run: str, before: str, after: str) -> tuple[GenerationRow, ...]:
    """What two arms answered to the same prompts, in the order they were asked."""
    sql = f"""
        WITH mine AS (SELECT g.* FROM {made_by(run)} n JOIN generations g USING (fingerprint))
        SELECT b.suite, b.prompt, b.reference, b.output, a.output
        FROM mine b JOIN mine a USING (suite, doc_hash, occurrence)
        WHERE b.arm = {literal(before)} AND a.arm = {literal(after)} ORDER BY b.position"""
    return tuple(GenerationRow(*row) for row in _ask(index, sql))


def made_by(run: str) -> str:
    """The run's nodes that came to an artifact. A plan names fingerprints beforehand: what another run made of a node
    that this one never reached is not this run's."""
    return f"(SELECT * FROM run_nodes WHERE run = {literal(run)} AND status IN ('done', 'cached'))"


def _between(before: str, after: str) -> str:
    return f"f.before_arm = {literal(before)} AND f.after_arm = {literal(after)}"


def _ask(index: Path, sql: str) -> list[Any]:
    with reading(index) as connection:
        return connection.execute(sql).fetchall()
