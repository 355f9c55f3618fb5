"""One measurement of the curation benchmark in a process of its own; prints one JSON object.

    python -m curation.child search /tmp/corpus.jsonl INDEX    near-duplicates; saved as an index unless INDEX is ""
    python -m curation.child extend /tmp/new.jsonl INDEX       what of the file the index holds; the rest joins
    python -m curation.child filters /tmp/corpus.jsonl ""      rows per second through the curate stage
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from curation import corpora
from workbench.core.curation import NearDuplicates

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from workbench.core.events import Event
    from workbench.text.near_duplicates import NearDuplicateSearch
    from workbench.text.near_segment import AboutRows
    from workbench.text.sketch import SketchSettings


def main() -> None:
    """Runs the task named on the command line."""
    task, corpus, index = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]) if sys.argv[3] else None
    if task == "filters":
        print(json.dumps(filters(corpus)))
        return
    with tempfile.TemporaryDirectory(dir=corpus.parent) as scratch:
        found = search(corpus, index, Path(scratch)) if task == "search" else extend(corpus, index, Path(scratch))
    print(json.dumps(found | {"rss_mb": peak_resident_mb()}))


def peak_resident_mb() -> float:
    """Highest resident memory of this program; getrusage would count what the parent held when it forked."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


def search(corpus: Path, index: Path | None, scratch: Path) -> dict[str, float]:
    """Near-duplicates of a file, from its first byte to the clusters; the index is not part of the time."""
    import numpy as np

    settings = default_settings()
    start = time.perf_counter()
    looked = sketched(corpus, settings, scratch)
    found = looked.find()
    seconds = time.perf_counter() - start
    assert found is not None, "nobody cancels"
    kept = found.labels == np.arange(len(looked))
    if index is not None:
        save(looked, np.flatnonzero(kept), index, scratch, "all")
    return {"seconds": seconds, "removed": int((~kept).sum()), "checked": found.checked, "capped": found.capped}


def extend(corpus: Path, index: Path | None, scratch: Path) -> dict[str, float]:
    """A file against a saved index, which grows by what is new."""
    import numpy as np

    from workbench.text.near_index import SavedIndex

    assert index is not None, "extend needs an index"
    settings = default_settings()
    start = time.perf_counter()
    looked = sketched(corpus, settings, scratch)
    matches = SavedIndex.open(index, settings).matches(looked, about(looked).exact_key)
    fresh = np.setdiff1d(np.arange(len(looked)), matches.row)
    save(looked, fresh, index, scratch, f"new at {time.time_ns()}")
    return {"seconds": time.perf_counter() - start, "matched": len(matches.row)}


def filters(corpus: Path) -> dict[str, float]:
    """The curate stage on a file, as `workbench curate --all-suites` runs it."""
    from workbench.core.cards import Card, FileSource
    from workbench.core.config import LoopConfig
    from workbench.core.events import NodeProgress
    from workbench.core.paths import Project
    from workbench.core.yamlfile import validate
    from workbench.loop.plan import build_curate_plan
    from workbench.loop.run import execute
    from workbench.loop.starter import create_project

    times: list[tuple[float, int]] = []

    def on_event(event: Event) -> None:
        if isinstance(event, NodeProgress) and event.message == "examining":
            times.append((time.perf_counter(), event.done))

    with tempfile.TemporaryDirectory(dir=corpus.parent) as directory:
        project = Project(Path(directory) / "project")
        create_project(project.root)
        suites = sorted(path.stem for path in (project.root / "evals").glob("*.yaml"))
        config = validate({"name": "filters", "score": {"suites": suites}}, LoopConfig, file="benchmark")
        source = FileSource(kind="file", path=str(corpus))
        plan = build_curate_plan(config, project.root, Card(name="documents", source=source, heldout_fraction=0))
        result = execute(plan, config, project, "filters", command="benchmark", on_event=on_event)
    assert result.exit_code == 0, result.message
    (start, _), (end, rows) = times[0], times[-1]
    stage = result.artifacts["curate"].manifest.seconds
    return {"rows_per_s": rows / (end - start), "stage_seconds": stage}


def default_settings() -> SketchSettings:
    """Those of `workbench curate` without configuration."""
    from workbench.text.sketch import SketchSettings

    defaults = NearDuplicates()
    return SketchSettings(defaults.threshold, defaults.ngram, defaults.num_perm)


def sketched(corpus: Path, settings: SketchSettings, scratch: Path) -> NearDuplicateSearch:
    """All texts of a file, ready to be searched."""
    from workbench.text.near_duplicates import NearDuplicateSearch
    from workbench.text.sketch import sketch_stream

    looked = NearDuplicateSearch(settings, scratch=scratch)
    for sketches in sketch_stream(corpora.stream(corpus), settings):
        looked.add(sketches)
    return looked


def about(looked: NearDuplicateSearch) -> AboutRows:
    """Row numbers stand for ids here, so nothing is an exact duplicate."""
    import numpy as np

    from workbench.text.near_segment import AboutRows

    rows = np.arange(len(looked))
    keys = np.stack([rows, np.full(len(rows), time.time_ns())], axis=1).astype(np.uint64)
    return AboutRows(keys, rows.astype(np.uint64), np.zeros(len(rows), dtype=np.int64), ("benchmark",), rows)


def save(looked: NearDuplicateSearch, rows: NDArray[np.int64], index: Path, scratch: Path, name: str) -> None:
    """Adds rows of a search to an index."""
    from workbench.text.near_index import add_segment
    from workbench.text.near_segment import write_segment

    write_segment(scratch / "segment", looked, rows, about(looked))
    add_segment(index, scratch / "segment", name)


if __name__ == "__main__":
    main()
