"""Reading an arm's scores into columns, primary metrics only.

samples.jsonl  ->  {("capitals", "none"): Column(keys=[("capitals", "9f..", 0), ...], values=[1.0, ...], ...)}
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.compare.statistics.estimates import Codes, Flags, Floats
from workbench.core.errors import IncompleteError
from workbench.core.outputs import read_choice
from workbench.core.records import ScoreRow
from workbench.core.suites import Suite

DocumentKey = tuple[str, str, int]
"""Task, document hash, occurrence: with suite, filter and metric fixed, what names a document in every arm."""
Columns = dict[tuple[str, str], "Column"]
"""By suite and filter."""
Entry = tuple[DocumentKey, float, float, bool, str | None, str | None, int, float, str | None]
"""One document: key, value, weight, parsed, group, cluster, hash of the output, chance, side."""
MUST_PASS = "must pass"


@dataclass(frozen=True, slots=True)
class Column:
    """The documents of one suite under one filter and the suite's primary metric, sorted by key; arrays of [n_docs]."""

    keys: list[DocumentKey]
    values: Floats
    """NaN where the document failed."""
    weights: Floats
    parsed: Flags
    groups: NDArray[np.object_]
    """Category or None."""
    clusters: Codes
    """Cluster of each document; copies of a document without one are each other's cluster."""
    outputs: NDArray[np.int64]
    """Hash of the raw output: enough to see whether anything at all is different."""
    chances: Floats
    """One over the number of choices; NaN where the output is no list of log-likelihoods."""
    sides: NDArray[np.object_]
    """What a document of a suite of kind `safety` expects, `refuse` or `comply`; `MUST_PASS` for a frozen item that may
    not fail; else None."""


def read_columns(rows: Iterable[ScoreRow], suites: Iterable[Suite]) -> Columns:
    """Columns of the suites' primary metrics.

    IncompleteError if a document has two values under one filter: which one counts is unknown.
    """
    known: Mapping[str, Suite] = {suite.name: suite for suite in suites}
    entries: dict[tuple[str, str], list[Entry]] = {}
    for row in rows:
        found_suite = known.get(row.suite)
        if found_suite is not None and found_suite.primary_metric == row.metric:
            side = row.target if found_suite.kind == "safety" else MUST_PASS if row.must_pass else None
            entries.setdefault((row.suite, row.filter), []).append(_entry(row, side))
    for (suite, filter_name), found in entries.items():
        found.sort(key=itemgetter(0))
        _refuse_repeated([entry[0] for entry in found], f"suite {suite}, filter {filter_name}")
    return {name: column(found) for name, found in entries.items()}


def column(entries: Sequence[Entry]) -> Column:
    """A column of documents that are sorted by key and have different ones."""
    keys, values, weights, parsed, groups, clusters, outputs, chances, sides = (
        zip(*entries, strict=True) if entries else _NOTHING
    )
    # A tuple for a document of its own: no cluster's name can be equal to it.
    names: list[Any] = [(key[1],) if name is None else name for key, name in zip(keys, clusters, strict=True)]
    distinct = dict.fromkeys(names)
    codes = dict(zip(distinct, range(len(distinct)), strict=True))
    group_names, side_names = np.empty((2, len(keys)), dtype=np.object_)
    group_names[:], side_names[:] = groups, sides
    return Column(
        keys=list(keys),
        values=np.array(values, dtype=np.float64),
        weights=np.array(weights, dtype=np.float64),
        parsed=np.array(parsed, dtype=np.bool_),
        groups=group_names,
        clusters=np.fromiter(map(codes.__getitem__, names), dtype=np.int64, count=len(names)),
        outputs=np.array(outputs, dtype=np.int64),
        chances=np.array(chances, dtype=np.float64),
        sides=side_names,
    )


_NOTHING: tuple[tuple[Any, ...], ...] = ((),) * 9


def _entry(row: ScoreRow, side: str | None) -> Entry:
    choice = read_choice(row.output)
    return (
        (row.task, row.doc_hash, row.occurrence),
        math.nan if row.value is None else row.value,
        row.weight,
        row.parsed,
        row.group,
        row.cluster,
        hash(row.output),
        math.nan if choice is None else 1 / len(choice.logprobs),
        side,
    )


def _refuse_repeated(keys: Sequence[DocumentKey], where: str) -> None:
    for key, following in pairwise(keys):
        if key == following:
            raise IncompleteError(
                f"document {key[1]} occurrence {key[2]} has two values",
                where=where,
                next_step="score the arm again",
            )


def primary_filter(suite: Suite, filters: set[str]) -> str:
    """The filter that decides: the first one that the suite's task lists, else `none`, else the first by name.

    The others (a flexible extraction beside a strict one, say) are another reading of the same answers: deciding on
    several would be a choice after the fact.
    """
    listed = suite.task.get("filter_list") or ()
    names = [entry.get("name") for entry in listed if isinstance(entry, dict)]
    return next((str(name) for name in (*names, "none") if name in filters), min(filters, default="none"))
