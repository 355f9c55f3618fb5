from __future__ import annotations

import json
from pathlib import Path

import pytest
from record_makers import chat, document, preference

from workbench.core.cards import Card, FileSource
from workbench.core.errors import IncompleteError, UsageError
from workbench.core.parts import write_rows
from workbench.core.records import Drop, Finding, Record, ToolCall
from workbench.curate.export import check_export, exported, write_dropped, write_export
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


def test_batches_with_and_without_calls_labels_and_kinds_fit_one_schema(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first batches alone would give another schema than the last ones."""
    import pyarrow.parquet as pq

    monkeypatch.setattr("workbench.curate.export._BATCH_ROWS", 1)
    records = [*KINDS["document"], *KINDS["chat"], *KINDS["preference"], *KINDS["labelled"], *KINDS["tools"]]
    write_rows(tmp_path / "records.jsonl", records)
    write_export(tmp_path / "records.jsonl", tmp_path / "clean.parquet")
    table = pq.read_table(tmp_path / "clean.parquet")
    assert pq.ParquetFile(tmp_path / "clean.parquet").num_row_groups == len(records)
    assert set(table.column_names) == {"text", "messages", "prompt", "chosen", "rejected", "label"}
    assert [record.id for record in read_again(tmp_path / "clean.parquet", tmp_path)] == [r.id for r in records]
    call = table.column("messages").to_pylist()[-2][1]["tool_calls"][0]["function"]
    assert call == {"name": "weather", "arguments": CALL.arguments}


def test_dropped_records_keep_place_and_reasons_and_can_be_read_as_data_again(tmp_path: Path) -> None:
    records = [record for of_kind in KINDS.values() for record in of_kind]
    finding = Finding(record_id="0" * 16, row=3, filter="length", reason="too_short", action="drop", detail="\ud800")
    drops = [Drop(row=row, record=record, findings=(finding,)) for row, record in enumerate(records)]
    write_rows(tmp_path / "dropped.jsonl", drops)
    assert write_dropped(tmp_path / "dropped.jsonl", tmp_path / "out.jsonl") == len(records)
    first = json.loads((tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert first["messages"] == exported(records[0])["messages"]
    assert first["dropped"]["id"] == records[0].id and first["dropped"]["dataset"] == "data"
    assert first["dropped"]["findings"] == [
        {"reason": "too_short", "action": "drop", "filter": "length", "detail": "\ufffd"}
    ]
    assert [record.id for record in read_again(tmp_path / "out.jsonl", tmp_path)] == [record.id for record in records]


def test_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    write_rows(tmp_path / "records.jsonl", KINDS["chat"])
    with (tmp_path / "records.jsonl").open("ab") as stream:
        stream.write(b"torn")
    with pytest.raises(IncompleteError, match=r"records\.jsonl:3"):
        write_export(tmp_path / "records.jsonl", tmp_path / "out" / "clean.jsonl")
    assert list((tmp_path / "out").iterdir()) == []
