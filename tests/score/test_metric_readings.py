"""What the metrics read from an answer: labels, numbers, patterns, JSON, tool calls, programs; and what they refuse."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from score_surroundings import suite_of

from workbench.compare.suite import Scale
from workbench.core.errors import UsageError
from workbench.core.suites import LOWER_IS_BETTER
from workbench.score.metrics.chosen import Chosen, choose, measure
from workbench.score.metrics.code import program
from workbench.score.metrics.json_answers import read_json
from workbench.score.metrics.label import read_label
from workbench.score.metrics.metric import Answered, Reading
from workbench.score.metrics.numeric import read_number
from workbench.score.metrics.registry import METRICS


def read(name: str, text: str, fields: dict[str, Any] | None = None, *right: str, **settings: Any) -> Reading:
    """One metric on one answer."""
    (reading,) = measure(Chosen(METRICS[name], settings), [Answered(text, right, fields or {})]).readings
    return reading


def value(name: str, text: str, fields: dict[str, Any] | None = None, *right: str, **settings: Any) -> float | None:
    return read(name, text, fields, *right, **settings).value


@pytest.mark.parametrize(
    ("text", "take", "expected"),
    [
        ("It is Positive.", "only", "positive"),
        ("positively", "only", None),
        ("not negative but positive", "only", None),
        ("not negative but positive", "last", "positive"),
        ("not negative but positive", "first", "negative"),
        ("positive, yes: positive", "only", "positive"),
        ("", "last", None),
    ],
)
def test_a_label_counts_as_a_word_of_its_own(text: str, take: str, expected: str | None) -> None:
    assert read_label(text, ["positive", "negative"], take) == expected


@pytest.mark.parametrize("take", ["only", "first", "last"])
def test_a_label_inside_another_is_not_named(take: str) -> None:
    for labels in (["toxic", "not toxic"], ["not toxic", "toxic"]):
        assert read_label("It is not toxic.", labels, take) == "not toxic"
        assert read_label("It is toxic.", labels, take) == "toxic"
    both = read_label("Not toxic? No: toxic.", ["toxic", "not toxic"], take)
    assert both == {"only": None, "first": "not toxic", "last": "toxic"}[take]
    assert read_label("yes and no", ["yes", "yes and no", "and no"], take) == "yes and no"


def test_labels_of_one_letter_keep_their_case() -> None:
    assert read_label("a plain (B), surely", ["A", "B"]) == "B"
    assert read_label("A", ["A", "B"]) == "A"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("#### 18", "18"),
        ("so $1,234.50 in all.", "1234.5"),
        ("it is -3", "-3"),
        ("from 3-4", "4"),
        ("\u22127 degrees", "-7"),
        (".5", "0.5"),
        ("5.", "5"),
        ("1.5e3 m", "1500"),
        ("1,2", "2"),
        ("12,3456", "3456"),
        ("1234,567", "567"),
        ("10/2 = 5!", "5"),
        ("a1b", "1"),
        ("٣", None),
        ("no number", None),
    ],
)
def test_numbers_are_read_as_people_write_them(text: str, expected: str | None) -> None:
    assert read_number(text) == (None if expected is None else Decimal(expected))


@given(st.integers(-(10**15), 10**15), st.sampled_from(["{}", "{:,}", "The answer is {:,}.", "{}.0", "${:,}!"]))
def test_a_written_number_is_read_back(number: int, form: str) -> None:
    if form.startswith("$") and number < 0:
        form = form[1:]
    assert read_number(form.format(number)) == number


def test_numbers_are_equal_as_decimals_or_within_the_tolerance() -> None:
    assert value("numeric", "7.0", None, "7") == 1
    assert value("numeric", "3.15", None, "3.14159") == 0
    assert value("numeric", "3.15", None, "3.14159", tolerance=0.01) == 1
    assert value("numeric", "9007199254740993", None, "9007199254740992") == 0, "equal as floats alone"
    assert value("numeric", "1e9999", None, "2") == 0
    assert read("numeric", "none", None, "7") == Reading(0.0, parsed=False)
    assert value("numeric", "7", None, "seven") is None


def test_contains_looks_for_whole_words() -> None:
    assert value("contains", "It is Lima, of course.", None, "Cusco", "Lima") == 1
    assert value("contains", "It is Limassol.", None, "Lima") == 0
    assert value("contains", "lima", None, "Lima") == 0
    assert value("contains", "lima", None, "Lima", ignore_case=True) == 1
    assert value("contains", "It costs C++ (5)", None, "C++") == 1
    assert value("contains", "anything", None, " ") is None


def test_a_pattern_comes_from_the_metric_or_the_document() -> None:
    assert value("regex_match", "on 2026-01-31.", None, pattern=r"\d{4}-\d\d-\d\d") == 1
    assert value("regex_match", "on 2026-01-31.", None, pattern=r"\d{4}-\d\d-\d\d", full=True) == 0
    assert value("regex_match", "abc", {"pattern": "^a"}) == 1
    assert "no `pattern`" in str(read("regex_match", "abc").error)
    assert "missing" in str(read("regex_match", "abc", {"pattern": "("}).error)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patterns may take a tenth of a second."""
    monkeypatch.setattr("workbench.score.metrics.regex_match.TIMEOUT_S", 0.1)
    monkeypatch.setattr("workbench.score.metrics.json_answers.TIMEOUT_S", 0.1)


@pytest.mark.usefixtures("impatient")
def test_a_pattern_that_explodes_fails_the_document_and_hangs_nothing() -> None:
    reading = read("regex_match", "a" * 60 + "!", None, pattern=r"^(a|aa|a?a)+$")

    assert reading.value is None and "took longer than 0.1 s" in str(reading.error)


@pytest.mark.parametrize(
    ("text", "lenient", "strict"),
    [
        ('{"a": [1, 2.5, null]}', 1, 1),
        ("  [] \n", 1, 1),
        ("{'a': 1}", 0, 0),
        ('{"a": NaN}', 0, 0),
        ("Infinity", 0, 0),
        ('Here:\n```json\n{"a": 1}\n```\nDone.', 1, 0),
        ('```{"a": 1}```', 1, 0),
        ("```\n1\n```\n```\n2\n```", 0, 0),
        ('{"a": 1} and more', 0, 0),
        ("[" * 5000 + "]" * 5000, 0, 0),
        ("[" * 150 + "]" * 150, 0, 0),
        ("9" * 5000, 0, 0),
        ("", 0, 0),
    ],
)
def test_json_is_what_rfc_8259_calls_json(text: str, lenient: int, strict: int) -> None:
    assert (value("json_valid", text), value("json_valid", text, strict=True)) == (lenient, strict)


SCHEMA = {
    "type": "object",
    "required": ["city", "days"],
    "properties": {"city": {"enum": ["Lima", "Cusco"]}, "days": {"type": "integer", "minimum": 1}},
    "patternProperties": {"^x_": {"type": "string"}},
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    "given_value",
    [
        {"city": "Lima", "days": 2},
        {"city": "Lima", "days": 2.0},
        {"city": "Lima", "days": 0},
        {"city": "Lima", "days": True},
        {"city": "Lima"},
        {"city": "Oslo", "days": 1},
        {"city": "Lima", "days": 1, "x_note": "hi"},
        {"city": "Lima", "days": 1, "x_note": 3},
        {"city": "Lima", "days": 1, "note": "hi"},
        [1],
    ],
)
def test_schemas_are_judged_as_by_jsonschema(given_value: Any) -> None:
    expected = float(jsonschema.Draft202012Validator(SCHEMA).is_valid(given_value))

    assert value("json_schema", json.dumps(given_value), {"schema": SCHEMA}) == expected
    assert value("json_schema", json.dumps(given_value), {"schema": json.dumps(SCHEMA)}) == expected
    assert value("json_schema", json.dumps(given_value), None, schema=SCHEMA) == expected


ITEMS = st.recursive(
    st.sampled_from([None, True, False, 0, 1, 1.0, 0.5, "1", ""]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=4,
)


@given(st.lists(ITEMS, max_size=5))
def test_equal_items_are_those_of_jsonschema(items: list[Any]) -> None:
    schema = {"uniqueItems": True}

    expected = float(jsonschema.Draft202012Validator(schema).is_valid(items))
    assert value("json_schema", json.dumps(items), {"schema": schema}) == expected


def test_items_are_not_compared_in_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("thousands of items in pairs take minutes")

    monkeypatch.setattr("jsonschema._keywords.uniq", refuse)
    assert value("json_schema", '[{"a": 1}, {"a": 2}]', {"schema": {"uniqueItems": True}}) == 1


@pytest.mark.parametrize("text", ["1e400", "-1e400", "9" * 400])
def test_a_number_that_no_float_holds_is_a_wrong_answer_and_ends_nothing(text: str) -> None:
    assert read("json_schema", text, {"schema": {"multipleOf": 0.5}}) == Reading(0.0)


def test_a_schema_follows_the_draft_it_names() -> None:
    tuple_of_two = {"items": [{"type": "integer"}, {"type": "string"}]}

    named = {**tuple_of_two, "$schema": "http://json-schema.org/draft-07/schema#"}
    assert [value("json_schema", text, {"schema": named}) for text in ('["x", 1]', '[1, "x"]')] == [0, 1]
    assert "no valid schema" in str(read("json_schema", '["x", 1]', {"schema": tuple_of_two}).error)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("fields", "text", "problem"),
    [
        ({}, "{}", "no `schema`"),
        ({"schema": {"type": "objekt"}}, "{}", "no valid schema"),
        ({"schema": 3}, "{}", "no valid schema"),
        ({"schema": "{"}, "{}", "no valid schema"),
        ({"schema": {"$ref": "https://example.com/schema.json"}}, "{}", "which is not in it"),
        ({"schema": {"$ref": "#"}}, "{}", "without end"),
        ({"schema": {"pattern": "^(a|aa|a?a)+$"}}, json.dumps("a" * 60 + "!"), "took longer"),
        ({"schema": {"patternProperties": {"^(a|aa|a?a)+$": {}}}}, json.dumps({"a" * 60 + "!": 1}), "took longer"),
        ({"schema": {"pattern": "a" * 2001}}, json.dumps("a"), "longer than 2000"),
        ({"schema": {"allOf": [{"pattern": "a{1,2}" * 400}]}}, json.dumps("a"), "longer than 2000"),
        (
            {"schema": {"unevaluatedProperties": False, "allOf": [{"patternProperties": {"^(a|aa|a?a)+$": {}}}]}},
            json.dumps({"a" * 60 + "!": 1}),
            "`unevaluatedProperties` beside `patternProperties` is not supported",
        ),
    ],
)
def test_a_schema_that_cannot_be_used_is_the_documents_fault(fields: dict[str, Any], text: str, problem: str) -> None:
    reading = read("json_schema", text, fields)

    assert reading.value is None and problem in str(reading.error)


def test_an_answer_that_is_no_json_is_unparsed_under_a_schema() -> None:
    assert read("json_schema", "Lima", {"schema": SCHEMA}) == Reading(0.0, parsed=False)
    assert read("json_schema", "[" * 5000, {"schema": SCHEMA}) == Reading(0.0, parsed=False)


LIMA = {"name": "weather", "arguments": {"city": "Lima", "days": 2}}
TIME = {"name": "time", "arguments": {"zone": "PET", "precise": True}}


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>\n{"name": "weather", "arguments": {"days": 2.0, "city": "Lima"}}\n</tool_call>',
        'I will look.<tool_call>{"name": "weather", "arguments": {"city": "Lima", "days": 2}}',
        '<tool_call>[{"name": "weather", "arguments": {"city": "Lima", "days": 2}}]</tool_call>',
        '{"name": "weather", "parameters": {"city": "Lima", "days": 2}}',
        '{"name": "weather", "arguments": "{\\"city\\": \\"Lima\\", \\"days\\": 2}"}',
        '{"tool_calls": [{"function": {"name": "weather", "arguments": {"city": "Lima", "days": 2}}, "id": "1"}]}',
        '[TOOL_CALLS] [{"name": "weather", "arguments": {"city": "Lima", "days": 2}}]',
        '```json\n{"name": "weather", "arguments": {"city": "Lima", "days": 2}}\n```',
    ],
)
def test_a_call_is_recognised_however_it_is_written(text: str) -> None:
    assert value("tool_call", text, {"calls": [LIMA]}) == 1
    assert value("tool_call", text, {"answer": json.dumps(LIMA)}) == 1
    assert value("tool_call", text, {"calls": [{**LIMA, "arguments": {"city": "Lima", "days": 3}}]}) == 0


def written(*calls: dict[str, Any]) -> str:
    return "".join(f"<tool_call>{json.dumps(call)}</tool_call>" for call in calls)


@pytest.mark.parametrize(
    ("text", "calls", "whole", "name"),
    [
        (written(TIME, LIMA), [LIMA, TIME], 1, 1),
        (written(LIMA), [LIMA, TIME], 0, 0),
        (written(LIMA, LIMA), [LIMA], 0, 0),
        (written(LIMA), [LIMA, LIMA], 0, 0),
        (written({"name": "weather", "arguments": {}}), [LIMA], 0, 1),
        (written({**TIME, "arguments": {"zone": "PET", "precise": 1}}), [TIME], 0, 1),
        (written({**LIMA, "arguments": {"city": "lima", "days": 2}}), [LIMA], 0, 1),
        ("No tool is needed.", [], 1, 1),
        ('{"answer": 42}', [], 1, 1),
        (written(LIMA), [], 0, 0),
    ],
)
def test_calls_are_a_bag_of_names_and_arguments(text: str, calls: list[Any], whole: int, name: int) -> None:
    assert (value("tool_call", text, {"calls": calls}), value("tool_name", text, {"calls": calls})) == (whole, name)


def test_the_order_of_calls_counts_only_if_it_is_asked_for() -> None:
    assert value("tool_call", written(TIME, LIMA), {"calls": [LIMA, TIME]}, ordered=True) == 0
    assert value("tool_call", written(LIMA, TIME), {"calls": [LIMA, TIME]}, ordered=True) == 1


@pytest.mark.parametrize(
    "text",
    [
        "It is sunny.",
        "<tool_call>{broken</tool_call>",
        "<tool_call></tool_call>",
        '{"name": 3, "arguments": {}}',
        '{"name": "weather", "arguments": "not json"}',
        '{"name": "weather", "arguments": [1]}',
        "[TOOL_CALLS] weather",
        "<tool_call>" * 2000,
    ],
)
def test_a_call_that_cannot_be_read_is_unparsed(text: str) -> None:
    assert read("tool_call", text, {"calls": [LIMA]}) == Reading(0.0, parsed=False)


def test_a_document_without_calls_is_its_own_fault() -> None:
    for fields in ({}, {"calls": [{"arguments": {}}]}, {"calls": 3}, {"calls": "<tool_call>{"}):
        assert "no `calls`" in str(read("tool_call", written(LIMA), fields).error)


HUMAN_EVAL = {
    "prompt": "def add(a, b):\n    '''Adds.'''\n",
    "entry_point": "add",
    "test": "def check(candidate):\n    assert candidate(1, 2) == 3\n",
}


@pytest.mark.parametrize(
    "text",
    [
        "    return a + b\n",
        "```python\ndef add(a, b):\n    return a + b\n```\nThat is it.",
        "Sure:\n```\nreturn a + b\n```",
        "def add(a, b):\n    return b + a",
    ],
)
def test_programs_are_put_together_as_human_eval_does(text: str) -> None:
    scope: dict[str, Any] = {}
    exec(compile(program(text, HUMAN_EVAL), "program", "exec"), scope)

    assert scope["add"](2, 3) == 5
    with pytest.raises(AssertionError):
        exec(program(text.replace("+", "-"), HUMAN_EVAL), {})


def test_what_a_prompt_imports_is_there_for_an_answer_that_writes_the_function_anew() -> None:
    answer = "```python\ndef add(a: List[int]) -> int:\n    return half(sum(a))\n```"
    given = "from typing import List\n\ndef half(x):\n    return x / 2\n\n\n"
    fields = {**HUMAN_EVAL, "test": "def check(candidate):\n    assert candidate([1, 3]) == 2"}

    exec(program(answer, {**fields, "prompt": given + "def add(a: List[int]) -> int:\n"}), {})
    in_prose = program(answer, {**fields, "prompt": f"Please complete this:\n{given}def add(a: List[int]):\n"})
    assert in_prose.startswith("def add(")


def test_listed_tests_follow_the_answer() -> None:
    fields = {"tests": ["assert double(2) == 4", "assert double(-1) == -2"]}

    exec(program("```python\ndef double(x):\n    return 2 * x\n```", fields), {})
    with pytest.raises(AssertionError):
        exec(program("def double(x):\n    return x ** 2", fields), {})


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"metric": "rouge3"}, "unknown metric 'rouge3'.*did you mean 'rouge"),
        ({"metric": "rouge1", "stem": True}, "unknown setting 'stem'; known: use_stemmer"),
        ({"metric": "rouge1", "use_stemmer": "yes"}, "use_stemmer cannot be 'yes'"),
        ({"metric": "numeric", "tolerance": -1}, "must not be negative"),
        ({"metric": "numeric", "tolerance": True}, "tolerance cannot be True"),
        ({"metric": "numeric", "take": "middle"}, "neither first nor last"),
        ({"metric": "label"}, "must list at least two"),
        ({"metric": "label", "labels": ["yes"]}, "must list at least two"),
        ({"metric": "label", "labels": ["yes", "no"], "take": "any"}, "none of only, first, last"),
        ({"metric": "regex_match", "pattern": "("}, "missing"),
        ({"metric": "regex_match", "pattern": "a" * 2001}, "longer than 2000"),
        ({"metric": "json_schema", "schema": {"type": "objekt"}}, "no valid schema"),
        ({"metric": "bleu", "tokenize": "mecab"}, "none of 13a"),
        ({"metric": "code", "timeout_s": 600}, "between 0 and 60"),
    ],
)
def test_a_metric_that_cannot_work_is_refused_before_anything_runs(entry: dict[str, Any], message: str) -> None:
    suite = suite_of(kind="generation", primary_metric=entry["metric"])

    with pytest.raises(UsageError, match=message) as caught:
        choose(suite, [entry])
    assert caught.value.where == "suite tests"


def test_an_answer_of_which_nothing_could_be_read_is_0_under_every_metric() -> None:
    fields = {"answer": "yes", "schema": {}, "calls": [], "pattern": ".*", "tests": ["pass"]}
    for name, metric in METRICS.items():
        chosen = Chosen(metric, {"labels": ["yes", "no"]} if name == "label" else {})
        right = "3" if name == "numeric" else "yes"
        if not metric.runs_code:
            readings = measure(chosen, [Answered("yes", (right,), fields, read=False)]).readings
            assert readings == [Reading(0.0, parsed=False)], name


def test_comparison_knows_that_every_metric_is_better_higher_and_bounded() -> None:
    import numpy as np

    values = np.array([0.0, 0.5, 1.0])
    for name in METRICS:
        scale = Scale.of(suite_of(kind="generation", primary_metric=name), values, values)
        assert (scale.sign, scale.bound) == (1, 1.0)
    assert not LOWER_IS_BETTER & set(METRICS)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda v: st.lists(v, max_size=3)))
def test_json_text_is_read_back(given_value: Any) -> None:
    assert read_json(json.dumps(given_value), strict=True) == (True, given_value)
