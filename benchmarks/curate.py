"""Near-duplicate search: the workbench against the usual datasketch loop, on the same documents in one process.

    python benchmarks/curate.py --quick
    python benchmarks/curate.py --documents corpus.jsonl.gz --json

Both sides go from texts in memory to the rows to remove, at 0.7 with 128 permutations and word 5-grams. The usual
loop updates a MinHash shingle by shingle (SHA-1), asks the LSH index for each document and believes the answer. The
workbench uses xxh32, shared permutations and sorted bands, and verifies every candidate by its true Jaccard similarity.
What should be removed is found by an exact search (prefix filtering): all but the first row of each component of true
Jaccard similarity, so precision and recall of both sides are measured, not estimated.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import os
import platform
import random
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from workbench.core.config import NearDuplicates
from workbench.core.records import Record, Source, record_id
from workbench.curate.duplicates import near_clusters
from workbench.text.normalise import words
from workbench.text.shingles import jaccard, shingles
from workbench.text.union_find import UnionFind

SETTINGS = NearDuplicates()
REPEATS = 3


@dataclass(frozen=True, slots=True)
class Timed:
    """Median seconds of one side, and the rows it removed."""

    seconds: float
    removed: frozenset[int]


def main() -> None:
    """Measures and prints; with --json the last line is one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2,000 documents instead of 10,000")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    parser.add_argument("--documents", type=Path, help="JSON Lines, plain or .gz, with a key `text`; else made up")
    arguments = parser.parse_args()
    count = 2_000 if arguments.quick else 10_000
    texts = read_texts(arguments.documents, count) if arguments.documents else made_up_texts(count)
    records = [as_record(text, row) for row, text in enumerate(texts)]
    near_clusters(records[:50], range(min(50, len(records))), SETTINGS)  # imports and (bands, rows) are not the search
    ours, usual = measured([lambda: workbench_removes(records), lambda: usual_loop_removes(texts)])
    truth = exactly_removable(texts)
    metrics: dict[str, float] = {"ratio": usual.seconds / ours.seconds, "removable": len(truth)}
    print(f"{len(texts)} documents, {len(truth)} of them near-duplicates to remove; median of {REPEATS} runs each")
    for name, side in (("workbench", ours), ("usual_loop", usual)):
        right = len(side.removed & truth)
        found = {
            "s": side.seconds,
            "docs_per_s": len(texts) / side.seconds,
            "removed": len(side.removed),
            "precision": right / max(len(side.removed), 1),
            "recall": right / max(len(truth), 1),
        }
        metrics |= {f"{name}_{key}": value for key, value in found.items()}
        print(f"{name:<10} " + "  ".join(f"{key} {value:.4g}" for key, value in found.items()))
    print(f"ratio {metrics['ratio']:.2f}")
    if arguments.json:
        print(json.dumps({"benchmark": "curate", "metrics": metrics, "conditions": conditions(arguments, len(texts))}))


def measured(sides: Sequence[Callable[[], frozenset[int]]]) -> list[Timed]:
    """Each side `REPEATS` times, taking turns, so that a busy moment of the machine hits both."""
    seconds: list[list[float]] = [[] for _ in sides]
    removed: list[frozenset[int]] = [frozenset() for _ in sides]
    for _ in range(REPEATS):
        for position, side in enumerate(sides):
            start = time.perf_counter()
            removed[position] = side()
            seconds[position].append(time.perf_counter() - start)
    return [Timed(statistics.median(times), rows) for times, rows in zip(seconds, removed, strict=True)]


def workbench_removes(records: Sequence[Record]) -> frozenset[int]:
    """All but the first row of each verified cluster."""
    found = near_clusters(records, range(len(records)), SETTINGS)
    return frozenset(row for cluster in found.clusters for row in sorted(cluster)[1:])


def usual_loop_removes(texts: Sequence[str]) -> frozenset[int]:
    """As in datasketch's own example: insert, query, keep the first of what looks alike."""
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(threshold=SETTINGS.threshold, num_perm=SETTINGS.num_perm)
    removed = set()
    for row, text in enumerate(texts):
        sketch = MinHash(num_perm=SETTINGS.num_perm)
        found = words(text)
        for start in range(max(len(found) - SETTINGS.ngram + 1, min(len(found), 1))):
            sketch.update(" ".join(found[start : start + SETTINGS.ngram]).encode())
        if index.query(sketch):
            removed.add(row)
        index.insert(row, sketch)
    return frozenset(removed)


def exactly_removable(texts: Sequence[str]) -> frozenset[int]:
    """All but the first row of each component of the true similarity graph, without MinHash.

    Two sets of similarity t share a shingle among the |x| - ceil(t |x|) + 1 rarest of each (Chaudhuri et al. 2006), so
    only rows that do are compared.
    """
    sets = [shingles(text, SETTINGS.ngram) for text in texts]
    frequency = Counter(shingle for of_text in sets for shingle in of_text)
    holders: dict[str, list[int]] = {}
    joined = UnionFind(len(texts))
    for row, of_text in enumerate(sets):
        rarest = sorted(of_text, key=lambda shingle: (frequency[shingle], shingle))
        prefix = rarest[: len(rarest) - math.ceil(SETTINGS.threshold * len(rarest) - 1e-9) + 1]
        for other in {other for shingle in prefix for other in holders.get(shingle, ())}:
            if not joined.connected(row, other) and jaccard(of_text, sets[other]) >= SETTINGS.threshold:
                joined.join(row, other)
        for shingle in prefix:
            holders.setdefault(shingle, []).append(row)
    return frozenset(row for cluster in joined.clusters() for row in cluster[1:])


def as_record(text: str, row: int) -> Record:
    """A document."""
    return Record(
        id=record_id("document", text=text), kind="document", text=text, source=Source(dataset="benchmark", row=row)
    )


def read_texts(path: Path, count: int) -> list[str]:
    """The first `count` texts of a file."""
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as stream:
        return [json.loads(line)["text"] for line, _ in zip(stream, range(count), strict=False)]


def made_up_texts(count: int) -> list[str]:
    """Texts of 20 to 300 words with Zipf-like word frequencies, a quarter of them edited copies; always the same."""
    rng = random.Random(0)
    vocabulary = [f"word{rank}" for rank in range(20_000)]
    weights = [1 / (rank + 10) for rank in range(len(vocabulary))]
    texts = [rng.choices(vocabulary, weights, k=rng.randint(20, 300)) for _ in range(count * 3 // 4)]
    while len(texts) < count:
        copy = list(rng.choice(texts))
        for _ in range(max(1, int(len(copy) * rng.uniform(0.005, 0.04)))):
            copy[rng.randrange(len(copy))] = rng.choice(vocabulary)
        texts.append(copy)
    rng.shuffle(texts)
    return [" ".join(text) for text in texts]


def conditions(arguments: argparse.Namespace, count: int) -> dict[str, object]:
    """What the numbers depend on."""
    return {
        "documents": count,
        "source": arguments.documents.name if arguments.documents else "made up, seed 0",
        "threshold": SETTINGS.threshold,
        "num_perm": SETTINGS.num_perm,
        "ngram": SETTINGS.ngram,
        "repeats": REPEATS,
        "cpus": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "python": platform.python_version(),
        "datasketch": metadata.version("datasketch"),
    }


if __name__ == "__main__":
    main()
