"""The curate stage: what should not be learned from is taken out, and every reason is written down.

    in    row 0 "Name a prime." -> "7"     row 1 "name a  prime." -> "7"     row 2 "Name a prime." -> ""
    out   records.jsonl   row 0
          dropped.jsonl   row 1 (exact_duplicate), row 2 (empty_output), whole
          findings.jsonl  one line per row and reason: drop, flag and repair
          edges.jsonl     verified near-duplicate pairs
          funnel.json     3 in, 1 out; how many rows each reason took, and how many it took alone

Rows go by three times, and a few numbers of each stay in memory: `examine` looks at each by itself (in two processes
where there are many), `decide` at their numbers together, `write` puts records and findings on disk.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.core.errors import IncompleteError
from workbench.core.funnel import Funnel, TokenLengths
from workbench.core.iteration import DevelopmentNode
from workbench.core.nodes import CurateNode
from workbench.core.parts import write_model
from workbench.core.records import Record
from workbench.core.stage import Cancelled, Context, Done, Inputs, Outcome, Stage
from workbench.curate import decontaminate, ifd, rating, saved_index, semantic, tokens
from workbench.curate.actions import check_actions
from workbench.curate.batch import DataPart, batches, training_parts
from workbench.curate.decide import Clusters, Decisions, decide
from workbench.curate.development import set_aside
from workbench.curate.duplicates import settings_used, sketch_settings
from workbench.curate.examine import Examiner
from workbench.curate.filters.registry import chosen_filters
from workbench.curate.funnel import ClusterExcerpts
from workbench.curate.spool import Later, Spool
from workbench.curate.table import NO_SEQUENCE, Numbers
from workbench.curate.workers import Worker, in_order, processes_for, started
from workbench.curate.write import Written, rows_of, write_edges, write_parts
from workbench.text.evaluation_sets import suite_files

if TYPE_CHECKING:
    from workbench.text.near_duplicates import NearDuplicateSearch

_LOOK_AT_INGEST = "look at the dataset's quarantined lines: each has its reason"


def run(config: CurateNode | DevelopmentNode, inputs: Inputs, ctx: Context) -> Outcome:
    """Repairs, checks, decontaminates and deduplicates all rows; writes the parts `CurateNode` names. For `workbench
    iterate`, sets some of what was kept aside.

    Raises UsageError for an unknown filter or reason, IncompleteError if there is no row to begin with. That none is
    left is for the caller to judge: the parts say why.
    """
    if isinstance(config, DevelopmentNode):
        return set_aside(config, inputs, ctx)
    _check(config)
    parts = training_parts(config, inputs)
    total = sum(part.rows for part in parts)
    if not total:
        raise IncompleteError(
            f"no records in {', '.join(config.datasets) or 'no dataset'}", where="curate", next_step=_LOOK_AT_INGEST
        )
    with Spool(ctx.work_dir / "rows.spool") as spool, Later(ctx.work_dir / "later.spool") as later:
        examiner = _examiner(config, ctx)
        with started(processes_for(total), examiner) as workers:
            contaminants = decontaminate.load_suites(config, inputs, ctx.project)
            for warning in contaminants.warnings:
                ctx.warn(warning)
            examiner = replace(examiner, contaminants=contaminants)
            search = _search(examiner, ctx)
            numbers = _examine(parts, examiner, workers, spool, search, ctx)
        if numbers is None:
            return Cancelled()
        decisions = Decisions(config, numbers, later)
        if search is not None:
            saved_index.drop_known(config, decisions, search, ctx)

        def survivors() -> Iterator[tuple[int, Record]]:
            for row in rows_of(parts, spool):
                if not numbers.dropped[row.number]:
                    yield row.number, Record.model_validate_json(row.current())

        clusters = decide(config, decisions, search, survivors, ctx)
        if clusters is None:
            return Cancelled()
        excerpts = ClusterExcerpts(clusters.exact, clusters.near, clusters.similarity, decisions.by_id)
        written = write_parts(parts, spool, later, numbers, excerpts, ctx)
        if written is None:
            return Cancelled()
        if search is not None:
            saved_index.write_own_segment(config, decisions, search, ctx)
    edges = write_edges(ctx.out_dir / "edges.jsonl", clusters.found, numbers)
    funnel = _funnel(config, numbers, clusters, written, _lengths(numbers, examiner.counter))
    write_model(ctx.out_dir / "funnel.json", funnel)
    return _done(funnel, edges)


def external(config: CurateNode | DevelopmentNode, project: Path) -> dict[str, str]:
    """SHA-256 of each suite's documents file under the project, of the models in use and of the saved index; unknown
    filters and reasons are refused here, before any work."""
    if isinstance(config, DevelopmentNode):
        return {}
    _check(config)
    found = saved_index.externals(config, project)
    for reader in (tokens, ifd, rating, semantic):
        found |= reader.externals(config, project)
    return found | suite_files(config.curate.decontamination, config, project)


def _check(config: CurateNode) -> None:
    chosen_filters(config.curate.filters)
    check_actions(config.curate)


def _examiner(config: CurateNode, ctx: Context) -> Examiner:
    """One that knows no contaminants yet."""
    if config.curate.count_tokens:
        counter = tokens.open_counter(config.model, ctx.project, config.max_length, ctx.warn)
    else:
        counter = tokens.WordCounter()
    settings = config.curate.near_duplicates
    known = decontaminate.nothing_known(config)
    return Examiner(config, known, counter, sketch_settings(settings) if settings.enabled else None)


def _search(examiner: Examiner, ctx: Context) -> NearDuplicateSearch | None:
    from workbench.text.near_duplicates import NearDuplicateSearch

    return None if examiner.sketching is None else NearDuplicateSearch(examiner.sketching, scratch=ctx.work_dir)


def _examine(
    parts: Sequence[DataPart],
    examiner: Examiner,
    workers: Sequence[Worker],
    spool: Spool,
    search: NearDuplicateSearch | None,
    ctx: Context,
) -> Numbers | None:
    """Looks at every row by itself; None if the user wants to stop."""
    total = sum(part.rows for part in parts)
    ctx.progress(0, total, "rows", "examining")
    numbers: list[Numbers] = []
    done = 0
    for batch, examined in in_order(batches(parts), examiner, workers):
        if ctx.cancelled():
            return None
        spool.add(examined.rows)
        numbers.append(examined.numbers)
        if search is not None and examined.sketches is not None:
            search.add(examined.sketches, examined.groups)
        done += len(batch.lines)
        ctx.progress(done, total, "rows", "examining")
    return Numbers.of(numbers)


def _lengths(numbers: Numbers, counter: tokens.AnyCounter) -> TokenLengths:
    tally = tokens.LengthTally(counter)
    counted = numbers.lengths[~numbers.dropped & (numbers.lengths[:, 0] != NO_SEQUENCE)]
    tally.add_all((prompt, answer) for prompt, answer in counted.tolist())
    found = tally.lengths()
    if found.max_length is None:
        return found
    # Rows without an answer within the limit are dropped, so they are not among the kept rows.
    prompt, answer = numbers.lengths.T
    cut_away = (answer > 0) & (prompt + answer > found.max_length) & (prompt >= found.max_length)
    return found.model_copy(update={"answers_cut_away": int(cut_away.sum())})


def _funnel(
    config: CurateNode, numbers: Numbers, clusters: Clusters, written: Written, lengths: TokenLengths
) -> Funnel:
    settings: dict[str, float | int | str] = {}
    if clusters.found is not None:
        settings = settings_used(config.curate.near_duplicates) | {
            "pairs_checked": clusters.found.checked,
            "edges": len(clusters.found.left),
            "rows_without_shingles": clusters.found.without_shingles,
            "capped_rows": clusters.found.capped,
        }
    return Funnel(
        rows_in=len(numbers),
        rows_out=int((~numbers.dropped).sum()),
        reasons=written.reasons,
        largest_clusters=written.clusters,
        lengths=lengths,
        balance=written.balance,
        distinct_2=written.distinct_2,
        restored=int((numbers.saved & ~numbers.dropped).sum()),
        near_duplicate_settings=settings,
    )


def _done(funnel: Funnel, edges: int) -> Done:
    dropped = {count.reason: count.rows for count in funnel.reasons if count.action == "drop"}
    return Done({"rows_in": funnel.rows_in, "rows_out": funnel.rows_out, "edges": edges, **dropped})


STAGE = Stage(
    name="curate",
    version=4,
    config=(CurateNode, DevelopmentNode),
    run=run,
    libraries=("datasketch", "ftfy", "numba", "numpy", "py3langid", "tokenizers", "transformers", "xxhash"),
    external=external,
)
