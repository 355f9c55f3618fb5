"""What the index keeps of an artifact: part by part, the rows for each table.

    add_artifact(sink, Path(".workbench/artifacts/score/3f..."), manifest, manifest_sha256)

Parts are read through their models, one line at a time; text goes in as it is. Parts that are not listed here (records,
adapters, pages) are not in the index: it holds what people ask about, and the artifact holds everything.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from workbench.core.errors import IncompleteError
from workbench.core.fingerprints import canonical_json
from workbench.core.funnel import Funnel
from workbench.core.parts import read_model, read_rows
from workbench.core.records import (
    CurvePoint,
    Drop,
    Edge,
    Finding,
    Flip,
    Generation,
    Grade,
    Judgment,
    Manifest,
    Quarantined,
    ScoreRow,
)
from workbench.core.results import (
    ArmInfo,
    Comparison,
    Interval,
    PairComparison,
    PairVerdict,
    SuiteComparison,
    Verdict,
)
from workbench.store.sink import Row, Sink

_MAKE_AGAIN = "remove the artifact's directory and run again"
_SUMMARIES = (
    "funnel.json",
    "shares.json",
    "training.json",
    "arm.json",
    "trust.json",
    "findings.json",
    "comparison.json",
    "verdict.json",
    "ablation.json",
    "sweep.json",
)


def add_artifact(sink: Sink, directory: Path, manifest: Manifest, manifest_sha256: str) -> None:
    """All rows of one artifact. IncompleteError if a part is missing, changed in size, or no longer readable."""
    fingerprint = manifest.fingerprint
    sizes = {part.path: part.size_bytes for part in manifest.parts}
    sink.add("artifacts", _artifact_row(manifest, manifest_sha256))
    for role, source in sorted(manifest.inputs.items()):
        sink.add("artifact_inputs", (fingerprint, role, source))
    for name in sizes:
        _check_size(directory / name, sizes[name])
        if name in _SUMMARIES:
            sink.add("summaries", (fingerprint, name, (directory / name).read_text(encoding="utf-8")))
    for stage, name, add_part in _PARTS:
        if stage == manifest.stage and name in sizes:
            add_part(sink, directory / name, fingerprint)


def _artifact_row(manifest: Manifest, manifest_sha256: str) -> Row:
    return (
        manifest.fingerprint,
        manifest.node,
        manifest.stage,
        manifest.stage_version,
        manifest.schema_version,
        canonical_json(manifest.config),
        canonical_json(manifest.external),
        canonical_json(manifest.libraries),
        canonical_json([part.model_dump(mode="json") for part in manifest.parts]),
        canonical_json(manifest.summary),
        manifest.created_at,
        manifest.seconds,
        sum(part.size_bytes for part in manifest.parts),
        manifest_sha256,
    )


def _check_size(path: Path, size_bytes: int) -> None:
    if not path.is_file():
        raise IncompleteError("part is missing", where=str(path), next_step=_MAKE_AGAIN)
    if path.stat().st_size != size_bytes:
        raise IncompleteError(
            f"part has {path.stat().st_size} bytes, the manifest says {size_bytes}",
            where=str(path),
            next_step=_MAKE_AGAIN,
        )


def _quarantine(sink: Sink, path: Path, fingerprint: str) -> None:
    for position, row in enumerate(read_rows(path, Quarantined)):
        place = (row.file, row.row, row.line, row.byte)
        sink.add("quarantined", (fingerprint, position, *place, row.reason, row.detail, row.excerpt))


def _drops(sink: Sink, path: Path, fingerprint: str) -> None:
    for position, row in enumerate(read_rows(path, Drop)):
        record = row.record
        text = (record.prompt(), record.answer())
        sink.add(
            "drops",
            (fingerprint, position, row.row, record.id, record.kind, record.source.dataset, record.topic, *text),
        )


def _findings(sink: Sink, path: Path, fingerprint: str) -> None:
    for position, row in enumerate(read_rows(path, Finding)):
        said = (row.filter, row.reason, row.action, row.detail)
        sink.add("findings", (fingerprint, position, row.record_id, row.row, *said))


def _edges(sink: Sink, path: Path, fingerprint: str) -> None:
    for position, row in enumerate(read_rows(path, Edge)):
        sink.add("edges", (fingerprint, position, row.left, row.right, row.left_row, row.right_row, row.jaccard))


def _funnel(sink: Sink, path: Path, fingerprint: str) -> None:
    funnel = read_model(path, Funnel)
    sink.add("funnels", (fingerprint, funnel.rows_in, funnel.rows_out))
    for position, count in enumerate(funnel.reasons):
        examples = json.dumps(count.examples, ensure_ascii=False)
        said = (count.reason, count.action, count.rows, count.only, examples)
        sink.add("funnel_reasons", (fingerprint, position, *said))


def _curve(sink: Sink, path: Path, fingerprint: str) -> None:
    for row in read_rows(path, CurvePoint):
        rates = (row.loss, row.learning_rate, row.grad_norm)
        sink.add("curve", (fingerprint, row.step, *rates, row.tokens, row.seconds))


def _arm(sink: Sink, path: Path, fingerprint: str) -> None:
    arm = read_model(path, ArmInfo)
    model = (arm.model, arm.model_fingerprint, arm.adapter, arm.adapter_sha256)
    settings = (arm.precision, arm.system_prompt, arm.batch_size, canonical_json(arm.conditions))
    sink.add("arms", (fingerprint, arm.arm, *model, *settings))


def _samples(sink: Sink, path: Path, fingerprint: str) -> None:
    for position, row in enumerate(read_rows(path, ScoreRow)):
        key = (row.arm, row.suite, row.task, row.filter, row.metric, row.doc_hash, row.occurrence, row.doc_id)
        score = (row.value, row.weight, row.parsed, row.group, row.cluster, row.error)
        sink.add("samples", (fingerprint, position, *key, *score))
        sink.add("outputs", (fingerprint, position, row.prompt, row.target, row.output))


def _generations(sink: Sink, path: Path, fingerprint: str) -> None:
    for position, row in enumerate(read_rows(path, Generation)):
        key = (row.arm, row.suite, row.doc_hash, row.occurrence)
        text = (row.prompt, row.reference, row.output)
        sink.add("generations", (fingerprint, position, *key, *text, row.tokens, row.finish_reason))


def _judgments(sink: Sink, path: Path, fingerprint: str) -> None:
    for position, row in enumerate(read_rows(path, Judgment)):
        key = (row.suite, row.doc_hash, row.occurrence, row.judge, row.prompt_sha256, row.order, row.before, row.after)
        sink.add("judgments", (fingerprint, position, *key, row.preference, row.raw, row.error, row.repeat, row.model))


def _grades(sink: Sink, path: Path, fingerprint: str) -> None:
    for position, row in enumerate(read_rows(path, Grade)):
        key = (row.suite, row.doc_hash, row.occurrence, row.arm, row.judge, row.prompt_sha256)
        said = (row.scale, row.turn, row.repeat, row.score, row.soft, row.feedback, row.error, row.model)
        sink.add("grades", (fingerprint, position, *key, *said))


def _comparison(sink: Sink, path: Path, fingerprint: str) -> None:
    for number, pair in enumerate(read_model(path, Comparison).pairs):
        arms = (pair.before, pair.after, pair.purpose)
        obstacles = json.dumps(pair.obstacles, ensure_ascii=False)
        sink.add("pairs", (fingerprint, number, *arms, pair.comparable, obstacles))
        for position, suite in enumerate(pair.suites):
            sink.add("comparisons", (fingerprint, number, position, *_comparison_row(pair, suite)))
            for place, group in enumerate(suite.groups):
                key = (fingerprint, number, place, suite.suite, suite.metric, group.group, group.n)
                values = (group.before, group.after, *_bounds(group.gain), group.p_value, group.q_value)
                sink.add("comparison_groups", (*key, *values))


def _comparison_row(pair: PairComparison, suite: SuiteComparison) -> Row:
    return (
        *(pair.before, pair.after, pair.purpose, suite.suite, suite.task, suite.filter, suite.metric),
        *(suite.kind, suite.role, suite.unit, suite.gated, suite.margin, suite.higher_is_better),
        *(suite.n, suite.unpaired, suite.failed_before, suite.failed_after),
        *(suite.unparsed_before, suite.unparsed_after),
        *_bounds(suite.before),
        *_bounds(suite.after),
        *_bounds(suite.gain),
        *(suite.gain_se, suite.method, suite.test, suite.p_improved, suite.p_improved_holm, suite.p_value),
        *(suite.forgotten, suite.learned, suite.kept, suite.never, suite.identical),
        *(suite.noise_flips, suite.noise_gain_sd, suite.chance, suite.macro_before, suite.macro_after),
        *_bounds(suite.both_parsed),
        *(suite.both_parsed_n, suite.mde, suite.n_needed, json.dumps(suite.sign_reversals, ensure_ascii=False)),
    )


def _bounds(interval: Interval | None) -> tuple[float | None, float | None, float | None]:
    return (interval.value, interval.low, interval.high) if interval else (None, None, None)


def _flips(sink: Sink, path: Path, fingerprint: str) -> None:
    for position, row in enumerate(read_rows(path, Flip)):
        key = (row.kind, row.suite, row.task, row.filter, row.metric, row.doc_hash, row.occurrence)
        arms = (row.before_arm, row.after_arm, row.group)
        text = (row.prompt, row.target, row.before_output, row.after_output)
        sink.add("flips", (fingerprint, position, *key, *arms, *text))


def _verdict(sink: Sink, path: Path, fingerprint: str) -> None:
    verdict = read_model(path, Verdict)
    sink.add("verdicts", (fingerprint, verdict.state, verdict.headline, verdict.exit_code, verdict.strict))
    for number, pair in enumerate((verdict.decisive, *verdict.others)):
        _pair_verdict(sink, fingerprint, number, pair)


def _pair_verdict(sink: Sink, fingerprint: str, number: int, pair: PairVerdict) -> None:
    """`number` is 0 for the deciding pair; the order is the verdict's, not the comparison's."""
    reasons = json.dumps(pair.reasons, ensure_ascii=False)
    arms = (pair.before, pair.after)
    sink.add(
        "pair_verdicts",
        (fingerprint, number, number == 0, *arms, pair.purpose, pair.state, pair.nothing_changed, reasons),
    )
    for suite in pair.suites:
        key = (fingerprint, number, *arms, suite.suite, suite.metric)
        said = (suite.role, suite.gated, suite.state, suite.nothing_changed, suite.reason)
        sink.add("suite_verdicts", (*key, *said))


_PARTS: tuple[tuple[str, str, Callable[[Sink, Path, str], None]], ...] = (
    ("ingest", "quarantine.jsonl", _quarantine),
    ("curate", "funnel.json", _funnel),
    ("curate", "dropped.jsonl", _drops),
    ("curate", "findings.jsonl", _findings),
    ("curate", "edges.jsonl", _edges),
    ("train", "curve.jsonl", _curve),
    ("score", "arm.json", _arm),
    ("score", "samples.jsonl", _samples),
    ("score", "generations.jsonl", _generations),
    ("score", "judgments.jsonl", _judgments),
    ("score", "grades.jsonl", _grades),
    ("compare", "comparison.json", _comparison),
    ("compare", "flips.jsonl", _flips),
    ("gate", "verdict.json", _verdict),
)
