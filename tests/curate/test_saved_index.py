from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from record_makers import chat, document

from workbench.core.errors import UsageError
from workbench.core.records import Record
from workbench.curate.saved_index import PART, externals
from workbench.text.near_index import add_segment
from workbench.text.near_segment import SEGMENT


def pages(*seeds: int, start: int = 0) -> list[Record]:
    """One text of 80 random words per seed."""
    return [
        document(" ".join(random.Random(seed).choices([f"word{n}" for n in range(500)], k=80)), row=start + place)
        for place, seed in enumerate(seeds)
    ]


def settings(index: Path) -> dict[str, object]:
    return {"near_duplicates": {"index": str(index)}, "filters": ()}


def test_rows_of_the_index_are_dropped_and_named_and_the_kept_ones_join(curate: Callable, tmp_path: Path) -> None:
    index = tmp_path / "known"
    monday = [*pages(1, 2, 3), chat("Capital of Peru?", "Lima", row=3)]
    first = curate(monday, segment="monday", **settings(index))
    assert first.records == monday and (first.out_dir / PART / SEGMENT).is_file()
    assert add_segment(index, first.out_dir / PART, "monday")

    changed = document(monday[0].answer().replace(monday[0].answer().split()[40], "changed"), row=0)
    tuesday = [changed, document(monday[1].answer().upper(), row=1), *pages(4, start=2), monday[3]]
    second = curate(tuesday, segment="tuesday", **settings(index))
    assert second.records == [tuesday[2]]
    assert second.reasons(0) == ["near_duplicate"] and second.reasons(1) == ["exact_duplicate"]
    assert f"with {monday[0].id} (data row 0) in the saved index" in second.detail(0, "near_duplicate")
    assert second.detail(1, "exact_duplicate") == f"same text as {monday[1].id} (data row 1) in the saved index"
    assert second.reasons(3) == ["exact_duplicate"]

    assert add_segment(index, second.out_dir / PART, "tuesday")
    third = curate([*pages(4), *pages(5, start=1)], segment="wednesday", **settings(index))
    assert [record.source.row for record in third.records] == [1]


def test_the_same_data_again_gives_the_same_result(curate: Callable, tmp_path: Path) -> None:
    index = tmp_path / "known"
    rows = pages(1, 2, 2, 3)
    first = curate(rows, segment="monday", **settings(index))
    add_segment(index, first.out_dir / PART, "monday")
    again = curate(rows, segment="monday", **settings(index))
    assert again.records == first.records and again.findings == first.findings


def test_a_row_whose_better_twin_is_known_already_stays_if_it_is_not_known_itself(
    curate: Callable, tmp_path: Path
) -> None:
    words = [f"word{n}" for n in range(100)]
    known, between, new = (document(" ".join(words[start : start + 70])) for start in (0, 9, 18))
    index = tmp_path / "known"
    add_segment(index, curate([known], segment="a", **settings(index)).out_dir / PART, "a")
    result = curate([between, new], segment="b", **settings(index))
    assert set(result.reasons(0)) == {"near_duplicate"}
    assert result.records == [new], "of a cluster, a row that is not in the index is the better one"


def test_a_segment_of_somebody_else_changes_the_fingerprint_and_the_own_one_does_not(
    prepare: Callable, tmp_path: Path
) -> None:
    index = tmp_path / "known"
    ready = prepare(pages(1), segment="own", **settings(index))
    before = externals(ready.config, tmp_path)
    result = ready.run()
    add_segment(index, result.out_dir / PART, "own")
    assert externals(ready.config, tmp_path) == before
    other = prepare(pages(2), segment="other", **settings(index)).run()
    add_segment(index, other.out_dir / PART, "other")
    changed = externals(ready.config, tmp_path)
    assert changed != before and changed.keys() == {"index"}
    shutil.rmtree(index)
    assert externals(ready.config, tmp_path) == before


def test_an_index_made_with_other_settings_is_refused_before_the_run(prepare: Callable, tmp_path: Path) -> None:
    index = tmp_path / "known"
    result = prepare(pages(1), segment="a", **settings(index)).run()
    add_segment(index, result.out_dir / PART, "a")
    other = prepare(pages(1), near_duplicates={"index": str(index), "ngram": 3})
    with pytest.raises(UsageError, match="other settings"):
        externals(other.config, tmp_path)


def test_without_an_index_there_is_no_segment(curate: Callable) -> None:
    assert not (curate(pages(1)).out_dir / PART).exists()
