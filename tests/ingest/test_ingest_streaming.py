"""Memory does not grow with the file: the peak over three times the rows is the same."""

from __future__ import annotations

import json
import random
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ingest_files import COMPRESS, KINDS
from ingest_makers import RunStage, card_of

from workbench.core.parts import read_rows
from workbench.core.records import Quarantined, Record
from workbench.ingest import compressed, heldout
from workbench.ingest.read import Tally, read_records, stream_records
from workbench.ingest.readers import json_rows

SPREAD_BYTES = 300_000
"""By so much two peaks may differ."""


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compressed, "BLOCK_BYTES", 1 << 14)
    monkeypatch.setattr(json_rows, "_JUDGED_CHARS", 1 << 14)
    monkeypatch.setattr(heldout, "_RECORDS_AT_ONCE", 50)


def rows_of(count: int) -> list[dict[str, Any]]:
    draw = random.Random(count)
    return [{"text": draw.randbytes(2000).hex() + "é"} for _ in range(count)]


def peak(work: Iterator[object]) -> int:
    tracemalloc.start()
    try:
        for _ in work:
            pass
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


NAMES = [name for name in KINDS if name not in ("rows.parquet", "rows.feather", "rows.arrow")]


@pytest.mark.parametrize("name", [*NAMES, "rows.md", *(f"rows.jsonl{suffix}" for suffix in COMPRESS)])
def test_the_peak_is_the_same_for_three_times_the_rows(tmp_path: Path, name: str) -> None:
    peaks = []
    for count in (100, 300):
        content = KINDS.get(name, KINDS["rows.txt" if name == "rows.md" else "rows.jsonl"])(rows_of(count))
        path = tmp_path / str(count) / name
        path.parent.mkdir()
        path.write_bytes(COMPRESS[path.suffix](content) if path.suffix in COMPRESS else content)
        card = card_of(str(path), max_line_bytes=20_000)
        read_records(card_of(str(path), limit=1), tmp_path)  # imports and caches
        tally = Tally()
        peaks.append(peak(stream_records(card, tmp_path, tally)))
        assert tally.records == count and tally.quarantined == 0
    assert peaks[1] < peaks[0] + SPREAD_BYTES


@pytest.mark.parametrize("name", ["rows.parquet", "rows.feather", "rows.arrow"])
def test_a_table_in_one_piece_takes_no_memory_for_the_whole(tmp_path: Path, name: str) -> None:
    import pyarrow as pa

    peaks = []
    for count in (1000, 3000):
        (tmp_path / name).write_bytes(_in_one_piece(name, count))
        most, python = 0, 0
        tracemalloc.start()
        for _ in stream_records(card_of(name), tmp_path, Tally()):
            most = max(most, pa.total_allocated_bytes())
        python = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        peaks.append(most + python)
    assert peaks[1] < peaks[0] + 1_500_000


def _in_one_piece(name: str, count: int) -> bytes:
    from ingest_files import arrow_file, arrow_stream, parquet

    return {"rows.parquet": parquet, "rows.feather": arrow_file, "rows.arrow": arrow_stream}[name](
        rows_of(count), 1_000_000
    )


def test_the_stage_writes_rows_while_it_reads_and_holds_none(tmp_path: Path, run_stage: RunStage) -> None:
    peaks = []
    for count in (300, 900):
        lines = [json.dumps(row) + "\n" + ("broken\n" if number % 3 == 0 else "")
                 for number, row in enumerate(rows_of(count))]  # fmt: skip
        (tmp_path / "rows.jsonl").write_text("".join(lines))
        run_stage(card_of("rows.jsonl", heldout_fraction=0, limit=5))
        tracemalloc.start()
        run = run_stage(card_of("rows.jsonl", heldout_fraction=0))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert len(list(read_rows(run.out / "records.jsonl", Record))) == count
        assert len(list(read_rows(run.out / "quarantine.jsonl", Quarantined))) == count / 3
    assert peaks[1] < peaks[0] + SPREAD_BYTES


def test_with_a_split_no_text_is_held_either(tmp_path: Path, run_stage: RunStage) -> None:
    peaks = []
    for count in (200, 200, 600):  # once for imports and caches
        rows = rows_of(count)
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        if peaks:
            tracemalloc.start()
        run = run_stage(card_of("rows.jsonl", heldout_fraction=0.5, heldout_max=10))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        kept_away = [json.loads(line) for line in (run.out / "heldout.jsonl").read_text().splitlines()]
        train = list(read_rows(run.out / "records.jsonl", Record))
        assert len(kept_away) == 10 and not (run.out / "spool").exists()
        assert sorted([row["text"] for row in kept_away] + [str(record.text) for record in train]) == sorted(
            row["text"] for row in rows
        )
    assert peaks[2] - peaks[1] < 400 * 4000 / 4  # a quarter of the additional text
