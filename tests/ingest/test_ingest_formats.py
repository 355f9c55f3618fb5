from __future__ import annotations

import json
from typing import Any

import pytest
from ingest_makers import ASK, CALL, SAY, Read, ReadFile, lines, turns

from workbench.core.errors import IncompleteError, UsageError
from workbench.core.fingerprints import short_id
from workbench.core.records import Message, ToolCall, record_id
from workbench.ingest.formats.shape import SYSTEM_COLUMNS

ALPACA = {"instruction": "Capital of Peru?", "input": "", "output": "Lima"}


ONE_EXCHANGE: list[tuple[str, dict[str, Any]]] = [
    ("alpaca", ALPACA),
    ("alpaca", {"instruction": "Capital of Peru?", "response": "Lima"}),
    ("sharegpt", {"conversations": [{"from": "human", "value": "Capital of Peru?"}, {"from": "gpt", "value": "Lima"}]}),
    ("sharegpt", {"conversations": [ASK, SAY]}),
    ("messages", {"messages": [ASK, SAY]}),
    ("messages", {"messages": [{"from": "Human", "value": "Capital of Peru?"}, {"from": " GPT ", "value": "Lima"}]}),
    ("messages", {"messages": json.dumps([ASK, SAY])}),
    (
        "messages",
        {
            "messages": [
                ASK | {"content": [{"type": "text", "text": "Capital of "}, {"type": "text", "value": "Peru?"}]},
                SAY,
            ]
        },
    ),
    ("prompt_completion", {"prompt": "Capital of Peru?", "completion": "Lima"}),
    ("prompt_completion", {"prompt": [ASK], "completion": [SAY]}),
    ("prompt_completion", {"prompt": "Capital of Peru?", "response": "Lima"}),
    ("prompt_completion", {"question": "Capital of Peru?", "answer": "Lima"}),
    (
        "prompt_completion",
        {"question": "Capital of Peru?", "answers": {"text": ["Lima", "Lima, Peru"], "answer_start": [3]}},
    ),
]


@pytest.mark.parametrize(("shape", "row"), ONE_EXCHANGE)
@pytest.mark.parametrize("forced", [False, True])
def test_every_spelling_of_one_exchange_gives_the_same_record(
    read_file: ReadFile, shape: str, row: dict[str, Any], forced: bool
) -> None:
    read = read_file("rows.jsonl", lines(row), format=shape if forced else "auto")

    (record,) = read.records
    assert record.kind == "chat"
    assert turns(record) == [("user", "Capital of Peru?"), ("assistant", "Lima")]
    assert dict(read.reading.tally.shapes) == {shape: 1}
    assert record.id == read_file("same.jsonl", lines(ALPACA)).records[0].id


PREFERENCES: list[dict[str, Any]] = [
    {"prompt": "Capital of Peru?", "chosen": "Lima", "rejected": "Cusco"},
    {"question": "Capital of Peru?", "chosen": "Lima", "rejected": "Cusco"},
    {"instruction": "Capital of Peru?", "input": "", "chosen": "Lima", "rejected": "Cusco"},
    {"prompt": [ASK], "chosen": [SAY], "rejected": [SAY | {"content": "Cusco"}]},
    {
        "prompt": "ignored: the conversations say it",
        "chosen": [ASK, SAY],
        "rejected": [ASK, SAY | {"content": "Cusco"}],
    },
    {"chosen_messages": [ASK, SAY], "rejected_messages": [ASK, SAY | {"content": "Cusco"}]},
    {
        "chosen": "\n\nHuman: Capital of Peru?\n\nAssistant: Lima",
        "rejected": "\n\nHuman: Capital of Peru?\n\nAssistant: Cusco",
    },
    {
        "conversations": [{"from": "human", "value": "Capital of Peru?"}],
        "chosen": {"from": "gpt", "value": "Lima"},
        "rejected": {"from": "gpt", "value": "Cusco"},
    },
]


@pytest.mark.parametrize("row", PREFERENCES)
@pytest.mark.parametrize("shape", ["auto", "preference"])
def test_every_spelling_of_a_preference_gives_the_same_record(
    read_file: ReadFile, row: dict[str, Any], shape: str
) -> None:
    (record,) = read_file("rows.jsonl", lines(row), format=shape).records

    assert record.kind == "preference"
    assert turns(record) == [("user", "Capital of Peru?")]
    assert record.chosen is not None and (record.chosen.role, record.chosen.content) == ("assistant", "Lima")
    assert record.rejected is not None and (record.rejected.role, record.rejected.content) == ("assistant", "Cusco")
    assert (record.prompt(), record.answer()) == ("Capital of Peru?", "Lima")


@pytest.mark.parametrize("column", ["text", "content"])
def test_text_columns_are_documents(read_file: ReadFile, column: str) -> None:
    (record,) = read_file("rows.jsonl", lines({column: "The Amazon rises in Peru.", "category": "rivers"})).records

    assert (record.kind, record.text, record.topic) == ("document", "The Amazon rises in Peru.", "rivers")


def test_alpaca_joins_instruction_and_input_and_keeps_system_and_history(read_file: ReadFile) -> None:
    row = {
        "instruction": "Translate to French.",
        "input": "cat",
        "output": "chat",
        "system": "Be brief.",
        "history": [["Hello", "Hi!"]],
    }
    (record,) = read_file("rows.jsonl", lines(row)).records

    assert turns(record) == [
        ("system", "Be brief."),
        ("user", "Hello"),
        ("assistant", "Hi!"),
        ("user", "Translate to French.\ncat"),
        ("assistant", "chat"),
    ]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"instruction": "Who?", "context": "A novel by Eliot.", "response": "x"}, "A novel by Eliot.\n\nWho?"),
        ({"instruction": "Sum.", "context": "About:", "input": "1, 2", "output": "x"}, "About:\n\nSum.\n1, 2"),
        ({"prompt": "Translate.", "input": "cat", "completion": "x"}, "Translate.\ncat"),
        ({"instruction": "Answer in French.", "question": "Who?", "answer": "x"}, "Answer in French.\nWho?"),
        ({"instruction": "a long task " * 4, "prompt": "Do a long task " + "a long task " * 4, "output": "x"}, None),
        ({"prompt": "Translate.", "input": "cat", "chosen": "x", "rejected": "y"}, "Translate.\ncat"),
    ],
)
def test_what_stands_beside_the_prompt_goes_into_it(read_file: ReadFile, row: dict[str, Any], said: str | None) -> None:
    read = read_file("rows.jsonl", lines(row))

    assert read.records[0].prompt() == (said or row["prompt"]) and not read.warnings


def test_a_system_prompt_of_any_name_is_the_system_turn(read_file: ReadFile) -> None:
    rows = [{name: "Be a pirate.", "question": "Capital of Peru?", "response": "Lima"} for name in SYSTEM_COLUMNS]
    for record in read_file("rows.jsonl", lines(*rows)).records:
        assert turns(record)[0] == ("system", "Be a pirate.")


MARS = {"question": "Largest planet?", "answer": "B"}
PLANETS = ["Mars", "Jupiter"]


@pytest.mark.parametrize(
    "row",
    [
        MARS | {"choices": PLANETS, "answer": 1},
        MARS | {"choices": PLANETS, "answer": "1"},
        MARS | {"choices": PLANETS, "answer": "Jupiter"},
        MARS | {"options": json.dumps(PLANETS), "answer": " (b)"},
        MARS | {"options": {"A": "Mars", "B": "Jupiter"}},
        MARS | {"A": "Mars", "B": "Jupiter"},
        {"question": "Largest planet?", "choices": {"text": PLANETS, "label": ["A", "B"]}, "answerKey": "B"},
        {"question": "Largest planet?", "choices": PLANETS, "answer_idx": 1},
    ],
)
def test_choices_belong_to_the_question_and_the_answer_names_one(read_file: ReadFile, row: dict[str, Any]) -> None:
    read = read_file("rows.jsonl", lines(row))

    assert turns(read.records[0]) == [("user", "Largest planet?\nA. Mars\nB. Jupiter"), ("assistant", "B. Jupiter")]
    assert not read.warnings


def test_choices_that_the_question_lists_already_are_not_listed_twice(read_file: ReadFile) -> None:
    asked = "Largest planet?\nA) Mars\nB) Jupiter"
    (record,) = read_file("rows.jsonl", lines(MARS | {"question": asked, "choices": PLANETS})).records

    assert turns(record) == [("user", asked), ("assistant", "B. Jupiter")]


@pytest.mark.parametrize(
    "row",
    [
        MARS | {"choices": PLANETS, "answer": 2},
        MARS | {"choices": PLANETS, "answer": "C"},
        MARS | {"choices": ["3", "2", "1"], "answer": "1"},
        MARS | {"choices": "['Mars' 'Jupiter']", "answer": "1"},
    ],
)
def test_an_answer_that_names_no_choice_or_two_is_not_guessed_at(read_file: ReadFile, row: dict[str, Any]) -> None:
    read = read_file("rows.jsonl", lines(ALPACA, row))

    assert read.reasons == ["bad_content"] and len(read.records) == 1


def test_columns_with_content_that_nothing_reads_are_counted_and_said(read_file: ReadFile) -> None:
    extra = {"hint": "Count.", "id": 7, "source_url": "x", "empty": "", "text": "Capital of Peru?"}
    turn = {"role": "system", "content": "Be brief."}
    rows = [
        *(ALPACA | extra | {"hint": hint} for hint in ("Count.", " ", None, "Think.")),
        {"system": "Be kind.", "messages": [turn, ASK, SAY]},
        {"system": "Be brief.", "messages": [turn, ASK, SAY]},
        {"messages": [ASK, SAY], "prompt": "Capital of Peru?", "label": "fine"},
    ]
    read = read_file("rows.jsonl", lines(*rows))

    assert dict(read.reading.tally.unread) == {"hint": 2, "system": 1, "label": 1}
    assert "hint (2 rows), system (1 row), label (1 row)" in read.warnings[-1]


def test_a_context_stands_above_its_question(read_file: ReadFile) -> None:
    (record,) = read_file(
        "rows.jsonl", lines({"context": "Lima is ...", "question": "Where?", "answer": "Lima"})
    ).records

    assert record.prompt() == "Lima is ...\n\nWhere?"


def test_numbers_as_answers_stay_as_they_are_written(read_file: ReadFile) -> None:
    written = ["4", "0.5", "1.10", "1e3", "-0", "-0.0", "1E+2", "12345678901234567890", "0.10000000000000000555111512"]
    written += ["9" * 6000, "-1e999"]
    read = read_file("rows.jsonl", "".join(f'{{"question": "?", "answer": {number}}}\n' for number in written))

    assert [record.answer() for record in read.records] == written


def test_a_kto_tag_is_a_label_however_it_is_spelled_and_nothing_else_is_guessed(read_file: ReadFile) -> None:
    tagged = read_file("tagged.csv", "prompt,completion,kto_tag\na,b,True\nc,d,false\ne,f,0\ng,h,\ni,j,maybe\n")

    assert [record.label for record in tagged.records] == [True, False, False, None]
    assert tagged.reasons == ["bad_label"] and "'maybe'" in tagged.quarantined[0].detail


@pytest.mark.parametrize(("good", "bad"), [(1, 0), (1.0, 0.0), ("1", "0"), ("true", "False"), (" TRUE", "false")])
def test_labels_that_mark_good_and_bad_answers_are_judgments(read_file: ReadFile, good: object, bad: object) -> None:
    rows = [{"prompt": f"Say {n}", "completion": f"{n}!", "label": good if n % 3 else bad} for n in range(9)]
    read = read_file("rows.jsonl", lines(*rows))

    assert [record.label for record in read.records] == [bool(n % 3) for n in range(9)]
    assert "6 good and 3 bad" in read.warnings[0]
    table = "prompt,completion,label\n" + "".join(f"a{n},b{n},{str(bad if n else good).strip()}\n" for n in range(2))
    assert [record.label for record in read_file("rows.csv", table).records] == [True, False]


def test_labels_are_classes_where_the_rows_speak_for_it(read_file: ReadFile) -> None:
    named = [{"prompt": f"Review {n}", "completion": ("bad", "good")[n % 2], "label": n % 2} for n in range(6)]
    sorted_by_class = [{"prompt": f"Text {n}", "completion": f"about {n}", "label": n // 200} for n in range(600)]

    for rows, why in ((named, "one answer for each value"), (sorted_by_class, "other values than 1 and 0")):
        read = read_file("rows.jsonl", lines(*rows))
        assert {record.label for record in read.records} == {None}
        assert any(why in warning for warning in read.warnings), read.warnings
        assert any("not read: label" in warning for warning in read.warnings)


@pytest.mark.parametrize("column", ["label", "kto_tag"])
def test_thumbs_up_and_down_become_labels(read_file: ReadFile, column: str) -> None:
    rows = [{"messages": [ASK, SAY], column: True}, {"prompt": "a", "completion": "b", column: False}]
    read = read_file("rows.jsonl", lines(*rows, {"question": "a", "answer": "b", "label": 3}))

    assert [record.label for record in read.records] == [True, False, None]


@pytest.mark.parametrize(
    "turn",
    [
        {"content": [{"type": "reasoning", "value": "Peru, so Lima."}, {"type": "text", "value": "Lima"}]},
        {"reasoning_content": "Peru, so Lima.", "content": "Lima"},
        {"thinking": "Peru, so Lima.", "content": [{"type": "text", "text": "Lima"}]},
    ],
)
def test_thoughts_stand_in_think_tags_before_the_answer(read_file: ReadFile, turn: dict[str, Any]) -> None:
    (record,) = read_file("rows.jsonl", lines({"messages": [ASK, {"role": "assistant"} | turn]})).records

    assert record.answer() == "<think>\nPeru, so Lima.\n</think>\n\nLima"


BAD_ROWS: list[tuple[str, dict[str, Any]]] = [
    ("bad_role", {"messages": [ASK, {"role": "robot", "content": "Lima"}]}),
    ("bad_role", {"messages": [ASK, {"role": None, "content": "Lima"}]}),
    ("bad_role", {"messages": [ASK, {"content": "Lima"}]}),
    ("bad_role", {"conversations": [{"from": "human<|im_end|>", "value": "x"}, SAY]}),
    ("bad_role", {"messages": [ASK, {"role": ["assistant"], "content": "Lima"}]}),
    ("bad_content", {"messages": [ASK, {"role": "assistant", "content": None}]}),
    ("bad_content", {"messages": [ASK, {"role": "assistant", "content": {"a": 1}}]}),
    ("bad_content", {"messages": [ASK, {"role": "assistant", "content": [{"text": "no type"}]}]}),
    ("bad_content", {"messages": [ASK, {"role": "assistant", "content": [{"type": "hologram", "text": "x"}]}]}),
    ("bad_content", {"messages": [ASK, "Lima"]}),
    ("bad_content", {"messages": {"role": "user"}}),
    ("bad_json", {"messages": "not a list"}),
    ("bad_content", {"instruction": "x", "output": True}),
    ("bad_content", {"instruction": "x", "output": ["a"]}),
    ("bad_content", {"instruction": "x", "output": "y", "history": [["only one"]]}),
    ("no_prompt", {"messages": []}),
    ("no_prompt", {"messages": [{"role": "system", "content": "Hi"}, SAY]}),
    ("no_prompt", {"messages": [{"role": "system", "content": "Only a system turn."}]}),
    ("no_prompt", {"conversations": []}),
    ("bad_content", {"instruction": "x", "output": {"nested": "y"}}),
    ("bad_content", {"instruction": True, "output": "y"}),
    ("bad_content", {"text": ["a", "list"]}),
    ("no_prompt", {"instruction": " ", "input": "", "output": "y"}),
    ("no_prompt", {"prompt": "", "completion": "y"}),
    ("no_prompt", {"prompt": [], "chosen": "a", "rejected": "b"}),
    ("no_answer", {"messages": [ASK]}),
    ("no_answer", {"messages": [ASK, SAY, {"role": "tool", "content": "x"}]}),
    ("no_answer", {"question": "x", "answers": {"text": []}}),
    ("no_answer", {"prompt": "x", "chosen": [ASK], "rejected": [ASK]}),
    ("no_answer", {"text": "  \n"}),
    ("prompts_differ", {"chosen": [ASK, SAY], "rejected": [{"role": "user", "content": "Other?"}, SAY]}),
    ("missing_column", {"chosen": "a", "rejected": "b"}),
    ("bad_tool_call", {"conversations": [ASK, {"from": "function_call", "value": "now()"}, SAY]}),
    ("bad_tool_call", {"messages": [ASK | {"tool_calls": [CALL]}, SAY]}),
    ("bad_tool_call", {"messages": [ASK, SAY | {"tool_calls": [{"arguments": "{}"}]}]}),
    ("multimodal", {"messages": [ASK, SAY], "images": ["cat.jpg"]}),
    ("multimodal", {"instruction": "x", "output": "y", "audio": "cat.mp3"}),
    ("multimodal", {"messages": [ASK | {"content": [{"type": "image_url", "image_url": "x"}]}, SAY]}),
    ("multimodal", {"messages": [ASK | {"content": [{"type": "input_audio", "data": "x"}]}, SAY]}),
    ("unsupported_shape", {"input_ids": [1, 2], "labels": [1, 2]}),
    ("unsupported_shape", {"segments": [{"label": True, "text": "x"}]}),
    ("unknown_shape", {"instruction": "x"}),
    ("unknown_shape", {"instruction": "x", "output": None}),
    ("unknown_shape", {}),
]


@pytest.mark.parametrize(("reason", "row"), BAD_ROWS)
def test_rows_without_a_usable_shape_are_quarantined_with_the_reason(
    read_file: ReadFile, reason: str, row: dict[str, Any]
) -> None:
    read = read_file("rows.jsonl", lines(ALPACA, row, ALPACA))

    assert read.reasons == [reason]
    assert len(read.records) == 2
    bad = read.quarantined[0]
    assert (bad.line, bad.excerpt) == (2, json.dumps(row)[:200]) and bad.detail


def test_an_unknown_role_is_never_let_through(read_file: ReadFile) -> None:
    rows = [{"messages": [{"role": role, "content": "x"}, ASK, SAY]} for role in ("bot", "model", "narrator", "")]
    read = read_file("rows.jsonl", lines(ALPACA, *rows))

    assert read.reasons == ["bad_role"] * 4
    assert "'narrator'" in read.quarantined[2].detail and "known roles" in read.quarantined[2].detail


def test_empty_media_columns_are_no_media(read_file: ReadFile) -> None:
    assert len(read_file("rows.jsonl", lines(ALPACA | {"images": [], "audio": None})).records) == 1


def test_an_empty_answer_is_read_and_left_to_the_filters(read_file: ReadFile) -> None:
    assert read_file("rows.jsonl", lines(ALPACA | {"output": ""})).records[0].answer() == ""


def test_rows_of_another_shape_are_read_as_what_they_are_and_said(read_file: ReadFile) -> None:
    read = read_file("rows.jsonl", lines(ALPACA, {"text": "A document."}, ALPACA, {"messages": [ASK, SAY]}))

    assert [record.kind for record in read.records] == ["chat", "document", "chat", "chat"]
    assert dict(read.reading.tally.shapes) == {"alpaca": 2, "text": 1, "messages": 1}
    assert "2 rows have another shape" in read.warnings[0]


def test_a_forced_format_quarantines_the_rows_it_does_not_fit(read_file: ReadFile) -> None:
    read = read_file("rows.jsonl", lines(ALPACA, {"text": "A document."}), format="alpaca")

    assert read.reasons == ["missing_column"]
    assert "'instruction'" in read.quarantined[0].detail and "text" in read.quarantined[0].detail


def mapped(read_file: ReadFile, columns: dict[str, str], row: dict[str, Any], **settings: Any) -> Read:
    return read_file("rows.jsonl", lines(row), columns=columns, **settings)


@pytest.mark.parametrize("shape", ["auto", "prompt_completion"])
def test_columns_of_other_names_are_mapped(read_file: ReadFile, shape: str) -> None:
    columns = {"prompt": "task", "completion": "reply", "topic": "area", "part_of": "ticket"}
    row = {"task": "Capital of Peru?", "reply": "Lima", "area": "geography", "ticket": 17, "prompt": "not this"}
    (record,) = mapped(read_file, columns, row, format=shape).records

    assert turns(record) == [("user", "Capital of Peru?"), ("assistant", "Lima")]
    assert (record.topic, record.source.part_of) == ("geography", "17")


def test_two_columns_can_swap_their_names(read_file: ReadFile) -> None:
    (record,) = mapped(
        read_file, {"prompt": "completion", "completion": "prompt"}, {"prompt": "Lima", "completion": "Capital?"}
    ).records

    assert (record.prompt(), record.answer()) == ("Capital?", "Lima")


def test_a_row_may_lack_a_mapped_column_that_is_optional(read_file: ReadFile) -> None:
    rows = lines({"task": "a", "given": "b", "output": "c"}, {"task": "a", "output": "c"})
    read = read_file("rows.jsonl", rows, columns={"instruction": "task", "input": "given"})

    assert [record.prompt() for record in read.records] == ["a\nb", "a"]


@pytest.mark.parametrize(
    ("settings", "row", "parts"),
    [
        ({"format": "alpaca"}, {"q": "a", "a": "b"}, ["no row fits format alpaca", "columns found: q, a"]),
        ({"format": "messages"}, ALPACA, ["no column 'messages'", "columns found: instruction, input, output"]),
        ({}, {"q": "a", "a": "b"}, ["unknown_shape in 1 of 1 rows", "columns found: q, a"]),
        ({"columns": {"prompt": "task"}}, ALPACA, ["no row has a column 'task'", "columns found: instruction"]),
        ({"columns": {"promt": "task"}}, ALPACA, ["'promt' is no column of format auto", "did you mean 'prompt'?"]),
        ({"format": "text", "columns": {"prompt": "task"}}, ALPACA, ["'prompt' is no column of format text"]),
        ({}, {"messages": [{"role": "robot", "content": "x"}]}, ["role 'robot'", "known roles: system"]),
        ({}, {"messages": [ASK, SAY], "images": ["x"]}, ["multimodal in 1 of 1", "change the data"]),
    ],
)
def test_a_wrong_format_role_or_column_is_a_usage_error_that_names_what_was_found(
    read_file: ReadFile, settings: dict[str, Any], row: dict[str, Any], parts: list[str]
) -> None:
    with pytest.raises(UsageError) as caught:
        read_file("rows.jsonl", lines(row), **settings)
    assert all(part in str(caught.value) for part in parts), str(caught.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [("rows.jsonl", ""), ("rows.jsonl", "\n \n"), ("rows.json", "[]"), ("rows.csv", "a,b\n"), ("x.txt", "\n")],
)
def test_an_empty_dataset_is_incomplete(read_file: ReadFile, name: str, content: str) -> None:
    with pytest.raises(IncompleteError, match="empty"):
        read_file(name, content)


def test_a_file_of_broken_lines_is_incomplete_and_says_why(read_file: ReadFile) -> None:
    with pytest.raises(IncompleteError, match=r"bad_json in 2 of 2 rows, first at rows.jsonl:1"):
        read_file("rows.jsonl", '{"a": "cut\n{"b": "cut\n')


def test_the_limit_counts_rows_from_the_start(read_file: ReadFile) -> None:
    read = read_file("rows.jsonl", lines(ALPACA) + "broken\n" + lines(ALPACA, ALPACA), limit=3)

    assert (len(read.records), read.reasons) == (2, ["bad_json"])


def test_a_record_id_is_the_hash_of_the_canonical_content() -> None:
    turns = (
        Message(role="user", content='q"\\ \n\x00\x7f é 😀'),
        Message(role="assistant", content="", tool_calls=(ToolCall(name="a", arguments='{"x":1}'),) * 2),
    )
    ids = {"tool_call_id": True, "name": True, "tool_calls": {"__all__": {"id"}}}
    content = [turn.model_dump(mode="json", exclude=ids) for turn in turns]

    assert record_id("chat", turns) == short_id(["chat", content, [None, None], None])
    assert record_id("preference", turns[:1], turns[1], turns[0]) == short_id(
        ["preference", content[:1], [content[1], content[0]], None]
    )
    assert record_id("document", text="x\ud800é") == short_id(["document", [], [None, None], "x\ufffdé"])
