"""Which of the curated rows a mixture draws from: the question that `workbench ablate` asks.

    filtered   what curation kept
    all        what it was given
    dropped    what it dropped
    random     all but rows chosen by chance, with as many trainable tokens as the dropped ones: the control that tells
               "these rows were bad" from "less data was enough"

Rows that hold evaluation data are in none of them, nor are rows without a trainable token or marked as bad answers.
"""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Literal

from workbench.mix.rows import RowFile, RowTable
from workbench.mix.shares import nearest

Rows = Literal["filtered", "all", "random", "dropped"]


def curated_files(curated: Path, rows: Rows) -> list[RowFile]:
    """Parts of curate's artifact that the selection reads."""
    kept, dropped = RowFile(curated / "records.jsonl"), RowFile(curated / "dropped.jsonl", dropped=True)
    return {"filtered": [kept], "dropped": [dropped]}.get(rows, [kept, dropped])


def selected(table: RowTable, rows: Rows, curated_parts: int, seed: int) -> list[int]:
    """Rows of the table to draw from, ascending; its first `curated_parts` files are curate's."""
    if rows != "random":
        return list(range(len(table)))
    curated = [row for row in range(len(table)) if table.file_of[row] < curated_parts]
    taken_out = sum(table.tokens[row] for row in curated if table.is_dropped(row))
    chance = Random(json.dumps(["mix random rows", seed]))
    out = {curated[place] for place in nearest([table.tokens[row] for row in curated], taken_out, len(curated), chance)}
    return [row for row in range(len(table)) if row not in out]
