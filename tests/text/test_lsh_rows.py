from __future__ import annotations

from pathlib import Path

import pytest
import xxhash
from awkward_texts import variations
from datasketch import LeanMinHash, MinHash, MinHashLSH
from pyarrow import parquet

from workbench.text.lsh_rows import write_lsh_rows
from workbench.text.shingles import shingles
from workbench.text.sketch import SketchSettings

SETTINGS = SketchSettings(threshold=0.7, ngram=5, num_perm=128)


def test_rows_load_into_datasketchs_index_and_are_found_by_its_own_sketches(tmp_path: Path) -> None:
    texts = dict(enumerate(variations(seed=2)))
    path = tmp_path / "kept.lsh.parquet"
    assert write_lsh_rows(path, ((f"id{row}", text) for row, text in texts.items()), SETTINGS) == len(texts)
    table = parquet.read_table(path)
    about = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
    index = MinHashLSH(num_perm=int(about["num_perm"]), params=(int(about["bands"]), int(about["rows"])))
    by_datasketch = MinHashLSH(num_perm=128, params=(SETTINGS.bands, SETTINGS.rows))
    own = {}
    for row, text in texts.items():
        own[row] = MinHash(
            num_perm=128, seed=int(about["seed"]), scheme=about["scheme"], hashfunc=xxhash.xxh32_intdigest
        )
        own[row].update_batch([shingle.encode() for shingle in shingles(text, int(about["ngram"]))])
        by_datasketch.insert(f"id{row}", own[row])
    for name, signature in zip(table["id"].to_pylist(), table["signature"].to_pylist(), strict=True):
        index.insert(name, LeanMinHash(seed=1, hashvalues=signature, scheme="affine32"))
    answers = [set(index.query(sketch)) for sketch in own.values()]
    assert answers == [set(by_datasketch.query(sketch)) for sketch in own.values()]
    assert all(f"id{row}" in answer for row, answer in zip(own, answers, strict=True))
    assert sum(map(len, answers)) > len(texts)


def test_the_file_says_how_it_was_made(tmp_path: Path) -> None:
    write_lsh_rows(tmp_path / "rows.parquet", [("a", "some words")], SETTINGS)
    schema = parquet.read_schema(tmp_path / "rows.parquet")
    assert str(schema.field("signature").type) == "list<element: uint32>"
    assert schema.metadata == {
        b"scheme": b"affine32", b"seed": b"1", b"hash": b"xxh32", b"num_perm": b"128", b"bands": b"25", b"rows": b"5",
        b"ngram": b"5", b"threshold": b"0.7", b"shingling": b"words-or-unspaced-characters-1",
    }  # fmt: skip


def test_texts_without_words_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    assert write_lsh_rows(path, [("a", ""), ("b", "words"), ("c", "?!"), ("d", "字")], SETTINGS) == 2
    assert parquet.read_table(path)["id"].to_pylist() == ["b", "d"]
    assert write_lsh_rows(path, [], SETTINGS) == 0
    assert parquet.read_table(path).num_rows == 0


def test_a_broken_source_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    write_lsh_rows(path, [("a", "words")], SETTINGS)

    def broken():
        yield "b", "more words"
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        write_lsh_rows(path, broken(), SETTINGS)
    assert parquet.read_table(path)["id"].to_pylist() == ["a"]
