"""The data's side of the report: what was read, dropped, found twice, found in a suite, made and mixed.

Artifacts are read row by row; nothing but counts and a few excerpts is kept.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from workbench.core.funnel import Funnel
from workbench.core.nodes import CurateNode, IngestNode, SynthNode
from workbench.core.parts import read_model, read_rows
from workbench.core.records import Candidate, Finding, Quarantined
from workbench.core.results import MixSummary
from workbench.core.stage import Artifact, Inputs
from workbench.report.excerpts import one_line, without_credentials
from workbench.report.model import (
    Curation,
    Intake,
    Overlap,
    QuarantineReason,
    StrategyYield,
)

_EXCERPT_CHARS = 240
_OVERLAPS = 10
_REASONS = 20
_CONTAMINATION = "contaminat"
"""Reason codes of decontamination begin with this."""


def intakes(inputs: Inputs) -> tuple[Intake, ...]:
    """One entry per `ingest:` node, training data first."""
    trained = set(_curated_datasets(inputs))
    found = [_intake(artifact, trained) for name, artifact in inputs.items() if name.startswith("ingest:")]
    return tuple(sorted(found, key=lambda intake: intake.used_for == "scoring"))


def curation(inputs: Inputs) -> Curation | None:
    """What the `curate` node did; None if the run had none."""
    artifact = inputs.get("curate")
    if artifact is None:
        return None
    config = CurateNode.model_validate(artifact.manifest.config)
    funnel = read_model(artifact.part("funnel.json"), Funnel)
    overlaps = [finding for finding in _findings(artifact) if finding.reason.startswith(_CONTAMINATION)]
    overlaps.sort(key=lambda finding: finding.action != "drop")
    return Curation(
        funnel=funnel,
        dropped=_rows(artifact, "dropped.jsonl"),
        near_duplicate_pairs=_rows(artifact, "edges.jsonl"),
        decontaminated=config.curate.decontamination.enabled,
        suites_searched=tuple(suite.name for suite in config.suites),
        overlaps_dropped=sum(finding.action == "drop" for finding in overlaps),
        overlaps_flagged=sum(finding.action == "flag" for finding in overlaps),
        overlaps=tuple(
            Overlap(
                record_id=finding.record_id,
                action=finding.action,
                reason=finding.reason,
                detail=one_line(finding.detail, 2 * _EXCERPT_CHARS),
            )
            for finding in overlaps[:_OVERLAPS]
        ),
    )


def synthesis(inputs: Inputs) -> tuple[StrategyYield, ...]:
    """What each strategy of the `synth` node made, in the order of the configuration."""
    artifact = inputs.get("synth")
    if artifact is None:
        return ()
    config = SynthNode.model_validate(artifact.manifest.config)
    names = dict.fromkeys(strategy.strategy for strategy in config.strategies)
    status: dict[str, Counter[str]] = {name: Counter() for name in names}
    failed: dict[str, Counter[str]] = {name: Counter() for name in names}
    teachers: dict[str, str | None] = {}
    for candidate in read_rows(artifact.part("candidates.jsonl"), Candidate):
        status.setdefault(candidate.strategy, Counter())[candidate.status] += 1
        failed.setdefault(candidate.strategy, Counter()).update(
            check.name for check in candidate.checks if not check.passed
        )
        teachers.setdefault(candidate.strategy, candidate.teacher)
    return tuple(
        StrategyYield(
            strategy=name,
            teacher=without_credentials(teachers.get(name)),
            accepted=counts["accepted"],
            rejected=counts["rejected"],
            review=counts["review"],
            error=counts["error"],
            failed_checks=dict(failed[name].most_common()),
        )
        for name, counts in status.items()
    )


def mixture(inputs: Inputs) -> MixSummary | None:
    """The mixture's shares; None if the run had no `mix` node."""
    artifact = inputs.get("mix")
    return None if artifact is None else read_model(artifact.part("shares.json"), MixSummary)


def _curated_datasets(inputs: Inputs) -> tuple[str, ...]:
    artifact = inputs.get("curate")
    return () if artifact is None else CurateNode.model_validate(artifact.manifest.config).datasets


def _intake(artifact: Artifact, trained: set[str]) -> Intake:
    card = IngestNode.model_validate(artifact.manifest.config).card
    rows_of = {part.path: part.rows for part in artifact.manifest.parts}
    return Intake(
        name=card.name,
        description=card.description,
        licence=card.licence,
        used_for="training" if card.name in trained else "scoring",
        records=_rows(artifact, "records.jsonl"),
        quarantined=_rows(artifact, "quarantine.jsonl"),
        quarantine=_quarantine(artifact),
        documents={
            path: rows
            for path, rows in sorted(rows_of.items())
            if rows is not None and path not in ("records.jsonl", "quarantine.jsonl")
        },
    )


def _quarantine(artifact: Artifact) -> tuple[QuarantineReason, ...]:
    if not _rows(artifact, "quarantine.jsonl"):
        return ()
    counts: Counter[str] = Counter()
    examples: defaultdict[str, list[str]] = defaultdict(list)
    for line in read_rows(artifact.part("quarantine.jsonl"), Quarantined):
        counts[line.reason] += 1
        if len(examples[line.reason]) < 3:
            examples[line.reason].append(_place_and_problem(line))
    return tuple(
        QuarantineReason(reason=reason, rows=rows, examples=tuple(examples[reason]))
        for reason, rows in counts.most_common(_REASONS)
    )


def _place_and_problem(line: Quarantined) -> str:
    place = line.file if line.line is None else f"{line.file}:{line.line}"
    return one_line(f"{place}: {line.detail} | {line.excerpt}", _EXCERPT_CHARS)


def _findings(artifact: Artifact) -> Iterable[Finding]:
    return read_rows(artifact.part("findings.jsonl"), Finding) if _rows(artifact, "findings.jsonl") else ()


def _rows(artifact: Artifact, name: str) -> int:
    """Rows of a part according to the manifest; 0 if there is no such part."""
    return next((part.rows or 0 for part in artifact.manifest.parts if part.path == name), 0)
