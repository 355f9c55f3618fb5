from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import xxhash
from awkward_texts import AWKWARD_TEXTS, variations

from workbench.core.errors import IncompleteError, UsageError
from workbench.text import near_index, near_segment
from workbench.text.near_duplicates import NearDuplicateSearch
from workbench.text.near_index import SavedIndex, add_segment
from workbench.text.near_segment import AboutRows, write_segment
from workbench.text.shingles import jaccard, shingles
from workbench.text.sketch import SketchSettings, sketch

SETTINGS = SketchSettings(threshold=0.7, ngram=3, num_perm=128)


def keys_of(texts: list[str]) -> np.ndarray:
    return np.array([divmod(xxhash.xxh3_128_intdigest(text.encode()), 1 << 64) for text in texts], dtype=np.uint64)


def search_over(texts: list[str], groups: list[int] | None = None, **options) -> NearDuplicateSearch:
    search = NearDuplicateSearch(SETTINGS, **options)
    for start in range(0, len(texts), 50):
        some = np.array(groups[start : start + 50], dtype=np.uint64) if groups else None
        search.add(sketch(texts[start : start + 50], SETTINGS), some)
    return search


def segment_of(path: Path, texts: list[str], rows: list[int] | None = None, groups: list[int] | None = None) -> Path:
    """A segment in which row r of dataset `tickets` or `pages` has id 1000 + r."""
    about = AboutRows(
        exact_key=keys_of(texts),
        record_id=np.arange(len(texts), dtype=np.uint64) + 1000,
        dataset=np.arange(len(texts)) % 2,
        datasets=("tickets", "pages"),
        source_row=np.arange(len(texts)) * 10,
    )
    chosen = np.arange(len(texts)) if rows is None else np.array(rows, dtype=np.int64)
    write_segment(path, search_over(texts, groups), chosen, about)
    return path


def matches(index: Path, texts: list[str], exclude: str | None = None, **options):
    return SavedIndex.open(index, SETTINGS).matches(search_over(texts, **options), keys_of(texts), exclude)


def everything_in(path: Path) -> dict[str, bytes]:
    return {
        str(entry.relative_to(path)): entry.read_bytes()
        for entry in sorted(path.rglob("*")) if entry.is_file() and entry.name != ".lock"
    }  # fmt: skip


def test_new_rows_are_matched_with_the_most_similar_indexed_row_by_true_similarity(tmp_path: Path) -> None:
    texts = variations(seed=21, originals=30)
    indexed, new = texts[::3], [text for row, text in enumerate(texts) if row % 3] + AWKWARD_TEXTS
    add_segment(tmp_path / "known", segment_of(tmp_path / "segment", indexed), "first")
    found = matches(tmp_path / "known", new)
    sets = [[shingles(text, SETTINGS.ngram) for text in side] for side in (indexed, new)]
    best = [max((jaccard(mine, other) for other in sets[0]), default=0.0) for mine in sets[1]]
    expected = [row for row, similarity in enumerate(best) if similarity >= SETTINGS.threshold]
    assert len(expected) > 50
    assert set(found.row.tolist()) <= set(expected)
    assert len(found.row) >= 0.98 * len(expected)
    for row, record_id, dataset, source_row, similarity in zip(
        found.row.tolist(), found.record_id.tolist(), found.dataset, found.source_row.tolist(), found.jaccard.tolist(),
        strict=True,
    ):  # fmt: skip
        position = record_id - 1000
        assert (dataset, source_row) == (("tickets", "pages")[position % 2], position * 10)
        assert similarity == jaccard(sets[1][row], sets[0][position])
        assert similarity == pytest.approx(best[row]) or similarity >= SETTINGS.threshold
    assert np.mean([found.jaccard[place] == best[row] for place, row in enumerate(found.row.tolist())]) > 0.95


def test_exact_copies_are_matched_also_when_they_have_no_words(tmp_path: Path) -> None:
    add_segment(tmp_path / "known", segment_of(tmp_path / "segment", ["?!", "alpha beta gamma delta"]), "first")
    new = ["new and unlike", "?!", "alpha beta gamma delta", "ALPHA beta gamma delta", "?!"]
    found = matches(tmp_path / "known", new)
    assert found.row.tolist() == [1, 2, 3, 4]
    assert found.exact.tolist() == [True, True, False, True]
    assert found.record_id.tolist() == [1000, 1001, 1001, 1000]
    assert found.jaccard.tolist() == [1.0] * 4


def test_only_the_chosen_rows_are_in_the_segment(tmp_path: Path) -> None:
    texts = [f"text number {number} about a thing named {number * 7}" for number in range(200)]
    add_segment(tmp_path / "known", segment_of(tmp_path / "segment", texts, rows=[3, 60, 199]), "first")
    found = matches(tmp_path / "known", texts)
    assert found.row.tolist() == [3, 60, 199]
    assert found.record_id.tolist() == [1003, 1060, 1199]


def test_rows_of_different_groups_are_not_near_duplicates(tmp_path: Path) -> None:
    segment = segment_of(tmp_path / "segment", ["one and the same text"], groups=[5])
    add_segment(tmp_path / "known", segment, "first")
    again = ["One and the same text!"] * 2
    assert matches(tmp_path / "known", again, groups=[5, 6]).row.tolist() == [0]


def test_row_groups_and_files_make_no_difference(tmp_path: Path, monkeypatch) -> None:
    texts = variations(seed=22)
    add_segment(tmp_path / "whole", segment_of(tmp_path / "one", texts[::2]), "first")
    monkeypatch.setattr(near_segment, "ROW_GROUP", 17)
    monkeypatch.setattr("workbench.text.row_store._SHINGLES_AT_ONCE", 500)
    add_segment(tmp_path / "pieces", segment_of(tmp_path / "two", texts[::2]), "first")
    whole, pieces = matches(tmp_path / "whole", texts), matches(tmp_path / "pieces", texts, spill_above=20)
    for column in ("row", "jaccard", "exact"):
        np.testing.assert_array_equal(getattr(whole, column), getattr(pieces, column))


def test_segments_add_up_and_one_can_be_left_out(tmp_path: Path) -> None:
    known = tmp_path / "known"
    assert add_segment(known, segment_of(tmp_path / "a", ["alpha beta gamma delta"]), "a")
    before = everything_in(known)
    assert add_segment(known, segment_of(tmp_path / "b", ["one two three four five"]), "../b: 'quoted' / \u202e")
    del before["manifest.json"]
    assert everything_in(known).items() >= before.items()
    new = ["alpha beta gamma delta", "one two three four five", "nothing like them at all"]
    assert matches(known, new).row.tolist() == [0, 1]
    assert matches(known, new, exclude="a").row.tolist() == [1]
    assert {entry.name for entry in tmp_path.iterdir()} == {"known", "a", "b"}


def test_the_same_name_with_the_same_rows_changes_nothing(tmp_path: Path) -> None:
    known = tmp_path / "known"
    assert add_segment(known, segment_of(tmp_path / "a", ["alpha beta gamma delta"]), "a") == "added"
    before = everything_in(known)
    assert add_segment(known, segment_of(tmp_path / "b", ["alpha beta gamma delta"]), "a") is None
    assert everything_in(known) == before


def test_the_same_name_with_other_rows_replaces_its_own_segment_alone(tmp_path: Path) -> None:
    known = tmp_path / "known"
    texts = ["alpha beta gamma delta", "one two three four five", "red orange yellow green"]
    add_segment(known, segment_of(tmp_path / "a", texts, rows=[0, 1]), "a")
    add_segment(known, segment_of(tmp_path / "other", ["some words of another"]), "other")
    assert add_segment(known, segment_of(tmp_path / "again", texts, rows=[1, 2]), "a") == "replaced"
    found = matches(known, [*texts, "some words of another"])
    assert found.row.tolist() == [1, 2, 3]
    assert matches(known, texts, exclude="a").row.tolist() == []
    assert add_segment(known, tmp_path / "a", "a") == "replaced", "back to the first rows"
    assert matches(known, texts).row.tolist() == [0, 1]


def test_a_replaced_segment_can_be_read_to_the_end_and_goes_with_the_next_extension(tmp_path: Path) -> None:
    known, texts = tmp_path / "known", ["alpha beta gamma delta", "one two three four five"]
    add_segment(known, segment_of(tmp_path / "a", texts, rows=[0]), "a")
    opened = SavedIndex.open(known, SETTINGS)
    add_segment(known, segment_of(tmp_path / "again", texts, rows=[1]), "a")
    assert opened.matches(search_over(texts), keys_of(texts)).row.tolist() == [0]
    add_segment(known, segment_of(tmp_path / "b", ["red orange yellow green"]), "b")
    named = json.loads((known / "manifest.json").read_text())["segments"]
    assert {folder.name for folder in (known / "segments").iterdir()} == set(named.values())


def test_an_index_that_is_not_there_yet_matches_nothing(tmp_path: Path) -> None:
    found = matches(tmp_path / "known", ["some words"])
    assert len(found.row) == 0 and found.dataset == []
    assert not (tmp_path / "known").exists()


def test_an_empty_segment_and_an_empty_search_match_nothing(tmp_path: Path) -> None:
    add_segment(tmp_path / "known", segment_of(tmp_path / "a", ["some words"], rows=[]), "a")
    assert len(matches(tmp_path / "known", ["some words"]).row) == 0
    nothing = SavedIndex.open(tmp_path / "known", SETTINGS).matches(search_over([]), keys_of([]).reshape(0, 2))
    assert len(nothing.row) == 0


def test_other_settings_are_refused_by_name(tmp_path: Path) -> None:
    known = tmp_path / "known"
    segment = segment_of(tmp_path / "a", ["alpha beta gamma delta"])
    add_segment(known, segment, "a")
    other = SketchSettings(threshold=0.8, ngram=3, num_perm=128)
    with pytest.raises(UsageError, match=r"(?s)threshold=0\.7 .*threshold=0\.8 "):
        SavedIndex.open(known, other)
    info = json.loads((segment / "segment.json").read_text())
    (segment / "segment.json").write_text(json.dumps(info | {"settings": other.fingerprint()}))
    before = everything_in(known)
    with pytest.raises(UsageError, match=r"(?s)threshold=0\.7 .*threshold=0\.8 "):
        add_segment(known, segment, "b")
    assert everything_in(known) == before


def test_an_index_of_another_exact_form_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.text.sketch.EXACT_FORM", "same-text-1")
    add_segment(tmp_path / "known", segment_of(tmp_path / "a", ["alpha beta gamma delta"]), "a")
    monkeypatch.undo()
    with pytest.raises(UsageError, match=r"(?s)exact=same-text-1.*exact=same-text-2"):
        SavedIndex.open(tmp_path / "known", SETTINGS)


@pytest.mark.parametrize("dies_at", ["copyfile", "_sync", "write_model"])
def test_an_extension_that_dies_leaves_the_index_as_it_was_and_can_be_repeated(
    tmp_path: Path, monkeypatch, dies_at: str
) -> None:
    known = tmp_path / "known"
    add_segment(known, segment_of(tmp_path / "a", ["alpha beta gamma delta"]), "a")
    second = segment_of(tmp_path / "b", ["one two three four five"])
    before = everything_in(known)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as killed, pytest.raises(KeyboardInterrupt):
        killed.setattr(shutil if dies_at == "copyfile" else near_index, dies_at, die)
        add_segment(known, second, "b")
    after = everything_in(known)
    assert {name: after[name] for name in before} == before
    assert matches(known, ["one two three four five"]).row.tolist() == []
    assert add_segment(known, second, "b")
    assert matches(known, ["one two three four five"]).row.tolist() == [0]
    assert sorted(json.loads((known / "manifest.json").read_text())["segments"]) == ["a", "b"]
    assert len(list((known / "segments").iterdir())) == 2


def killed_while_adding(known: str, segment: str, name: str) -> None:
    """Dies when the new segment is in its place and the manifest is about to be written."""
    near_index.write_model = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    add_segment(Path(known), Path(segment), name)


def test_a_replacement_killed_before_the_manifest_leaves_the_earlier_rows_and_can_be_repeated(tmp_path: Path) -> None:
    known, texts = tmp_path / "known", ["alpha beta gamma delta", "one two three four five"]
    add_segment(known, segment_of(tmp_path / "a", texts, rows=[0]), "a")
    before = everything_in(known)
    again = segment_of(tmp_path / "again", texts, rows=[1])
    killed = multiprocessing.get_context("fork").Process(target=killed_while_adding, args=(str(known), str(again), "a"))
    killed.start()
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    after = everything_in(known)
    assert len(after) == len(before) + 3 and {name: after[name] for name in before} == before
    assert matches(known, texts).row.tolist() == [0]
    assert add_segment(known, again, "a") == "replaced"
    assert matches(known, texts).row.tolist() == [1]


def add_in_process(known: str, segment: str, name: str) -> None:
    add_segment(Path(known), Path(segment), name)


def test_extensions_at_the_same_time_all_arrive(tmp_path: Path) -> None:
    known = tmp_path / "known"
    context = multiprocessing.get_context("fork")
    segments = [str(segment_of(tmp_path / f"s{number}", [f"text {number} of a few words"])) for number in range(4)]
    started = [context.Process(target=add_in_process, args=(str(known), path, path)) for path in segments]
    for process in started:
        process.start()
    for process in started:
        process.join()
    assert [process.exitcode for process in started] == [0] * 4
    assert set(json.loads((known / "manifest.json").read_text())["segments"]) == set(segments)


def test_a_segment_written_halfway_is_no_segment(tmp_path: Path) -> None:
    segment = segment_of(tmp_path / "a", ["alpha beta gamma delta"])
    (segment / "segment.json").unlink()
    with pytest.raises(IncompleteError, match=r"segment\.json"):
        add_segment(tmp_path / "known", segment, "a")
    assert matches(tmp_path / "known", ["alpha beta gamma delta"]).row.tolist() == []


@pytest.mark.parametrize("part", ["rows.parquet", "shingles.u64"])
@pytest.mark.parametrize("damage", ["shorter", "gone", "garbage"])
def test_a_damaged_index_is_said_to_be_one(tmp_path: Path, part: str, damage: str) -> None:
    known = tmp_path / "known"
    add_segment(known, segment_of(tmp_path / "a", ["alpha beta gamma delta"]), "a")
    (file,) = known.glob(f"segments/*/{part}")
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-8] if damage == "shorter" else b"garbage")
    with pytest.raises(IncompleteError, match="segment of a saved index"):
        matches(known, ["alpha beta gamma delta"])


def test_a_directory_with_other_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    segment = segment_of(tmp_path / "segment", ["alpha beta gamma delta"])
    other = tmp_path / "holiday"
    other.mkdir()
    (other / "photo.jpg").write_bytes(b"jpg")
    for act in (lambda: SavedIndex.open(other, SETTINGS), lambda: add_segment(other, segment, "a")):
        with pytest.raises(UsageError, match=r"photo\.jpg"):
            act()
    assert [entry.name for entry in other.iterdir()] == ["photo.jpg"]
    with pytest.raises(UsageError, match="is a file"):
        SavedIndex.open(other / "photo.jpg", SETTINGS)


def test_a_crowded_bucket_of_the_index_is_capped_and_counted(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(near_index, "BUCKET_CAP", 4)
    copies = [f"the same few words once more {'!' * number}" for number in range(30)]
    add_segment(tmp_path / "known", segment_of(tmp_path / "a", copies), "a")
    found = matches(tmp_path / "known", ["The same few words once more", "quite another text than those"])
    assert found.row.tolist() == [0]
    assert found.capped == 1


def test_the_parquet_part_is_readable_with_duckdb(tmp_path: Path) -> None:
    import duckdb

    segment = segment_of(tmp_path / "a", ["alpha beta gamma delta", "?!", "one two three four five"])
    rows = duckdb.sql(
        f"SELECT record_id, dataset, source_row, shingles, band_000 FROM '{segment}/rows.parquet' ORDER BY record_id"
    ).fetchall()
    search = search_over(["alpha beta gamma delta", "?!", "one two three four five"])
    assert [row[:4] for row in rows] == [(1000, "tickets", 0, 2), (1001, "pages", 10, 0), (1002, "tickets", 20, 3)]
    assert [row[4] for row in rows] == search.keys(0).tolist()
    ids = np.fromfile(segment / "shingles.u64", dtype="<u8")
    assert ids.tolist() == search.rows.shingles(np.array([0, 1, 2]))[0].tolist()
    assert (segment / "shingles.u64").stat().st_size == 8 * 5
