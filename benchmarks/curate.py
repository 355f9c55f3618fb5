"""Curation: near-duplicate search beside its peers, its precision and recall, a million documents, the filter chain.

    python benchmarks/curate.py --documents corpus.jsonl.gz     all of it, about 20 minutes on two cores
    python benchmarks/curate.py --quick                         small and made up: shows that everything runs
    python benchmarks/curate.py --only peers --only quality     some parts; --json ends with one JSON object

- **peers**: all sides go from texts in memory to the rows to remove, word 5-grams, 128 permutations, Jaccard 0.7, in
  turns in one process, medians of three. Ours verifies every pair by its exact similarity, the peers do not
  (curation/peers.py).
- **quality**: removed rows against an exact search (prefix filtering, no MinHash) on 10,000 documents, at 0.7 and 0.8:
  all but the first row of each component of true similarity.
- **scale**: the documents grown to 200,000 and to 1,000,000 (curation/corpora.py), read from a file and searched in a
  process of its own, whose peak resident memory is what the system reports; then an index of the million is saved and
  another process adds 1,000 new documents to it.
- **filters**: rows per second through all that `curate` looks at a row with (parsing, repairs, filters, language,
  personal data, tokens, decontamination against every suite of the starter, sketches), default configuration.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path

from curation import corpora, peers

from workbench.core.curation import NearDuplicates
from workbench.text.near_duplicates import NearDuplicateSearch
from workbench.text.shingles import jaccard, shingles
from workbench.text.sketch import SketchSettings, sketch_stream

PARTS = ("peers", "quality", "scale", "filters")
REPEATS = 3
DEFAULTS = NearDuplicates()
Metrics = dict[str, float]


def main() -> None:
    """Measures and prints; with --json the last line is one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few made-up documents")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    parser.add_argument("--only", action="append", choices=PARTS, help="run this part (repeatable)")
    parser.add_argument("--documents", type=Path, help="JSON Lines, plain or .gz, with a key `text`; else made up")
    arguments = parser.parse_args()
    count, truth_count, sizes = (50_000, 10_000, (200_000, 1_000_000))
    if arguments.quick:
        count, truth_count, sizes = (2_000, 1_000, (4_000, 20_000))
    texts = corpora.read(arguments.documents, count) if arguments.documents else corpora.made_up(count)
    removed_by_ours(texts[:200], 0.7)  # imports, compilation and (bands, rows) are not the search
    metrics: Metrics = {}
    for part in arguments.only or PARTS:
        print(f"\n{part}")
        if part == "peers":
            metrics |= against_peers(texts)
        elif part == "quality":
            metrics |= against_truth(texts[:truth_count])
        elif part == "scale":
            metrics |= at_scale(texts, sizes)
        else:
            metrics |= through_the_filters(texts)
    if arguments.json:
        print(json.dumps({"benchmark": "curate", "metrics": metrics, "conditions": conditions(arguments, len(texts))}))


def against_peers(texts: Sequence[str]) -> Metrics:
    """Seconds of every side and how many times faster ours is."""
    sides: dict[str, Callable[[], peers.Removed]] = {
        "workbench": lambda: removed_by_ours(texts, peers.THRESHOLD),
        "datasketch_loop": lambda: peers.usual_loop(texts),
        "datasketch_best": lambda: peers.datasketch_best(texts),
        "gaoya": lambda: peers.gaoya_builtin(texts),
        "gaoya_same_shingles": lambda: peers.gaoya_same_shingles(texts),
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    removed: dict[str, int] = {}
    for _ in range(REPEATS):
        for name, side in sides.items():
            start = time.perf_counter()
            removed[name] = len(side())
            seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    metrics: Metrics = {}
    for name, median in medians.items():
        spread = f"{min(seconds[name]):.2f} to {max(seconds[name]):.2f}"
        print(f"{name:<20} {median:8.2f} s ({spread})  {len(texts) / median:9,.0f} docs/s  removed {removed[name]:,}")
        metrics[f"{name}_s"] = median
        if name != "workbench":
            metrics[f"speedup_vs_{name}"] = median / medians["workbench"]
            print(f"{'':<20} ratio {metrics[f'speedup_vs_{name}']:.1f}")
    return metrics


def against_truth(texts: Sequence[str]) -> Metrics:
    """Precision and recall in removed rows, ours and the peers', at 0.7; ours at 0.8 too."""
    metrics: Metrics = {}
    sides = {
        "workbench": removed_by_ours(texts, 0.7),
        "datasketch_loop": peers.usual_loop(texts),
        "datasketch_best": peers.datasketch_best(texts),
        "gaoya": peers.gaoya_builtin(texts),
    }
    truth = exactly_removable(texts, 0.7)
    print(f"{len(texts):,} documents; to remove at 0.7: {len(truth):,}")
    for name, removed in sides.items():
        precision, recall = quality(removed, truth)
        print(f"{name:<20} removed {len(removed):,}  precision {precision:.3f}  recall {recall:.3f}")
        suffix = "" if name == "workbench" else f"_{name}"
        metrics |= {f"precision_07{suffix}": precision, f"recall_07{suffix}": recall}
    strict = exactly_removable(texts, 0.8)
    precision, recall = quality(removed_by_ours(texts, 0.8), strict)
    print(f"at 0.8: to remove {len(strict):,}  workbench precision {precision:.3f}  recall {recall:.3f}")
    return metrics | {"precision_08": precision, "recall_08": recall}


def quality(removed: peers.Removed, truth: peers.Removed) -> tuple[float, float]:
    """Precision and recall of removed rows."""
    right = len(removed & truth)
    return right / max(len(removed), 1), right / max(len(truth), 1)


def at_scale(texts: Sequence[str], sizes: tuple[int, int]) -> Metrics:
    """Time and peak memory of both sizes, medians of three processes each; then the index."""
    small, large = sizes
    medians: dict[int, tuple[float, float]] = {}
    with tempfile.TemporaryDirectory() as directory:
        index = Path(directory) / "index"
        for size in sizes:
            corpus = Path(directory) / f"{size}.jsonl"
            corpora.grow(texts, size, corpus)
            runs = [child("search", corpus, index if size == large and turn == 0 else None) for turn in range(REPEATS)]
            medians[size] = (
                statistics.median(run["seconds"] for run in runs),
                max(run["rss_mb"] for run in runs),
            )
            print(
                f"{size:,} documents: {medians[size][0]:.1f} s, peak {medians[size][1]:.0f} MB resident, "
                f"{runs[0]['removed']:,.0f} removed"
            )
        new = Path(directory) / "new.jsonl"
        with new.open("w", encoding="utf-8") as out:
            for position, text in enumerate(texts[:1000]):
                out.write(json.dumps({"text": f"{text} appended {position}"}) + "\n")
        extended = [child("extend", new, index) for _ in range(REPEATS)]
    ratio = medians[large][0] / medians[small][0]
    seconds = statistics.median(run["seconds"] for run in extended)
    print(f"time of {large:,} over {small:,}: {ratio:.2f}")
    print(f"1,000 new documents against the index: {seconds:.2f} s, {extended[0]['matched']:,.0f} are in it already")
    return {
        "time_200k_s": medians[small][0],
        "time_1m_s": medians[large][0],
        "rss_mb_1m": medians[large][1],
        "time_1m_over_200k": ratio,
        "extend_1k_s": seconds,
    }


def child(task: str, corpus: Path, index: Path | None) -> dict[str, float]:
    """One measurement in a process of its own."""
    command = [sys.executable, "-m", "curation.child", task, str(corpus), str(index or "")]
    done = subprocess.run(command, cwd=Path(__file__).parent, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def through_the_filters(texts: Sequence[str]) -> Metrics:
    """Rows per second through the examination of the curate stage."""
    with tempfile.TemporaryDirectory() as directory:
        corpus = Path(directory) / "documents.jsonl"
        with corpus.open("w", encoding="utf-8") as out:
            out.writelines(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts)
        runs = [child("filters", corpus, None) for _ in range(REPEATS)]
    rate = statistics.median(run["rows_per_s"] for run in runs)
    print(f"{len(texts):,} documents: {rate:,.0f} rows/s through the default filters")
    return {"filter_rows_per_s": rate}


def removed_by_ours(texts: Sequence[str], threshold: float) -> peers.Removed:
    """All but the first row of each verified cluster."""
    settings = SketchSettings(threshold, DEFAULTS.ngram, DEFAULTS.num_perm)
    search = NearDuplicateSearch(settings)
    for sketches in sketch_stream(texts, settings):
        search.add(sketches)
    found = search.find()
    assert found is not None, "nobody cancels"
    return frozenset(row for row, label in enumerate(found.labels.tolist()) if row != label)


def exactly_removable(texts: Sequence[str], threshold: float) -> peers.Removed:
    """All but the first row of each component of the true similarity graph, without MinHash.

    Two sets of similarity t share a shingle among the |x| - ceil(t |x|) + 1 rarest of each (Chaudhuri et al. 2006), so
    only rows that do are compared.
    """
    sets = [shingles(text, DEFAULTS.ngram) for text in texts]
    frequency = Counter(shingle for of_text in sets for shingle in of_text)
    holders: dict[str, list[int]] = {}
    parents = list(range(len(texts)))
    for row, of_text in enumerate(sets):
        rarest = sorted(of_text, key=lambda shingle: (frequency[shingle], shingle))
        prefix = rarest[: len(rarest) - math.ceil(threshold * len(rarest) - 1e-9) + 1]
        for other in {other for shingle in prefix for other in holders.get(shingle, ())}:
            connected = peers.root(parents, row) == peers.root(parents, other)
            if not connected and jaccard(of_text, sets[other]) >= threshold:
                peers.join(parents, row, other)
        for shingle in prefix:
            holders.setdefault(shingle, []).append(row)
    return peers.all_but_first(parents)


def conditions(arguments: argparse.Namespace, count: int) -> dict[str, object]:
    """What the numbers depend on."""
    return {
        "documents": count,
        "source": arguments.documents.name if arguments.documents else "made up, seed 0",
        "num_perm": DEFAULTS.num_perm,
        "ngram": DEFAULTS.ngram,
        "repeats": REPEATS,
        "cpus": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in ("datasketch", "gaoya", "numba", "numpy")},
    }


if __name__ == "__main__":
    main()
