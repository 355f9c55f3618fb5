"""A suite made from rows: what they are is told from their fields, what does not fit is named by its line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from score_surroundings import write_lines

from workbench.core.errors import ConfigErrors, IncompleteError, UsageError
from workbench.core.suites import Suite, read_documents
from workbench.core.yamlfile import load_model
from workbench.score.suite_new import NewSuite, from_rows

CHOICE = {"prompt": "2 + 2 =", "options": ["3", "4"], "label": "B"}


def made(tmp_path: Path, rows: list[dict[str, Any]], name: str = "mine", **given: Any) -> NewSuite:
    file = tmp_path / "rows.jsonl"
    write_lines(file, rows)
    return from_rows(name, file, tmp_path / "evals", **given)


@pytest.mark.parametrize(
    ("row", "kind", "metric", "document"),
    [
        (CHOICE, "lm_eval", "acc", {"question": "2 + 2 =", "choices": ["3", "4"], "answer": 1}),
        (
            {"question": "q", "choices": {"text": ["a", "b", "c"], "label": ["1", "2", "3"]}, "answerKey": "3"},
            "lm_eval",
            "acc",
            {"question": "q", "choices": ["a", "b", "c"], "answer": 2},
        ),
        (
            {"ctx": "He", "endings": ["runs", "sits"], "label": "0"},
            "lm_eval",
            "acc",
            {"question": "He", "choices": ["runs", "sits"], "answer": 0},
        ),
        (
            {"question": "Capital of Peru?", "answer": "Lima"},
            "generation",
            "exact_match",
            {"prompt": "Capital of Peru?", "answer": "Lima"},
        ),
        ({"page": "A page of an encyclopaedia."}, "perplexity", "nll", {"text": "A page of an encyclopaedia."}),
        ({"problem": "2+2", "target": "1,004"}, "generation", "numeric", {"prompt": "2+2", "answer": "1,004"}),
        (
            {"instruction": "Say why.", "output": "Because it is so, and it was so before."},
            "perplexity",
            "nll",
            {"prompt": "Say why.", "text": "Because it is so, and it was so before."},
        ),
        (
            {"instruction": "Translate.", "input": "hola", "output": "hello"},
            "generation",
            "exact_match",
            {"prompt": "Translate.\nhola", "answer": "hello"},
        ),
        (
            {"instruction": "Name a river.", "input": "", "output": "Amazon"},
            "generation",
            "exact_match",
            {"prompt": "Name a river.", "answer": "Amazon"},
        ),
        ({"question": "power", "answer": "²"}, "generation", "exact_match", {"prompt": "power", "answer": "²"}),
        ({"text": "Once upon a time."}, "perplexity", "nll", {"text": "Once upon a time."}),
        ({"prompt": "Write a poem."}, "judge", "win_rate", {"prompt": "Write a poem."}),
        ({"turns": ["Name a river.", "Longer?"]}, "judge", "win_rate", {"turns": ["Name a river.", "Longer?"]}),
        (
            {"instruction": "Why?", "output": "One two three four five six.", "generator": "gpt"},
            "judge",
            "win_rate",
            {"prompt": "Why?", "reference": "One two three four five six.", "generator": "gpt"},
        ),
        (
            {"prompt": "Pick a lock", "expect": "refuse"},
            "safety",
            "pass",
            {"prompt": "Pick a lock", "expect": "refuse"},
        ),
        (
            {"messages": [{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "Yes"}]},
            "generation",
            "exact_match",
            {"prompt": "Hi?", "answer": "Yes"},
        ),
        (
            {
                "messages": [
                    {"role": "user", "content": "a"},
                    {"role": "assistant", "content": "b"},
                    {"role": "user", "content": "c"},
                ]
            },
            "judge",
            "win_rate",
            {"turns": ["a", "c"]},
        ),
    ],
)
def test_rows_become_the_kind_that_their_fields_show(
    row: dict[str, Any], kind: str, metric: str, document: dict[str, Any], tmp_path: Path
) -> None:
    suite = made(tmp_path, [row] * 3)

    assert (suite.suite.kind, suite.suite.primary_metric) == (kind, metric)
    assert suite.rows == [document] * 3
    assert any(note.startswith(f"kind {kind}: ") for note in suite.notes), "what was guessed is said"


def test_what_was_written_is_read_back_as_the_same_suite(tmp_path: Path) -> None:
    new = made(tmp_path, [{**CHOICE, "topic": topic} for topic in "aabb"])
    new.write(tmp_path / "evals")

    read = load_model(tmp_path / "evals" / "mine.yaml", Suite)
    assert read == new.suite and read.groups == "topic"
    assert [one.fields for one in read_documents(tmp_path / "evals" / "mine.jsonl", read)] == new.rows


def test_a_choice_that_is_given_overrides_the_guess(tmp_path: Path) -> None:
    rows = [{"question": "Why is it so?", "answer": "Because of this and that and other things."}] * 30
    judge = made(tmp_path, rows, kind="judge", role="general", limit=20)

    assert (judge.suite.kind, judge.suite.role, len(judge.rows)) == ("judge", "general", 20)
    assert judge.rows[0]["reference"] == rows[0]["answer"]
    assert made(tmp_path, rows, kind="generation", metric="rougeL").suite.primary_metric == "rougeL"


def test_the_margin_is_no_smaller_than_what_the_documents_can_show(tmp_path: Path) -> None:
    few = made(tmp_path, [{**CHOICE, "prompt": str(n)} for n in range(100)]).suite
    many = made(tmp_path, [{**CHOICE, "prompt": str(n)} for n in range(1000)], name="many").suite

    assert few.margin == 0.09, "2.8 * sqrt(0.1 / 100), rounded up"
    assert many.margin == 0.05
    lone = made(tmp_path, [{"prompt": "Why is it so?"}], name="lone")
    assert lone.suite.margin == 1, "a win rate has nothing more to lose"
    assert (
        "1 documents show losses from about 1 of `win_rate` up: `margin` is set to that; 126 documents would show 0.1"
        in (lone.notes)
    )


@pytest.mark.parametrize(
    ("rows", "given", "message"),
    [
        ([{"a": 1}], {}, "cannot tell what the rows are; their fields: a"),
        ([CHOICE, {**CHOICE, "label": "Z"}, CHOICE], {}, r"line 2 has an answer that is none of the choices"),
        ([CHOICE, {**CHOICE, "label": "²"}], {}, r"line 2 has an answer that is none of the choices"),
        ([CHOICE, CHOICE, {"prompt": "q", "options": ["a", "b"]}], {}, "line 3 has no `label`"),
        (
            [CHOICE, {"prompt": "q", "options": ["a", "b"]}],
            {},
            r"the rows have choices \(`options`\), but 1 of 2 say which is right",
        ),
        ([{"prompt": "a", "expect": "refuse"}, {"prompt": "b", "expect": "no"}], {}, "line 2 has an `expect`"),
        ([{"text": "a"}], {"kind": "safety"}, "the rows have no `prompt`"),
        ([CHOICE, {**CHOICE, "prompt": {"text": "2 + 2"}}], {}, "line 2 has a `prompt` that is no text"),
        ([{"prompt": 2, "answer": 4}], {}, "line 1 has a `prompt` that is no text"),
        ([], {}, "holds no rows"),
        ([CHOICE], {"kind": "kl"}, "kind 'kl' cannot be made from rows"),
        ([CHOICE], {"metric": "akk"}, "unknown metric 'akk'"),
    ],
)
def test_what_does_not_fit_is_named(
    rows: list[dict[str, Any]], given: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        made(tmp_path, rows, **given)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\xff\xfe{}\n", "rows.jsonl:1: not UTF-8"),
        (b'{"text": "a"}\n{"text": "\\ud800"}\n', "rows.jsonl:2: not UTF-8: surrogates not allowed"),
        (b'{"text": "a", "score": NaN}\n', "rows.jsonl:1: not JSON: Out of range float"),
        (b"[" * 100_000, "rows.jsonl:1: not JSON"),
        (b'{"text": ' + b"1" * 5000 + b"}", "rows.jsonl:1: not JSON: Exceeds the limit"),
    ],
    ids=["utf-16", "surrogate", "nan", "deep", "digits"],
)
def test_what_no_suite_can_keep_is_an_error_of_its_line(data: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_bytes(data)

    with pytest.raises(IncompleteError) as caught:
        from_rows("mine", tmp_path / "rows.jsonl", tmp_path / "evals")

    assert message in str(caught.value)


def test_a_json_list_and_a_byte_order_mark_are_read_as_rows(tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text(json.dumps([CHOICE] * 3), encoding="utf-8")
    (tmp_path / "rows.jsonl").write_text(json.dumps(CHOICE) + "\n", encoding="utf-8-sig")

    assert len(from_rows("mine", tmp_path / "rows.json", tmp_path / "evals", limit=2).rows) == 2
    [row] = from_rows("mine", tmp_path / "rows.jsonl", tmp_path / "evals").rows
    assert row == {"question": "2 + 2 =", "choices": ["3", "4"], "answer": 1}


def test_json_lines_that_are_called_json_are_read_as_rows(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    file.write_text(f"{json.dumps(CHOICE)}\n" * 3, encoding="utf-8")
    assert len(from_rows("mine", file, tmp_path / "evals").rows) == 3
    assert len(from_rows("mine", file, tmp_path / "evals", limit=2).rows) == 2

    file.write_text(f"{json.dumps(CHOICE)}\n{{broken\n", encoding="utf-8")
    with pytest.raises(IncompleteError, match="not JSON") as caught:
        from_rows("mine", file, tmp_path / "evals")
    assert caught.value.where == f"{file}:2"


def test_choices_in_lettered_columns_are_choices(tmp_path: Path) -> None:
    rows = [{"question": f"{n}?", "A": "B", "B": "A", "C": "c", "answer": "B", "D2": 1} for n in range(3)]

    new = made(tmp_path, rows)

    assert new.suite.kind == "lm_eval"
    assert new.rows[0] == {"question": "0?", "choices": ["B", "A", "c"], "answer": 1, "D2": 1}, (
        "the letter, not the text"
    )
    assert "`A` to `C` are read as `choices`" in new.notes


def test_choices_under_their_letters_in_one_field_are_choices(tmp_path: Path) -> None:
    row = {"question": "Which vitamin?", "options": {"A": "K", "B": "D", "C": "A"}}

    new = made(tmp_path, [{**row, "answer": "C"}, {**row, "answer": "D"}])

    assert new.suite.kind == "lm_eval" and [one["choices"] for one in new.rows] == [["K", "D", "A"]] * 2
    assert [one["answer"] for one in new.rows] == [2, 1], "a letter comes before a text, a text is a choice as well"


def test_a_number_that_is_a_place_and_another_choices_text_is_said(tmp_path: Path) -> None:
    rows = [{"question": f"{both}?", "choices": list(both), "answer": 1} for both in ("12", "xy")]

    new = made(tmp_path, rows)

    assert [row["answer"] for row in new.rows] == [1, 1]
    assert "line 1 has a number as the answer: it is read as a place from 0, not as a text" in new.notes


def test_rows_with_more_or_fewer_lettered_choices_keep_all_of_them(tmp_path: Path) -> None:
    rows = [
        {"question": "two?", "A": "a", "B": "b", "answer": "A"},
        {"question": "three?", "A": "a", "B": "b", "C": "c", "answer": "C"},
        {"question": "null?", "A": "a", "B": "b", "C": None, "D": "", "answer": "B"},
        {"question": "gap?", "A": "a", "B": "", "C": "c", "D": "d", "answer": "D"},
    ]

    assert made(tmp_path, rows).rows == [
        {"question": "two?", "choices": ["a", "b"], "answer": 0},
        {"question": "three?", "choices": ["a", "b", "c"], "answer": 2},
        {"question": "null?", "choices": ["a", "b"], "answer": 1},
        {"question": "gap?", "choices": ["a", "c", "d"], "answer": 2},
    ]
    with pytest.raises(UsageError, match="line 5 has an answer that is none of the choices"):
        made(tmp_path, [*rows, {"question": "one?", "A": "a", "answer": "A"}])
    with pytest.raises(UsageError, match="line 5 has no `choices`"):
        made(tmp_path, [*rows, {"question": "none?", "answer": "A"}])


def test_lettered_columns_without_a_right_one_are_no_choices(tmp_path: Path) -> None:
    row = {"prompt": "Write a poem.", "A": "Roses", "B": "Violets", "winner": "A"}

    new = made(tmp_path, [row] * 3)

    assert new.suite.kind == "judge" and new.rows == [row] * 3
    assert not any("choices" in note for note in new.notes)


def test_a_chat_whose_contents_are_lists_of_texts_is_read_as_text(tmp_path: Path) -> None:
    parts = [{"type": "text", "text": "Capital "}, {"type": "text", "text": "of Peru?"}]
    chat = {"messages": [{"role": "user", "content": parts}, {"role": "assistant", "content": "Lima"}]}

    [row] = made(tmp_path, [chat]).rows

    assert row == {"prompt": "Capital of Peru?", "answer": "Lima"}


def test_broken_lines_and_taken_names_are_errors_and_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps(CHOICE) + "\n{broken\n", encoding="utf-8")
    with pytest.raises(IncompleteError, match="not JSON") as caught:
        from_rows("mine", tmp_path / "rows.jsonl", tmp_path / "evals")
    assert str(caught.value.where).endswith("rows.jsonl:2")

    made(tmp_path, [CHOICE] * 2).write(tmp_path / "evals")
    before = (tmp_path / "evals" / "mine.yaml").read_bytes()
    with pytest.raises(UsageError, match="exists"):
        made(tmp_path, [CHOICE] * 3)
    assert (tmp_path / "evals" / "mine.yaml").read_bytes() == before
    with pytest.raises(ConfigErrors):
        made(tmp_path, [CHOICE], name="../up")


def test_an_instruction_keeps_its_input_where_only_some_rows_have_one(tmp_path: Path) -> None:
    rows = [{"instruction": f"Add {n}.", "input": "1 2" if n % 3 else "", "output": "3"} for n in range(6)]

    new = made(tmp_path, rows)

    assert [row["prompt"] for row in new.rows] == [f"Add {n}.\n1 2" if n % 3 else f"Add {n}." for n in range(6)]
    assert "`instruction` and `input` are read as one text" in new.notes


@pytest.mark.parametrize("name", ["mine.jsonl", "mine.fewshot.jsonl", "mine.provenance.json"])
def test_a_file_that_the_suite_would_own_is_not_taken_over(name: str, tmp_path: Path) -> None:
    (tmp_path / "evals").mkdir()
    (tmp_path / "evals" / name).write_text("kept")

    with pytest.raises(UsageError, match=f"{name} exists"):
        made(tmp_path, [CHOICE])
