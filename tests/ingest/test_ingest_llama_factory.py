from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ingest_makers import turns

from workbench.core.cards import Card
from workbench.core.errors import UsageError, WorkbenchError
from workbench.core.nodes import IngestNode
from workbench.ingest.llama_factory import load_entry
from workbench.ingest.read import Reading, read_records
from workbench.ingest.stage import STAGE


def entry_card(entry: str, path: str = "data", **settings: Any) -> Card:
    source = {"kind": "llama_factory", "path": path, "entry": entry}
    return Card.model_validate({"name": "data", "source": source, **settings})


def read_entry(project: Path, entry: dict[str, Any], rows: list[dict[str, Any]], **settings: Any) -> Reading:
    """Writes an index with one entry and its file, and reads it."""
    folder = project / "data"
    folder.mkdir(exist_ok=True)
    (folder / "rows.json").write_text(json.dumps(rows))
    (folder / "dataset_info.json").write_text(json.dumps({"mine": {"file_name": "rows.json"} | entry}))
    return read_records(entry_card("mine", **settings), project)


EXCHANGE = [("user", "Capital of Peru?"), ("assistant", "Lima")]


@pytest.mark.parametrize(
    ("entry", "row"),
    [
        ({}, {"instruction": "Capital of Peru?", "input": "", "output": "Lima", "history": [["not", "named"]]}),
        ({"columns": {"prompt": "q", "response": "a"}}, {"q": "Capital of Peru?", "a": "Lima", "input": "not named"}),
        (
            {"formatting": "sharegpt"},
            {"conversations": [{"from": "human", "value": "Capital of Peru?"}, {"from": "gpt", "value": "Lima"}]},
        ),
        (
            {
                "formatting": "sharegpt",
                "columns": {"messages": "talk"},
                "tags": {"role_tag": "who", "content_tag": "says", "user_tag": "customer", "assistant_tag": "agent"},
            },
            {"talk": [{"who": "customer", "says": "Capital of Peru?"}, {"who": "agent", "says": "Lima"}]},
        ),
    ],
)
def test_columns_and_tags_of_an_entry_decide_what_is_read(
    tmp_path: Path, entry: dict[str, Any], row: dict[str, Any]
) -> None:
    (record,) = read_entry(tmp_path, entry, [row]).records

    assert turns(record) == EXCHANGE


def test_query_system_history_and_tools_are_read_where_they_are_named(tmp_path: Path) -> None:
    columns = {"prompt": "p", "query": "q", "response": "r", "system": "s", "history": "h", "tools": "t"}
    row = {"p": "Translate.", "q": "cat", "r": "chat", "s": "Be brief.", "h": [["Hello", "Hi!"]], "t": "[]"}
    (record,) = read_entry(tmp_path, {"columns": columns}, [row]).records

    assert turns(record) == [
        ("system", "Be brief."),
        ("user", "Hello"),
        ("assistant", "Hi!"),
        ("user", "Translate.\ncat"),
        ("assistant", "chat"),
    ]
    assert record.tools == "[]"


@pytest.mark.parametrize("formatting", ["alpaca", "sharegpt"])
def test_ranking_entries_give_preferences(tmp_path: Path, formatting: str) -> None:
    if formatting == "alpaca":
        row: dict[str, Any] = {"q": "Capital of Peru?", "good": "Lima", "bad": "Cusco"}
        columns = {"prompt": "q", "chosen": "good", "rejected": "bad"}
    else:
        turn = {"from": "human", "value": "Capital of Peru?"}
        row = {"talk": [turn], "good": {"from": "gpt", "value": "Lima"}, "bad": {"from": "gpt", "value": "Cusco"}}
        columns = {"messages": "talk", "chosen": "good", "rejected": "bad"}
    (record,) = read_entry(tmp_path, {"formatting": formatting, "ranking": True, "columns": columns}, [row]).records

    assert record.kind == "preference" and turns(record) == EXCHANGE[:1]
    assert record.chosen and record.rejected
    assert (record.chosen.content, record.rejected.content) == ("Lima", "Cusco")


def test_kto_tags_are_labels(tmp_path: Path) -> None:
    rows = [{"q": "a", "a": "b", "good": True}, {"q": "a", "a": "c", "good": False}]
    entry = {"columns": {"prompt": "q", "response": "a", "kto_tag": "good"}}

    assert [record.label for record in read_entry(tmp_path, entry, rows).records] == [True, False]


def test_a_prompt_without_a_response_is_a_text(tmp_path: Path) -> None:
    (record,) = read_entry(tmp_path, {"columns": {"prompt": "text"}}, [{"text": "A document.", "output": "no"}]).records

    assert (record.kind, record.text) == ("document", "A document.")


@pytest.mark.parametrize(
    ("entry", "row", "reason"),
    [
        ({"formatting": "sharegpt"}, {"conversations": [{"from": "user", "value": "x"}]}, "bad_role"),
        ({"formatting": "sharegpt"}, {"messages": []}, "missing_column"),
        ({"formatting": "sharegpt"}, {"conversations": "x"}, "bad_json"),
        ({"formatting": "sharegpt"}, {"conversations": {"from": "gpt"}}, "bad_content"),
        ({}, {"prompt": "x", "output": "y"}, "missing_column"),
        ({}, {"instruction": "x", "output": None}, "unknown_shape"),
        (
            {"columns": {"prompt": "q", "response": "a", "images": "i"}},
            {"q": "x", "a": "y", "i": ["cat.jpg"]},
            "multimodal",
        ),
    ],
)
def test_rows_that_do_not_fit_their_entry_are_quarantined(
    tmp_path: Path, entry: dict[str, Any], row: dict[str, Any], reason: str
) -> None:
    good: dict[str, Any] = {"instruction": "x", "output": "y"} if entry.get("formatting") is None else {}
    if entry.get("formatting"):
        good = {"conversations": [{"from": "human", "value": "x"}, {"from": "gpt", "value": "y"}]}
    if entry.get("columns"):
        good = {"q": "x", "a": "y"}
    reading = read_entry(tmp_path, entry, [good, row])

    assert len(reading.records) == 1 and [bad.reason for bad in reading.quarantined] == [reason]


def test_file_name_may_be_a_folder_and_num_samples_limits_the_rows(tmp_path: Path) -> None:
    (tmp_path / "data" / "parts").mkdir(parents=True)
    for number in range(3):
        row = {"instruction": "x", "output": str(number)}
        (tmp_path / "data" / "parts" / f"{number}.jsonl").write_text(json.dumps(row))
    reading = read_entry(tmp_path, {"file_name": "parts", "num_samples": 2}, [])

    assert [record.answer() for record in reading.records] == ["0", "1"]
    assert reading.records[0].source.file == "data/parts/0.jsonl"


def test_hub_entries_name_dataset_subset_split_and_revision(tmp_path: Path) -> None:
    (tmp_path / "dataset_info.json").write_text(
        json.dumps({"h": {"hf_hub_url": "some/set", "subset": "en", "split": "test", "revision": "abc", "folder": "p"}})
    )
    card = entry_card("h", "dataset_info.json")
    found = STAGE.external(IngestNode(card=card, seed=0), tmp_path)

    assert found.pop("hub:some/set/en/p@abc#test") == "abc"
    assert list(found) == ["dataset_info.json#h"]


def test_the_fingerprint_changes_with_the_entry_and_with_the_file(tmp_path: Path) -> None:
    def external(entry: dict[str, Any], rows: list[dict[str, Any]]) -> dict[str, str]:
        read_entry(tmp_path, entry, rows)
        return STAGE.external(IngestNode(card=entry_card("mine"), seed=0), tmp_path)

    row = {"instruction": "x", "output": "y"}
    first, other_entry = external({}, [row]), external({"num_samples": 1}, [row])
    other_file = external({}, [row, row])

    assert first.keys() == {"data#mine", "data/rows.json"}
    assert first["data#mine"] != other_entry["data#mine"] and first["data/rows.json"] == other_entry["data/rows.json"]
    assert first["data/rows.json"] != other_file["data/rows.json"]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"file_name": "../../outside.json"}, "leaves the project"),
        ({"file_name": None, "script_url": "x"}, "never run"),
        ({"file_name": None, "ms_hub_url": "x/y"}, "ms_hub_url is not supported"),
        ({"file_name": None}, "names no data"),
        ({"file_name": 3}, "must be text"),
        ({"file_name": "absent.json"}, "does not exist"),
        ({"formatting": "vicuna"}, "not one of alpaca, sharegpt, openai"),
        ({"ranking": True}, "ranking needs columns"),
        ({"num_samples": 0}, "num_samples"),
        ({"columns": ["x"]}, "columns must be an object"),
        ({"formatting": "sharegpt", "tags": {"user_tag": "x"}}, "role_tag is missing"),
    ],
)
def test_entries_that_cannot_be_read_as_they_say_are_usage_errors(
    tmp_path: Path, entry: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        read_entry(tmp_path, entry, [{"instruction": "x", "output": "y"}])


def test_wrong_names_indexes_and_cards_are_usage_errors(tmp_path: Path) -> None:
    read_entry(tmp_path, {}, [{"instruction": "x", "output": "y"}])
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "broken.json").write_text("{")
    for card, message in (
        (entry_card("main"), "did you mean 'mine'"),
        (entry_card("mine", "absent"), "No such file"),
        (entry_card("mine", "list.json"), "is a list"),
        (entry_card("mine", "broken.json"), "not JSON"),
        (entry_card("mine", "../data"), "leaves the project"),
        (entry_card("mine", format="alpaca"), "leave out format and columns"),
    ):
        with pytest.raises(UsageError, match=message):
            read_records(card, tmp_path)


def test_an_index_that_is_read_as_data_points_to_its_entries(tmp_path: Path) -> None:
    read_entry(tmp_path, {}, [{"instruction": "x", "output": "y"}])
    card = Card.model_validate({"name": "data", "source": {"kind": "file", "path": "data/dataset_info.json"}})

    with pytest.raises(UsageError, match="kind: llama_factory"):
        read_records(card, tmp_path)


def test_every_entry_of_a_real_index_is_read_or_refused_for_the_right_reason(shared_data: Path) -> None:
    folder = shared_data / "formats"
    entries = json.loads((folder / "dataset_info.json").read_text())
    outcomes: dict[str, object] = {}
    for name, entry in entries.items():
        card = entry_card(name, str(folder))
        if "file_name" not in entry:
            outcomes[name] = _loaded(card, shared_data)
            continue
        try:
            reading = read_records(card, shared_data)
        except WorkbenchError as error:
            outcomes[name] = str(error)
            continue
        text = (folder / entry["file_name"]).read_text()
        raw = json.loads(text) if entry["file_name"].endswith(".json") else [x for x in text.split("\n") if x.strip()]
        assert len(reading.records) == len(raw) and not reading.quarantined
        outcomes[name] = {record.kind for record in reading.records}

    local = {name: outcomes[name] for name, entry in entries.items() if "file_name" in entry}
    media = {name: local.pop(name) for name in list(local) if name.startswith("mllm_")}
    assert len(media) == 4 and all("multimodal in" in str(outcome) for outcome in media.values())
    chats = ("identity", "alpaca_en_demo", "alpaca_zh_demo", "kto_en_demo", "glaive_toolcall_en_demo")
    kinds = dict.fromkeys((*chats, "glaive_toolcall_zh_demo"), "chat")
    kinds |= {"dpo_en_demo": "preference", "dpo_zh_demo": "preference", "wiki_demo": "document", "c4_demo": "document"}
    assert local == {name: {kind} for name, kind in kinds.items()}
    remote = {name: outcomes[name] for name in entries if name not in local and name not in media}
    assert {name for name, outcome in remote.items() if "is not supported" in str(outcome)} == {
        name for name, entry in entries.items() if not {"file_name", "hf_hub_url"} & entry.keys()
    }


def _loaded(card: Card, project: Path) -> str:
    assert card.source.kind == "llama_factory"
    try:
        return f"hub {load_entry(card.source, card, project).source}"
    except UsageError as error:
        return str(error)
