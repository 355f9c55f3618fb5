"""Which split a name stands for.

    train-00000-of-00002.parquet, squad/dev/part-0.jsonl    ->  "train", "validation"      the whole name says so
    gsm8k_train.jsonl, gsm8k_test.jsonl                     ->  "train", "test"            they differ in that alone
    gsm8k_test.jsonl, unit_test_generation.jsonl, latest    ->  None                       it may mean anything

Files of a dataset are judged together; the name nearest to the rows decides. A split of the hub is named by whoever
made it: there a word is enough.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

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
_SUFFIXES = re.compile(r"(?:\.[a-z][a-z0-9]{0,7}){1,3}\Z")
_SHARD = re.compile(r"[-_. ]?(?:part[-_. ]?)?[0-9]+(?:[-_]of[-_][0-9]+)?\Z")
_Rest = tuple[tuple[str, ...], str, tuple[str, ...]]
"""Folder, the end at which a word was taken off a name, and the other words."""


def splits_of(paths: Sequence[str]) -> list[str | None]:
    """The split that the last telling part of each path stands for, None where none does.

    A whole name tells, and a first or last word if the paths hold the same name with `train` in its place and one with
    another split's word."""
    families = _families(paths)
    return [_split(path.split("/"), families) for path in paths]


def split_named(name: str) -> str | None:
    """The split that a split's own name (`train_sft`, `test[:10%]`) stands for; None if it says none, or two."""
    said = {SPLITS[word] for word in _WORD.findall(name.lower()) if word in SPLITS}
    return said.pop() if len(said) == 1 else None


def _split(parts: list[str], families: dict[_Rest, set[str]]) -> str | None:
    for depth in range(len(parts) - 1, -1, -1):
        stem = _stem(parts[depth])
        if stem in SPLITS:
            return SPLITS[stem]
        taken = _taken_off(parts[:depth], stem)
        said = {split for rest, split in taken if "train" in families[rest] and len(families[rest]) > 1}
        if len(said) == 1:
            return said.pop()
    return None


def _families(paths: Sequence[str]) -> dict[_Rest, set[str]]:
    """The splits that names with the same rest stand for."""
    found: defaultdict[_Rest, set[str]] = defaultdict(set)
    for parts in {tuple(path.split("/")[: depth + 1]) for path in paths for depth in range(path.count("/") + 1)}:
        for rest, split in _taken_off(parts[:-1], _stem(parts[-1])):
            found[rest].add(split)
    return found


def _taken_off(folder: Sequence[str], stem: str) -> Iterator[tuple[_Rest, str]]:
    """A name without its first or last word where that means a split, with the split."""
    words = tuple(_WORD.findall(stem))
    if len(words) > 1 and words[0] in SPLITS:
        yield (tuple(folder), "first", words[1:]), SPLITS[words[0]]
    if len(words) > 1 and words[-1] in SPLITS:
        yield (tuple(folder), "last", words[:-1]), SPLITS[words[-1]]


def _stem(name: str) -> str:
    """A name in small letters without suffixes and the number of a shard."""
    whole = _SUFFIXES.sub("", name.lower())
    return _SHARD.sub("", whole) or whole
