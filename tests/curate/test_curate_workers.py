from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from deadly_counters import Dying, Endless, Refusing
from record_makers import document

from workbench.core.config import ModelConfig
from workbench.core.curation import CurateConfig
from workbench.core.errors import IncompleteError, UsageError
from workbench.core.nodes import CurateNode
from workbench.core.parts import write_rows
from workbench.curate.batch import Batch, DataPart, batches
from workbench.curate.decontaminate import load_suites
from workbench.curate.examine import Examined, Examiner
from workbench.curate.tokens import AnyCounter, WordCounter
from workbench.curate.workers import in_order, processes_for, started


def examiner(counter: AnyCounter) -> Examiner:
    node = CurateNode(
        curate=CurateConfig.model_validate({"filters": (), "decontamination": {"enabled": False}}),
        datasets=("data",),
        suites=(),
        suites_dir="evals",
        model=ModelConfig(),
        max_length=512,
        seed=0,
    )
    return Examiner(node, load_suites(node, {}, Path()), counter, None)


@pytest.fixture
def some_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Batch]:
    """Twelve batches of two rows."""
    monkeypatch.setattr("workbench.curate.batch.BATCH_ROWS", 2)
    write_rows(tmp_path / "records.jsonl", [document(f"text {row}", row=row) for row in range(24)])
    return batches([DataPart("data", tmp_path / "records.jsonl", 24)])


def examined_by_two(rows: Iterator[Batch], by: Examiner) -> list[tuple[Batch, Examined]]:
    with started(2, by) as workers:
        return list(in_order(rows, by, workers))


def test_results_come_in_the_order_of_the_batches(some_batches: Iterator[Batch]) -> None:
    found = [
        (batch.first_row, examined.numbers.place[:, 2].tolist())
        for batch, examined in examined_by_two(some_batches, examiner(WordCounter()))
    ]
    assert found == [(row, [row + 1, row + 2]) for row in range(0, 24, 2)]


def test_a_worker_that_dies_is_a_clear_failure(some_batches: Iterator[Batch]) -> None:
    with pytest.raises(IncompleteError, match=r"a worker process ended with code 7 while it examined rows \d+ to \d+"):
        examined_by_two(some_batches, examiner(Dying()))


def test_a_worker_that_is_killed_says_by_which_signal(some_batches: Iterator[Batch]) -> None:
    with pytest.raises(IncompleteError, match=r"was ended by signal 9 \(Killed\)"):
        examined_by_two(some_batches, examiner(Dying(by_signal=True)))


def test_an_error_for_people_crosses_the_border_whole(some_batches: Iterator[Batch]) -> None:
    with pytest.raises(UsageError, match="not like this") as hit:
        examined_by_two(some_batches, examiner(Refusing()))
    assert (hit.value.where, hit.value.next_step) == ("here", "like that")


def test_a_worker_killed_before_its_first_batch_is_a_clear_failure(some_batches: Iterator[Batch]) -> None:
    by = examiner(WordCounter())
    with started(2, by) as workers:
        workers[1].process.kill()
        workers[1].process.join()
        with pytest.raises(IncompleteError, match=r"a worker process was ended by signal 9 \(Killed\)\n"):
            list(in_order(some_batches, by, workers))


def test_without_workers_results_are_the_same(some_batches: Iterator[Batch]) -> None:
    found = [batch.first_row for batch, _ in in_order(some_batches, examiner(WordCounter()), [])]
    assert found == list(range(0, 24, 2))


def test_workers_end_with_a_killed_parent(tmp_path: Path) -> None:
    """The workers hold the pipe that the parent writes to: it ends only when all of them have ended."""
    write_rows(tmp_path / "records.jsonl", [document(f"text {row}", row=row) for row in range(24)])
    script = (
        "import sys; from pathlib import Path; from deadly_counters import Endless\n"
        "from test_curate_workers import examiner, batches, DataPart, in_order, started\n"
        "if __name__ == '__main__':\n"
        f"    part = DataPart('data', Path({str(tmp_path / 'records.jsonl')!r}), 24)\n"
        "    by = examiner(Endless())\n"
        "    with started(2, by) as workers:\n"
        "        for _ in in_order(batches([part]), by, workers): pass\n"
    )
    (tmp_path / "parent.py").write_text(script)
    here = str(Path(__file__).parent)
    parent = subprocess.Popen(
        [sys.executable, str(tmp_path / "parent.py")], stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": here}
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == f"{Endless.SIGN}\n"
    parent.kill()
    assert parent.communicate(timeout=60)[0].replace(f"{Endless.SIGN}\n", "") == ""


def test_few_rows_need_no_workers() -> None:
    assert processes_for(10_000) == 0
    assert 0 <= processes_for(10_001) <= 2
