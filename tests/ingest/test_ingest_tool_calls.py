from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ingest_makers import ASK, CALL, SAY, ReadFile, lines, turns


def test_functions_beside_old_function_calls_are_the_tools(read_file: ReadFile) -> None:
    call = {"role": "assistant", "content": None, "function_call": {"name": "now", "arguments": "{}"}}
    row = {"messages": [ASK, call], "functions": [{"name": "now"}]}
    read = read_file("rows.jsonl", lines(row))

    assert read.records[0].tools == '[{"name": "now"}]' and not read.warnings


def calling(*results: str) -> dict[str, Any]:
    """Two calls of one name, and results under their ids in the order given."""
    calls = [{"id": f"c{n}", "function": {"name": "f", "arguments": f'{{"n": {n}}}'}} for n in (1, 2)]
    answers = [{"role": "tool", "tool_call_id": one, "name": "f", "content": f"result of {one}"} for one in results]
    return {"messages": [ASK, {"role": "assistant", "content": None, "tool_calls": calls}, *answers, SAY]}


def test_parallel_tool_results_stand_in_the_order_of_their_calls_and_keep_their_ids(read_file: ReadFile) -> None:
    read = read_file("rows.jsonl", lines(calling("c2", "c1"), calling("c1", "c2"), calling("c2", "unknown")))

    for record in read.records[:2]:
        assert [call.id for call in record.messages[1].tool_calls] == ["c1", "c2"]
        results = record.messages[2:4]
        assert [(turn.tool_call_id, turn.name, turn.content) for turn in results] == [
            ("c1", "f", "result of c1"),
            ("c2", "f", "result of c2"),
        ]
    assert read.records[0].id == read.records[1].id
    assert [turn.tool_call_id for turn in read.records[2].messages[2:4]] == ["c2", "unknown"]


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_ids_of_calls_survive_export_and_reading_again(tmp_path: Path, read_file: ReadFile, suffix: str) -> None:
    from workbench.core.parts import write_rows
    from workbench.curate.export import write_export

    records = read_file("rows.jsonl", lines(calling("c2", "c1"), {"messages": [ASK, SAY]})).records
    write_rows(tmp_path / "records.jsonl", records)
    write_export(tmp_path / "records.jsonl", tmp_path / f"out{suffix}")
    again = read_file(f"again{suffix}", (tmp_path / f"out{suffix}").read_bytes()).records

    assert [record.messages for record in again] == [record.messages for record in records]


ARGUMENTS = '{"price": 1.10, "big": 1e3, "n": 0.1000000000000000055511, "z": -0, "list": [{"a": 1.50}]}'
NAMED_CALL = '{"name": "f", "arguments": ' + ARGUMENTS + "}"


@pytest.mark.parametrize(
    ("turn", "arguments"),
    [
        ('{"from": "function_call", "value": ' + json.dumps(NAMED_CALL) + "}", ARGUMENTS),
        ('{"from": "gpt", "tool_calls": [{"function": ' + NAMED_CALL + "}]}", ARGUMENTS),
        (
            '{"from": "gpt", "tool_calls": [{"function": {"name": "f", "arguments": "{\\"p\\":1.10,  \\"b\\":1e3}"}}]}',
            '{"p":1.10,  "b":1e3}',
        ),
    ],
)
def test_numbers_in_calls_and_definitions_of_tools_stay_as_they_are_written(
    read_file: ReadFile, turn: str, arguments: str
) -> None:
    tools = '[{"name": "f", "default": 1.10, "text": "é \\"x\\""}]'
    row = '{"conversations": [{"from": "human", "value": "?"}, ' + turn + '], "tools": ' + tools + "}"
    (record,) = read_file("rows.jsonl", row).records

    assert record.messages[1].tool_calls[0].arguments == arguments
    assert record.tools == tools




@pytest.mark.parametrize(
    "turn",
    [
        {"from": "function_call", "value": json.dumps(CALL)},
        {"role": "assistant", "content": None, "tool_calls": [{"type": "function", "function": CALL}]},
        {"role": "assistant", "content": None, "function_call": CALL | {"arguments": json.dumps(CALL["arguments"])}},
        {"role": "tool_call", "content": json.dumps(CALL)},
        {"role": "assistant", "content": "", "tool_calls": [CALL | {"arguments": json.dumps(CALL["arguments"])}]},
        {"role": "assistant", "content": [{"type": "tool_call", "value": json.dumps(CALL)}]},
    ],
)
def test_tool_calls_keep_name_and_arguments_in_every_spelling(read_file: ReadFile, turn: dict[str, Any]) -> None:
    rest = [{"from": "observation", "value": "12:00"}, {"from": "gpt", "value": "Noon."}]
    row = {"conversations": [{"from": "human", "value": "Time?"}, turn, *rest], "tools": "[]"}
    (record,) = read_file("rows.jsonl", lines(row)).records

    assert turns(record) == [("user", "Time?"), ("assistant", ""), ("tool", "12:00"), ("assistant", "Noon.")]
    (call,) = record.messages[1].tool_calls
    assert (call.name, json.loads(call.arguments)) == ("now", {"zone": "UTC"})
    assert record.tools == "[]"
