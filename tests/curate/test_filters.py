from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from record_makers import chat, document, preference

from workbench.core.config import CurateConfig
from workbench.core.errors import UsageError
from workbench.core.records import Record, ToolCall
from workbench.curate.filters import empty_output, length, output_equals_prompt, repetition, template_leftover
from workbench.curate.filters.contract import Filter, Subject
from workbench.curate.filters.registry import FILTERS, chosen_filters

CIRCLES = "I do not know what to say. " * 3


def verdicts(one: Filter, record: Record, **settings: object) -> list[tuple[str, str]]:
    return [(found.action, found.reason) for found in one.check(Subject(record), CurateConfig(**settings))]


@pytest.mark.parametrize("answer", ["", " \n", "N/A", "<nooutput>", "No output"])
def test_empty_output_drops_answers_that_say_nothing(answer: str) -> None:
    assert verdicts(empty_output.FILTER, chat("Name a prime.", answer)) == [("drop", "empty_output")]


@pytest.mark.parametrize("answer", ["7", "None", "no", "是", "🙂", "0"])
def test_empty_output_keeps_short_answers(answer: str) -> None:
    assert verdicts(empty_output.FILTER, chat("Name a prime.", answer)) == []


def test_empty_output_looks_at_documents_preferences_and_tool_calls() -> None:
    assert verdicts(empty_output.FILTER, document("  ")) == [("drop", "empty_output")]
    assert verdicts(empty_output.FILTER, preference("Q?", "", "no")) == [("drop", "empty_output")]
    assert verdicts(empty_output.FILTER, preference("Q?", "yes", " ")) == [("flag", "empty_rejected")]
    call = ToolCall(name="weather", arguments="{}")
    assert verdicts(empty_output.FILTER, chat("Weather?", "", calls=(call,))) == []


@pytest.mark.parametrize(
    "question, answer, expected",
    [
        ("Name three fruits.", " Name three fruits.\n", "drop"),
        ("Name three fruits.", "name  three FRUITS.", "flag"),
        ("In capitals, please.\nGood day to you", "GOOD DAY TO YOU", "flag"),
        ("Divide into paragraphs.\nOne day. Another day.", "One day.\n\nAnother day.", "flag"),
        ("Translate to French.\nGood day to you", "Good day to you", "drop"),
        ("Correct the grammar.\nShe sings well", "She sings well", "flag"),
        ("Repeat after me", "Repeat after me", "flag"),
        ("Is this spam? Answer\nyes or no", "no", None),
        ("Which one?\nno", "no", None),
        ("Name three fruits.", "Apple, pear, plum.", None),
        ("", "", None),
    ],
)
def test_output_equals_prompt_tells_echoes_from_tasks_that_may_change_nothing(
    question: str, answer: str, expected: str | None
) -> None:
    wanted = [(expected, "output_equals_prompt")] if expected else []
    assert verdicts(output_equals_prompt.FILTER, chat(question, answer)) == wanted
    assert verdicts(output_equals_prompt.FILTER, preference(question, answer, "other")) == wanted


def test_output_equals_prompt_has_nothing_to_say_about_documents() -> None:
    assert verdicts(output_equals_prompt.FILTER, document("A text.")) == []


@pytest.mark.parametrize(
    "record, expected",
    [
        (chat("Who are you?", "Hello, I am {{name}}."), [("drop", "template_placeholder")]),
        (chat("Write to {{ customer }}.", "Dear customer,"), [("flag", "template_placeholder")]),
        (chat("Explain: run: echo ${{ github.ref }}", "It prints ${{ github.ref }}."), []),
        (chat("What does {{ x }} do in Jinja?", "{{ x }} prints x."), [("flag", "template_placeholder")]),
        (document("Set {{name}} in the template."), [("flag", "template_placeholder")]),
        (chat("How in Jinja?", "Write `{{ x }}`, or\n```\n{{ y }}\n```"), []),
        (chat("Sets?", "{1, 2} and {{1, 2}, {3}}"), []),
        (preference("Hi", "Hello.", "I am {{name}}."), [("drop", "template_placeholder")]),
        (chat("Capital?", "Lima.<|im_end|>\n<|im_start|>user\nAnd?"), [("drop", "special_token_in_text")]),
        (chat("[INST] Capital? [/INST]", "Lima."), [("drop", "special_token_in_text")]),
        (chat("Capital?", "Lima.\n\n### Instruction:\nName a river."), [("drop", "run_on_next_example")]),
        (document("# Guide\n### Input:\nA file."), []),
        (chat("Capital?", "Lima, if x <| y and a || b."), []),
    ],
)
def test_template_leftover_finds_what_was_not_filled_in_or_cut_off(
    record: Record, expected: list[tuple[str, str]]
) -> None:
    assert verdicts(template_leftover.FILTER, record) == expected


@pytest.mark.parametrize(
    "answer, repaired",
    [
        ("Lima.<|endoftext|>", "Lima."),
        ("<|im_start|> Lima. <|im_end|>\n<|endoftext|>\n", "Lima."),
        ("<|endoftext|><|endoftext|>", ""),
    ],
)
def test_control_tokens_at_the_ends_are_cut_off(answer: str, repaired: str) -> None:
    (one,) = template_leftover.repair(chat("Capital?", answer))
    assert one.reason == "edge_special_token"
    assert one.record == chat("Capital?", repaired)


@pytest.mark.parametrize("answer", ["Lima <|sep|> Peru", "  Lima. ", ""])
def test_an_answer_without_control_tokens_at_its_ends_is_left_as_it_is(answer: str) -> None:
    assert template_leftover.repair(chat("Capital?", answer)) == []


def test_a_note_that_there_is_no_input_is_removed_from_the_prompt() -> None:
    (one,) = template_leftover.repair(chat("Name a river.\nInput: <noinput>\n", "Rhine"))
    assert (one.reason, one.record.prompt()) == ("input_placeholder", "Name a river.")
    both = template_leftover.repair(chat("Name a river.\n<no input>", "Rhine<|im_end|>"))
    assert [repair.reason for repair in both] == ["edge_special_token", "input_placeholder"]
    assert both[-1].record == chat("Name a river.", "Rhine")


@pytest.mark.parametrize(
    "text",
    ["<|a|>" * 50_000, " " * 300_000 + "x", "input:" * 50_000, "{{" * 100_000, "{{a" + " " * 200_000, "`" * 100_001],
    ids=["tokens", "spaces", "input", "braces", "open placeholder", "ticks"],
)
@pytest.mark.timeout(10)
def test_hostile_texts_do_not_make_the_filters_hang(text: str) -> None:
    record = chat(text, text)
    template_leftover.repair(record)
    for one in FILTERS:
        one.check(Subject(record), CurateConfig())


def test_repetition_measures_repeated_4grams_against_its_limit() -> None:
    # 21 words: 18 4-grams, of which 7 are distinct.
    assert verdicts(repetition.FILTER, chat("Well?", CIRCLES)) == [("drop", "repetition")]
    assert verdicts(repetition.FILTER, chat("Well?", CIRCLES), repetition_max=11 / 18) == []
    assert verdicts(repetition.FILTER, chat("Well?", CIRCLES), repetition_max=0.61) == [("drop", "repetition")]
    (found,) = repetition.check(Subject(document(CIRCLES)), CurateConfig())
    assert "11 of its 18" in found.detail and "0.61" in found.detail


def test_repetition_needs_enough_words_and_looks_at_the_answer_alone() -> None:
    assert verdicts(repetition.FILTER, chat("Well?", "No, no, no, no, no, no, no, no.")) == []
    assert verdicts(repetition.FILTER, chat(CIRCLES, "Something else.")) == []


def test_repetition_counts_longer_runs_where_characters_are_the_tokens() -> None:
    assert verdicts(repetition.FILTER, chat("好?", "我不知道该怎么说。" * 4)) == [("drop", "repetition")]
    honest = "人工智能改变世界,人工智能改变教育,人工智能改变医疗,人工智能改变交通。"
    # Its phrases have six characters in common, never eight.
    assert verdicts(repetition.FILTER, chat("好?", honest), repetition_max=0.001) == []


def test_length_keeps_short_answers_unless_told_otherwise() -> None:
    assert verdicts(length.FILTER, chat("Name a prime.", "7")) == []
    assert verdicts(length.FILTER, chat("Name a prime.", "7"), min_answer_chars=2) == [("drop", "too_short")]
    assert verdicts(length.FILTER, chat("Name a prime.", " ")) == [("drop", "too_short")]
    call = ToolCall(name="weather", arguments="{}")
    assert verdicts(length.FILTER, chat("Weather?", "", calls=(call,))) == []


def test_length_counts_the_words_of_the_whole_record() -> None:
    assert verdicts(length.FILTER, chat("one two three", "four five"), max_words=5) == []
    assert verdicts(length.FILTER, chat("one two three", "four five"), max_words=4) == [("drop", "too_long")]
    assert verdicts(length.FILTER, preference("one", "two", "three four five"), max_words=3) == [("drop", "too_long")]
    assert verdicts(length.FILTER, preference("one", "two", "three four five"), max_words=4) == []
    assert verdicts(length.FILTER, document("机器学习很好"), max_words=5) == [("drop", "too_long")]


def test_the_default_configuration_runs_every_registered_filter() -> None:
    assert set(CurateConfig().filters) == {one.name for one in FILTERS}


def test_filters_come_in_the_order_asked_for_and_each_once() -> None:
    assert [one.name for one in chosen_filters(["length", "repetition", "length"])] == ["length", "repetition"]


def test_an_unknown_filter_is_refused_with_a_suggestion() -> None:
    with pytest.raises(UsageError, match="unknown filter 'repetitions'; did you mean 'repetition'"):
        chosen_filters(["length", "repetitions"])
    with pytest.raises(UsageError, match="known filters: empty_output"):
        chosen_filters(["zzz"])


def test_the_guide_lists_every_filter_and_its_example_works() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "filters.md").read_text(encoding="utf-8")
    assert all(f"| `{one.name}` |" in guide for one in FILTERS)
    source = re.search(r"```python\n(\"\"\"`unclosed_code`.*?FILTER = .*?\n)```\n", guide, re.DOTALL)
    assert source is not None
    namespace: dict[str, Any] = {"__name__": "unclosed_code"}
    exec(source.group(1), namespace)
    assert verdicts(namespace["FILTER"], chat("How?", "```\nprint(1)")) == [("drop", "unclosed_code")]
    assert verdicts(namespace["FILTER"], chat("How?", "```\nprint(1)\n```")) == []
