"""Which split a name stands for.

    split_of("data/train-00000-of-00002.parquet")   ->  "train"
    split_of("squad/dev/part-0.jsonl")              ->  "validation"    from the folder, as the file does not say
    split_of("latest.jsonl")                        ->  None            `test` has to be a word of its own
    split_of("train_test.jsonl")                    ->  None            says both

Words end at everything but letters and digits; the name nearest to the rows decides.
"""

from __future__ import annotations

import re

SPLITS = {
    "train": "train",
    "valid": "validation",
    "validation": "validation",
    "val": "validation",
    "dev": "validation",
    "eval": "validation",
    "test": "test",
}
"""Words and the split they stand for."""
_WORD = re.compile(r"[^\W_]+")


def split_of(path: str) -> str | None:
    """The split that the last telling part of a path, or of a hub's split name, stands for; None if none does."""
    for part in reversed(path.split("/")):
        said = {SPLITS[word] for word in _WORD.findall(part.lower()) if word in SPLITS}
        if len(said) == 1:
            return said.pop()
    return None
