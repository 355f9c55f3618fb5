"""The curate stage: what should not be learned from is taken out, and every reason is written down.

    in    row 0 "Name a prime." -> "7"     row 1 "name a  prime." -> "7"     row 2 "Name a prime." -> ""
    out   records.jsonl   row 0
          dropped.jsonl   row 1 (exact_duplicate), row 2 (empty_output, too_short), whole
          findings.jsonl  one line per row and reason: drop, flag and repair
          edges.jsonl     verified near-duplicate pairs
          funnel.json     3 in, 1 out; how many rows each reason took, and how many it took alone
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from workbench.core.errors import IncompleteError
from workbench.core.fingerprints import file_sha256
from workbench.core.nodes import CurateNode
from workbench.core.parts import read_rows, write_model, write_rows
from workbench.core.records import Edge, Record
from workbench.core.results import Funnel
from workbench.core.stage import Cancelled, Context, Done, Inputs, Outcome, Stage
from workbench.core.suites import suite_path
from workbench.curate import decontaminate, duplicates
from workbench.curate.batch import Batch
from workbench.curate.filters.contract import Filter, Subject
from workbench.curate.filters.registry import chosen_filters
from workbench.curate.funnel import largest_clusters, reason_counts, word_quantiles
from workbench.text.contamination import SuiteIndex

_ROWS_BETWEEN_LOOKS = 500
_LOOK_AT_INGEST = "look at the dataset's quarantined lines: each has its reason"


@dataclass(frozen=True, slots=True)
class _Duplicates:
    """What the duplicate search leaves for the funnel and the edges."""

    exact: list[list[int]]
    near: duplicates.NearClusters | None


def run(config: CurateNode, inputs: Inputs, ctx: Context) -> Outcome:
    """Repairs, checks, decontaminates and deduplicates all rows; writes the parts `CurateNode` names.

    Raises UsageError for an unknown filter, IncompleteError if there is no row to begin with or none is left.
    """
    filters = chosen_filters(config.curate.filters)
    suites = _suites(config, inputs, ctx)
    records = [record for name in config.datasets for record in read_rows(_records(inputs, name), Record)]
    if not records:
        raise IncompleteError(
            f"no records in {', '.join(config.datasets) or 'no dataset'}", where="curate", next_step=_LOOK_AT_INGEST
        )
    batch = Batch.of(records)
    _repair(batch, filters)
    if not _examine(batch, filters, suites, config, ctx):
        return Cancelled()
    found = _find_duplicates(batch, config, ctx)
    if ctx.cancelled():
        return Cancelled()
    return _write(batch, found, config, ctx)


def external(config: CurateNode, project: Path) -> dict[str, str]:
    """SHA-256 of each suite's documents file under the project; an unknown filter is refused here, before any work."""
    chosen_filters(config.curate.filters)
    if not config.curate.decontamination.enabled:
        return {}
    in_files = [suite for suite in config.suites if suite.documents.file is not None]
    return {
        f"suite:{suite.name}": file_sha256(suite_path(project / config.suites_dir, suite, {})) for suite in in_files
    }


def _records(inputs: Inputs, dataset: str) -> Path:
    return inputs[f"ingest:{dataset}"].part("records.jsonl")


def _suites(config: CurateNode, inputs: Inputs, ctx: Context) -> list[SuiteIndex]:
    if not config.curate.decontamination.enabled:
        return []
    suites = decontaminate.load_suites(config, inputs, ctx.project)
    for suite in suites:
        if not suite.searchable:
            ctx.warn(f"suite {suite.suite}: no text in the documents' text_fields, so the data is not searched for it")
    return suites


def _repair(batch: Batch, filters: Sequence[Filter]) -> None:
    """Replaces rows by their repaired versions."""
    for row in range(len(batch.records)):
        for one in filters:
            for repair in one.repair(batch.records[row]) if one.repair else []:
                batch.records[row] = repair.record
                batch.add(row, one.name, repair.reason, "repair", repair.detail)


def _examine(
    batch: Batch, filters: Sequence[Filter], suites: Sequence[SuiteIndex], config: CurateNode, ctx: Context
) -> bool:
    """Runs every filter and the search for every suite on every row; False if the user wants to stop."""
    for row, record in enumerate(batch.records):
        if row % _ROWS_BETWEEN_LOOKS == 0:
            ctx.progress(row, len(batch.records), "rows", "filters and decontamination")
            if ctx.cancelled():
                return False
        subject = Subject(record)
        for one in filters:
            for verdict in one.check(subject, config.curate):
                batch.add(row, one.name, verdict.reason, verdict.action, verdict.detail)
        for verdict in decontaminate.contamination(record, suites, config.curate.decontamination):
            batch.add(row, decontaminate.NAME, verdict.reason, verdict.action, verdict.detail)
    ctx.progress(len(batch.records), len(batch.records), "rows", "filters and decontamination")
    return True


def _find_duplicates(batch: Batch, config: CurateNode, ctx: Context) -> _Duplicates:
    """Marks all but the best row of each duplicate cluster.

    The best is chosen by the findings of the filters alone, before any duplicate is marked.
    """
    tested = {row: (batch.count(row, "drop"), batch.count(row, "flag")) for row in range(len(batch.records))}

    def best(cluster: Sequence[int]) -> int:
        return min(cluster, key=lambda row: (*duplicates.quality(batch.records[row], *tested[row]), row))

    exact: list[list[int]] = []
    rows = list(range(len(batch.records)))
    if config.curate.exact_duplicates:
        exact = duplicates.exact_clusters(batch.records)
        rows = [_mark_exact(batch, cluster, best(cluster)) for cluster in exact]
    settings = config.curate.near_duplicates
    if not settings.enabled:
        return _Duplicates(exact, None)
    ctx.progress(0, len(rows), "rows", "near-duplicates")
    near = duplicates.near_clusters(batch.records, rows, settings)
    for cluster in near.clusters:
        _mark_near(batch, cluster, best(cluster), config)
    ctx.progress(len(rows), len(rows), "rows", "near-duplicates")
    if near.capped_rows:
        ctx.warn(f"{near.capped_rows} rows stood in crowded buckets and were not compared with everything there")
    return _Duplicates(exact, near)


def _mark_exact(batch: Batch, cluster: Sequence[int], kept: int) -> int:
    for row in cluster:
        if row != kept:
            detail = f"same text as row {kept} ({batch.original[kept].id}, {_place(batch.original[kept])})"
            batch.add(row, "exact_duplicates", "exact_duplicate", "drop", detail)
    return kept


def _mark_near(batch: Batch, cluster: Sequence[int], kept: int, config: CurateNode) -> None:
    settings = config.curate.near_duplicates
    for row in cluster:
        if row == kept:
            continue
        similarity = duplicates.similarity(batch.records[row], batch.records[kept], settings)
        detail = f"Jaccard {similarity:.3f} with row {kept} ({batch.original[kept].id}, {_place(batch.original[kept])})"
        if similarity < settings.threshold:
            detail += "; linked through rows in between"
        batch.add(row, "near_duplicates", "near_duplicate", "drop", detail)


def _place(record: Record) -> str:
    source = record.source
    return source.dataset if source.row is None else f"{source.dataset} row {source.row}"


def _write(batch: Batch, found: _Duplicates, config: CurateNode, ctx: Context) -> Outcome:
    kept = batch.kept_rows()
    funnel = _funnel(batch, found, kept, config)
    if not kept:
        reasons = ", ".join(f"{count.reason} {count.rows}" for count in funnel.reasons if count.action == "drop")
        raise IncompleteError(
            f"nothing is left of {funnel.rows_in} records; rows dropped by reason: {reasons}",
            where="curate",
            next_step="loosen or leave out the filter that takes most (keys `curate.*`), or look at the data",
        )
    edges: list[Edge] = found.near.edges if found.near else []
    write_rows(ctx.out_dir / "records.jsonl", (batch.records[row] for row in kept))
    write_rows(ctx.out_dir / "dropped.jsonl", batch.drops())
    write_rows(ctx.out_dir / "findings.jsonl", (finding for of_row in batch.findings for finding in of_row))
    write_rows(ctx.out_dir / "edges.jsonl", edges)
    write_model(ctx.out_dir / "funnel.json", funnel)
    dropped = {count.reason: count.rows for count in funnel.reasons if count.action == "drop"}
    return Done({"rows_in": funnel.rows_in, "rows_out": funnel.rows_out, "edges": len(edges), **dropped})


def _funnel(batch: Batch, found: _Duplicates, kept: Sequence[int], config: CurateNode) -> Funnel:
    settings: dict[str, float | int | str] = {}
    if found.near is not None:
        settings = duplicates.settings_used(config.curate.near_duplicates) | {
            "pairs_checked": found.near.checked,
            "edges": len(found.near.edges),
            "rows_without_shingles": found.near.without_shingles,
            "capped_rows": found.near.capped_rows,
        }
    near = found.near.clusters if found.near else []
    return Funnel(
        rows_in=len(batch.original),
        rows_out=len(kept),
        reasons=reason_counts(batch.original, batch.findings),
        largest_clusters=largest_clusters(found.exact, near, {row: batch.records[row].id for row in kept}),
        token_quantiles=word_quantiles(batch.records[row] for row in kept),
        token_unit="words",
        near_duplicate_settings=settings,
    )


STAGE = Stage(
    name="curate",
    version=1,
    config=CurateNode,
    run=run,
    libraries=("datasketch", "numpy", "xxhash"),
    external=external,
)
