"""How long the paired comparison of two arms takes, beside pandas with statsmodels and a loop over documents.

    python benchmarks/compare.py            100,000 documents, 5 repetitions
    python benchmarks/compare.py --quick    20,000 documents, 3 repetitions
    python benchmarks/compare.py --json     the same, with one JSON object as the last line

Two figures per side: from two samples.jsonl to the numbers, and from rows in memory (each in its own shape) to the
numbers. The numbers are gain, interval, McNemar's p and transitions of the whole and of 50 categories; that all sides
agree on them is checked before anything is timed. The program does more for its time: it validates every row, sorts,
looks for clusters, and works out levels, detectable effect and corrected p-values.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar

from workbench.compare.gain import Settings
from workbench.compare.pairing import pair
from workbench.compare.rows import Column, read_columns
from workbench.compare.suite import Policy, compare_suite
from workbench.core.parts import read_rows, write_rows
from workbench.core.records import ScoreRow
from workbench.core.suites import Documents, Suite

GROUPS = 50
KEY = ["task", "doc_hash", "occurrence"]
SUITE = Suite(
    name="bench", kind="lm_eval", role="general", documents=Documents(file="bench.jsonl"), primary_metric="acc"
)
POLICY = Policy(Settings(0.95, 9999, 0), alpha=0.05, max_failed_fraction=0.02, max_unpaired_fraction=0.02)


@dataclass(frozen=True, slots=True)
class Numbers:
    """What every side computes."""

    gain: float
    low: float
    high: float
    p_value: float
    forgotten: int
    learned: int
    group_gains: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Side:
    """One way to compare: reading an arm, and comparing two."""

    read: Callable[[Path], Any]
    compare: Callable[[Any, Any], Numbers]

    def whole(self, before: Path, after: Path) -> Numbers:
        """From two files to the numbers."""
        return self.compare(self.read(before), self.read(after))


def write_arm(path: Path, name: str, values: np.ndarray, seed: int) -> None:
    """An arm's samples.jsonl in an order of its own, with the texts a multiple choice suite has."""
    order = np.random.default_rng(seed).permutation(len(values))
    write_rows(
        path,
        (
            ScoreRow(
                arm=name,
                suite="bench",
                task="bench",
                metric="acc",
                doc_hash=f"{index:016x}",
                doc_id=int(index),
                value=float(values[index]),
                group=f"g{index % GROUPS:02d}",
                prompt=f"Question {index}: which of these is the capital of country {index}?",
                target="Lima",
                output=json.dumps({"choice": 0, "logprobs": [-1.25, -2.5, -3.75, -float(index % 97)]}),
            )
            for index in order
        ),
    )


def read_workbench(path: Path) -> Column:
    """The program's own reader."""
    return read_columns(read_rows(path, ScoreRow), [SUITE])["bench", "none"]


def workbench(before: Column, after: Column) -> Numbers:
    """The program's own comparison."""
    found = compare_suite(SUITE, pair(before, after), POLICY, filter_name="none")
    assert found.forgotten is not None and found.learned is not None
    gains = tuple(entry.gain.value for entry in found.groups)
    limits = (found.gain.value, found.gain.low, found.gain.high, found.p_value)
    return Numbers(*limits, found.forgotten, found.learned, gains)


def read_pandas(path: Path) -> pd.DataFrame:
    """The file as pandas reads it; absent defaults are filled in as the format says."""
    return pd.read_json(path, lines=True, dtype={"doc_hash": str}).assign(occurrence=0)


def pandas_and_statsmodels(before: pd.DataFrame, after: pd.DataFrame) -> Numbers:
    """Merge on the key, then scipy and statsmodels for the whole and for each category."""
    wanted = [*KEY, "value", "group"]
    merged = before[wanted].merge(after[wanted], on=KEY, suffixes=("_before", "_after"))
    whole = _tested(merged)
    groups = [_tested(rows) for _, rows in merged.groupby("group_before", sort=True)]
    return Numbers(*whole, tuple(row[0] for row in groups))


def _tested(rows: pd.DataFrame) -> tuple[float, float, float, float, int, int]:
    test = stats.ttest_rel(rows["value_after"], rows["value_before"])
    limits = test.confidence_interval(0.95)
    table = pd.crosstab(rows["value_before"], rows["value_after"])
    forgotten, learned = int(table.loc[1.0, 0.0]), int(table.loc[0.0, 1.0])
    p_value = float(mcnemar(table.to_numpy(), exact=True).pvalue)
    gain = float((rows["value_after"] - rows["value_before"]).mean())
    return gain, float(limits.low), float(limits.high), p_value, forgotten, learned


Rows = list[dict[str, Any]]


def read_loop(path: Path) -> Rows:
    """Line by line with the standard library."""
    with path.open(encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]


def loop(before: Rows, after: Rows) -> Numbers:
    """A loop over documents, as a notebook would have it."""
    partner = {(row["task"], row["doc_hash"], row.get("occurrence", 0)): row["value"] for row in after}
    differences: list[float] = []
    groups: dict[str, list[float]] = {}
    for row in before:
        difference = partner[row["task"], row["doc_hash"], row.get("occurrence", 0)] - row["value"]
        differences.append(difference)
        groups.setdefault(row["group"], []).append(difference)
    whole = _summed(differences)
    return Numbers(*whole, tuple(_summed(groups[name])[0] for name in sorted(groups)))


def _summed(differences: list[float]) -> tuple[float, float, float, float, int, int]:
    n = len(differences)
    gain = sum(differences) / n
    se = math.sqrt(sum((value - gain) ** 2 for value in differences) / (n - 1) / n)
    half = float(stats.t.ppf(0.975, n - 1)) * se
    forgotten, learned = (sum(value == sign for value in differences) for sign in (-1, 1))
    p_value = float(stats.binomtest(forgotten, forgotten + learned).pvalue)
    return gain, gain - half, gain + half, p_value, forgotten, learned


def agree(one: Numbers, other: Numbers) -> bool:
    """Whether both sides computed the same."""
    pairs = [(one.gain, other.gain), (one.low, other.low), (one.high, other.high), (one.p_value, other.p_value)]
    pairs += zip(one.group_gains, other.group_gains, strict=True)
    close = all(math.isclose(left, right, rel_tol=1e-6, abs_tol=1e-9) for left, right in pairs)
    return close and (one.forgotten, one.learned) == (other.forgotten, other.learned)


def median_seconds(call: Callable[[], object], repetitions: int) -> float:
    """Median wall time."""
    seconds = []
    for _ in range(repetitions):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


SIDES = {
    "workbench": Side(read_workbench, workbench),
    "pandas_statsmodels": Side(read_pandas, pandas_and_statsmodels),
    "loop": Side(read_loop, loop),
}


def measured(documents: int, repetitions: int) -> dict[str, dict[str, float]]:
    """Median seconds per side, from files and in memory; asserts that the sides agree."""
    rng = np.random.default_rng(0)
    right = (rng.random(documents) < 0.7).astype(float)
    changed = np.where(rng.random(documents) < 0.1, 1 - right, right)
    with tempfile.TemporaryDirectory() as directory:
        files = (Path(directory) / "before.jsonl", Path(directory) / "after.jsonl")
        for path, values, seed in zip(files, (right, changed), (1, 2), strict=True):
            write_arm(path, path.stem, values, seed)
        found: dict[str, dict[str, float]] = {"from files": {}, "in memory": {}}
        expected = SIDES["workbench"].whole(*files)
        for name, side in SIDES.items():
            arms = [side.read(path) for path in files]
            numbers = side.compare(*arms)
            assert agree(numbers, expected), f"{name} disagrees: {numbers} against {expected}"
            found["from files"][name] = median_seconds(partial(side.whole, *files), repetitions)
            found["in memory"][name] = median_seconds(partial(side.compare, *arms), repetitions)
    return found


def main() -> None:
    """Times all sides in one go and prints the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="20,000 documents and 3 repetitions")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    options = parser.parse_args()
    documents, repetitions = (20_000, 3) if options.quick else (100_000, 5)
    found = measured(documents, repetitions)
    print(f"paired comparison of {documents:,} documents, {GROUPS} categories, median of {repetitions}; results agree")
    metrics: dict[str, float] = {}
    for start, seconds in found.items():
        print(start)
        for name, value in seconds.items():
            ratio = value / seconds["workbench"]
            print(f"  {name:<20} {value * 1000:8.0f} ms   {ratio:5.2f} x workbench")
            metrics[f"{start.replace(' ', '_')}_{name}_seconds"] = round(value, 4)
            if name != "workbench":
                metrics[f"{start.replace(' ', '_')}_ratio_{name}"] = round(ratio, 3)
    if options.json:
        print(
            json.dumps({"benchmark": "compare", "metrics": metrics, "conditions": _conditions(documents, repetitions)})
        )


def _conditions(documents: int, repetitions: int) -> dict[str, Any]:
    versions = {"python": platform.python_version(), "numpy": np.__version__, "pandas": pd.__version__}
    shape = {"documents": documents, "categories": GROUPS, "repetitions": repetitions}
    return {**shape, **versions, "machine": platform.machine()}


if __name__ == "__main__":
    main()
