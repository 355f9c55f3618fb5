"""The cache file: every float comes back bit for bit, no two arms meet, and nothing damaged is ever an answer."""

from __future__ import annotations

import math
import os
import random
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.score.cache import ScoreCache

ARM = {"model": "m", "adapter": None}
BATCH = {"kind": "test/1", "rows": [[1, 2], [3]]}


def bits(value: float) -> bytes:
    return struct.pack(">d", value)


@settings(max_examples=40, deadline=None)
@given(values=st.lists(st.floats(allow_nan=True, allow_infinity=True, allow_subnormal=True), min_size=1, max_size=8))
def test_floats_survive_bit_for_bit(tmp_path_factory: pytest.TempPathFactory, values: list[float]) -> None:
    directory = tmp_path_factory.mktemp("scores")
    ScoreCache(directory, ARM).put(BATCH, values)

    found = ScoreCache(directory, ARM).get(BATCH)

    assert [math.isnan(value) or bits(value) for value in found] == [math.isnan(v) or bits(v) for v in values]


def test_a_batch_is_found_by_all_that_decides_it_and_by_nothing_less(tmp_path: Path) -> None:
    cache = ScoreCache(tmp_path, ARM)
    cache.put(BATCH, [1.5, True, "text \ud800 \n"])

    assert cache.get(BATCH) == [1.5, True, "text \ud800 \n"]
    others = [{**BATCH, "kind": "test/2"}, {**BATCH, "rows": [[3], [1, 2]]}, {**BATCH, "stop": []}, {}]
    assert [cache.get(other) for other in others] == [None] * 4
    arms = [{**ARM, "model": "n"}, {**ARM, "adapter": "a"}, {"model": "m"}]
    assert [ScoreCache(tmp_path, arm).get(BATCH) for arm in arms] == [None] * 3
    assert len(list(tmp_path.iterdir())) == 4


def test_what_a_kill_left_of_the_last_line_is_counted_and_nothing_else_is_lost(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    cache = ScoreCache(whole, ARM)
    for number in range(3):
        cache.put(number, [number / 3])
    (file,) = whole.iterdir()
    data = file.read_bytes()
    last = data.rstrip(b"\n").rfind(b"\n") + 1
    for cut in (last, last + 1, last + 90, last + 110, len(data) - 2, len(data) - 1):
        torn = tmp_path / f"cut{cut}"
        torn.mkdir()
        (torn / file.name).write_bytes(data[:cut])

        opened = ScoreCache(torn, ARM)
        lacks_only_its_end = cut == len(data) - 1
        assert [opened.get(number) for number in range(3)] == [[0.0], [1 / 3], [2 / 3] if lacks_only_its_end else None]
        assert opened.damaged == (cut != last and not lacks_only_its_end)

        if lacks_only_its_end:
            continue
        opened.put(2, ["again"])
        assert opened.get(2) == ["again"]
        assert [ScoreCache(torn, ARM).get(number) for number in range(3)] == [[0.0], [1 / 3], ["again"]]


def test_a_changed_byte_anywhere_is_never_an_answer(tmp_path: Path) -> None:
    ScoreCache(tmp_path, ARM).put(BATCH, [0.123456789, False])
    (file,) = tmp_path.iterdir()
    data = file.read_bytes()
    start = data.index(b"\n") + 1
    for place in range(start, len(data)):
        changed = bytearray(data)
        changed[place] ^= 1
        file.write_bytes(bytes(changed))
        opened = ScoreCache(tmp_path, ARM)
        found = opened.get(BATCH)
        assert found is None, (place, found)


def test_damage_is_counted_once_and_repaired_by_computing_again(tmp_path: Path) -> None:
    ScoreCache(tmp_path, ARM).put(BATCH, [0.5])
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes().replace(b"0.5]", b"0.6]"))

    cache = ScoreCache(tmp_path, ARM)
    assert cache.get(BATCH) is None and cache.get(BATCH) is None
    assert cache.damaged == 1
    cache.put(BATCH, [0.5])
    again = ScoreCache(tmp_path, ARM)
    assert again.get(BATCH) == [0.5]
    assert again.damaged == 0


def test_damage_is_told_by_the_first_who_sees_it_and_moves_no_line(tmp_path: Path) -> None:
    early = ScoreCache(tmp_path, ARM)
    early.put("a", [1])
    (file,) = tmp_path.iterdir()
    with file.open("ab") as stream:
        stream.write(b"\xff garbage\n" + b"\0" * 5000 + b"\n\n")
    size = file.stat().st_size
    early.put("b", [2])

    first, later = ScoreCache(tmp_path, ARM), ScoreCache(tmp_path, ARM)

    assert (first.damaged, later.damaged) == (2, 0)
    assert file.read_bytes()[:size].endswith(b"}\n" + b" " * 9 + b"\n" + b" " * 5000 + b"\n\n")
    assert [cache.get(name) for cache in (early, first, later) for name in "ab"] == [[1], [2]] * 3


def test_two_open_caches_of_an_arm_see_what_the_other_keeps(tmp_path: Path) -> None:
    one, other = ScoreCache(tmp_path, ARM), ScoreCache(tmp_path, ARM)
    one.put("a", [1])
    other.put("b", [2])

    assert (one.get("b"), other.get("a")) == ([2], [1])


def test_a_file_that_was_collected_meanwhile_is_begun_anew(tmp_path: Path) -> None:
    cache = ScoreCache(tmp_path, ARM)
    cache.put("a", [1] * 100)
    (file,) = tmp_path.iterdir()
    file.unlink()

    assert cache.get("a") is None
    cache.put("b", [2])
    assert (cache.get("a"), cache.get("b"), ScoreCache(tmp_path, ARM).get("b")) == (None, [2], [2])


@pytest.mark.parametrize("length", [3, 40, 41, 42, 43, 400])
def test_a_reader_of_a_collected_file_harms_nothing_in_the_one_begun_since(tmp_path: Path, length: int) -> None:
    early = ScoreCache(tmp_path, ARM)
    for name in "abc":
        early.put(name, [1] * 20)
    assert early.get("c") == [1] * 20
    (file,) = tmp_path.iterdir()
    file.unlink()
    other = ScoreCache(tmp_path, ARM)
    for name in "cdefg":
        other.put(name, [2] * length)
    before = file.read_bytes()

    found = {name: early.get(name) for name in "bcaxdefg"}

    assert file.read_bytes() == before
    assert (early.damaged, found["a"], found["b"], found["x"]) == (0, None, None, None)
    assert [found[name] for name in "cdefg"] == [[2] * length] * 5


def test_times_are_of_computing_and_come_back_with_the_batch(tmp_path: Path) -> None:
    cache = ScoreCache(tmp_path, ARM)
    assert cache.get("a") is None
    cache.put("a", [1])
    cache.put("never asked for", [1])
    first, second = cache.take_times()
    assert first.seconds > 0 and not first.reused and second.seconds == 0
    assert cache.take_times() == []

    again = ScoreCache(tmp_path, ARM)
    again.get("a")
    (reused,) = again.take_times()
    assert reused.reused and reused.seconds == pytest.approx(first.seconds, abs=1e-6)


WRITER = """
import sys
from pathlib import Path
from workbench.score.cache import ScoreCache
cache = ScoreCache(Path(sys.argv[1]), {"model": "m", "adapter": None})
for number in range(int(sys.argv[2]), int(sys.argv[3])):
    cache.put(number, [number / 7] * 500)
    print(number, flush=True)
"""


def writer(directory: Path, first: int, last: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(directory), str(first), str(last)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_several_processes_at_once_lose_and_mix_nothing(tmp_path: Path) -> None:
    processes = [writer(tmp_path, start, start + 60) for start in (0, 30, 60)]
    for process in processes:
        process.communicate()
        assert process.returncode == 0

    cache = ScoreCache(tmp_path, ARM)
    assert [cache.get(number) for number in range(120)] == [[number / 7] * 500 for number in range(120)]
    assert cache.damaged == 0


def test_a_batch_that_was_kept_survives_a_kill_at_any_moment(tmp_path: Path) -> None:
    rng = random.Random(0)
    kept = 0
    for _ in range(3):
        process = writer(tmp_path, kept, 100_000)
        assert process.stdout is not None
        for _ in range(rng.randrange(1, 200)):
            kept = int(process.stdout.readline()) + 1
        os.kill(process.pid, signal.SIGKILL)
        said = process.stdout.read().split()
        process.wait()
        process.stdout.close()
        # A last line may be cut while it is printed; what was printed whole was kept before.
        kept = max([kept, *(int(number) + 1 for number in said[:-1])])

    cache = ScoreCache(tmp_path, ARM)
    assert [cache.get(number) for number in range(kept)] == [[number / 7] * 500 for number in range(kept)]
