"""A dataset that `save_to_disk` wrote: which of the files in its folder hold the rows, and of which split.

    saved/state.json   {"_data_files": [{"filename": "data-00000-of-00001.arrow"}], "_split": "train", ...}
    ->  {saved/data-00000-of-00001.arrow: "train"}

Other tables in the folder are caches of earlier steps.
"""

from __future__ import annotations

import json
from pathlib import Path

from workbench.core.errors import UsageError
from workbench.ingest.splits import split_named, splits_of

SavedTables = dict[Path, str | None]
"""Files with rows, and the split they are of."""
_STATE_BYTES = 1 << 22


def saved_tables(state: Path) -> SavedTables | None:
    """The tables behind a `state.json`; None if the file is something else. Raises UsageError if they are not there."""
    if state.stat().st_size > _STATE_BYTES:
        return None
    try:
        content = json.loads(state.read_bytes())
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict) or not isinstance(content.get("_data_files"), list):
        return None
    if content.get("_indices_data_files"):
        raise UsageError(
            "the saved dataset has its rows in another order than its tables",
            where=str(state),
            next_step="load it and save it again with a newer version of `datasets`",
        )
    split = split_named(str(content.get("_split") or "")) or splits_of([state.parent.name])[0]
    return {_table(state, entry): split for entry in content["_data_files"]}


def _table(state: Path, entry: object) -> Path:
    name = entry.get("filename") if isinstance(entry, dict) else None
    if not isinstance(name, str) or Path(name).name != name or not (state.parent / name).is_file():
        raise UsageError(
            f"the saved dataset lists the table {name!r}, which is not in its folder",
            where=str(state),
            next_step="copy the folder as a whole",
        )
    return state.parent / name
