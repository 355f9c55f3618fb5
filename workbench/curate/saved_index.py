"""The saved index of a curation: rows it holds already are dropped, the rows kept this time join it.

    curate: {near_duplicates: {index: known}}

    monday.jsonl     1,000 rows in, 900 kept     known/ holds 900 rows
    tuesday.jsonl    1,000 rows, 300 of them like Monday's: exact_duplicate or near_duplicate, "... in the saved index"

The stage writes the kept rows into its artifact as a segment; whoever ran it adds the segment to the index afterwards.
A segment is named after the data it was made of, and the data's own segment is left out of the search: the same
command again gives the same result. With other filters it gives another segment, which replaces the first.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from workbench.core.fingerprints import file_sha256, fingerprint
from workbench.core.nodes import CurateNode
from workbench.core.stage import Context
from workbench.curate.actions import EXACT, NEAR
from workbench.curate.decide import Decisions
from workbench.curate.duplicates import sketch_settings
from workbench.curate.filters.contract import Verdict

if TYPE_CHECKING:
    from workbench.text.near_duplicates import NearDuplicateSearch

PART = "index"
"""Directory of the segment in the artifact."""


def index_path(config: CurateNode, project: Path) -> Path | None:
    """The directory of the index; None if there is none to be used."""
    settings = config.curate.near_duplicates
    return project / settings.index if settings.enabled and settings.index is not None else None


def externals(config: CurateNode, project: Path) -> dict[str, str]:
    """Hash of the index but for the data's own segment. UsageError if it was made with other settings."""
    path = index_path(config, project)
    if path is None:
        return {}
    from workbench.text.near_index import SavedIndex
    from workbench.text.near_segment import ROWS

    segments = SavedIndex.open(path, sketch_settings(config.curate.near_duplicates)).segments
    others = {name: file_sha256(folder / ROWS) for name, folder in segments.items() if name != config.segment}
    return {"index": fingerprint(others)}


def drop_known(config: CurateNode, decisions: Decisions, search: NearDuplicateSearch, ctx: Context) -> None:
    """Adds a verdict for every row that the index holds already."""
    path = index_path(config, ctx.project)
    if path is None:
        return
    from workbench.text.near_index import SavedIndex

    ctx.progress(0, len(search), "rows", "looking into the saved index")
    index = SavedIndex.open(path, search.settings)
    found = index.matches(search, decisions.numbers.exact_key, exclude_segment=config.segment)
    for place, row in enumerate(found.row.tolist()):
        source_row = int(found.source_row[place])
        source = found.dataset[place] + (f" row {source_row}" if source_row >= 0 else "")
        known = f"{int(found.record_id[place]):016x} ({source}) in the saved index"
        if found.exact[place]:
            if config.curate.exact_duplicates:
                decisions.add(row, "exact_duplicates", Verdict(EXACT, "drop", f"same text as {known}"))
        else:
            verdict = Verdict(NEAR, "drop", f"Jaccard {found.jaccard[place]:.3f} with {known}")
            decisions.add(row, "near_duplicates", verdict)
    if found.capped:
        ctx.warn(f"{found.capped} rows were compared with some rows of a crowded bucket of the saved index only")


def write_own_segment(config: CurateNode, decisions: Decisions, search: NearDuplicateSearch, ctx: Context) -> None:
    """Writes the kept rows as a segment into the artifact."""
    if index_path(config, ctx.project) is None:
        return
    import numpy as np

    from workbench.text.near_segment import AboutRows, write_segment

    numbers = decisions.numbers
    about = AboutRows(
        exact_key=numbers.exact_key,
        record_id=numbers.content_id,
        dataset=numbers.place[:, 0].astype(np.int64),
        datasets=config.datasets,
        source_row=numbers.place[:, 2].astype(np.int64) - 1,
    )
    write_segment(ctx.out_dir / PART, search, decisions.remaining(), about)
