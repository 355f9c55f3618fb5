from __future__ import annotations

import json
from pathlib import Path

import pytest
from record_makers import chat, document, preference

from workbench.core.cards import Card, FileSource
from workbench.core.errors import UsageError
from workbench.core.parts import write_rows
from workbench.core.records import Record, ToolCall
from workbench.curate.export import check_export, exported, write_export
from workbench.ingest.read import read_records

CALL = ToolCall(name="weather", arguments='{"city": "Lima"}')
KINDS: dict[str, list[Record]] = {
    "chat": [chat("Capital of Peru?", "Lima"), chat("Größe?", "1 \u2028 2\n3")],
    "labelled": [chat("Good?", "Yes.", label=True), chat("Good?", "No.", label=False)],
    "tools": [chat("Weather?", "", calls=(CALL,)), chat("And now?", "Rain.")],
    "preference": [preference("Which?", "This.", "That.")],
    "document": [document("A text.\n\nWith two paragraphs.")],
}


def read_again(path: Path, project: Path) -> list[Record]:
    card = Card(name="again", source=FileSource(kind="file", path=str(path)), heldout_fraction=0)
    reading = read_records(card, project)
    assert not reading.quarantined
    return reading.records


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_exported_file_reads_as_the_same_records(kind: str, suffix: str, tmp_path: Path) -> None:
    write_rows(tmp_path / "records.jsonl", KINDS[kind])
    out = tmp_path / "out" / f"clean{suffix}"
    assert write_export(tmp_path / "records.jsonl", out) == len(KINDS[kind])
    again = read_again(out, tmp_path)
    assert [record.id for record in again] == [record.id for record in KINDS[kind]]
    assert [record.label for record in again] == [record.label for record in KINDS[kind]]


def test_several_kinds_fit_into_one_parquet_file(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    records = [record for of_kind in KINDS.values() for record in of_kind]
    write_rows(tmp_path / "records.jsonl", records)
    write_export(tmp_path / "records.jsonl", tmp_path / "clean.parquet")
    table = pq.read_table(tmp_path / "clean.parquet")
    assert table.num_rows == len(records)
    assert table.column("text").to_pylist()[-1] == KINDS["document"][0].text


def test_json_lines_hold_the_columns_trainers_know(tmp_path: Path) -> None:
    assert exported(KINDS["preference"][0]) == {
        "prompt": [{"role": "user", "content": "Which?"}],
        "chosen": [{"role": "assistant", "content": "This."}],
        "rejected": [{"role": "assistant", "content": "That."}],
    }
    write_rows(tmp_path / "records.jsonl", KINDS["document"])
    write_export(tmp_path / "records.jsonl", tmp_path / "clean.jsonl")
    assert json.loads((tmp_path / "clean.jsonl").read_text()) == {"text": "A text.\n\nWith two paragraphs."}


def test_other_suffixes_and_places_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    write_rows(tmp_path / "records.jsonl", KINDS["chat"])
    with pytest.raises(UsageError, match=r"cannot write .csv; suffixes: .jsonl, .parquet"):
        write_export(tmp_path / "records.jsonl", tmp_path / "clean.csv")
    with pytest.raises(UsageError, match="without a suffix"):
        check_export(tmp_path / "clean")
    (tmp_path / "a file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        write_export(tmp_path / "records.jsonl", tmp_path / "a file" / "clean.jsonl")
