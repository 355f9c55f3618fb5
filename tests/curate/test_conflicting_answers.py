from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from record_makers import chat, document, preference

from workbench.core.curation import CurateConfig
from workbench.core.records import Message, Record, Source, ToolCall, record_id
from workbench.curate.filters.conflicting_answers import FILTER
from workbench.curate.filters.contract import Subject

CAPITAL = "What is the capital of Australia?"
REFRIGERANT = (
    "A refrigerant takes up warmth outside, a compressor makes it hotter, and a condenser gives it off indoors."
)
CONFIG = CurateConfig()


def judged(records: Sequence[Record]) -> dict[int, tuple[str, str]]:
    """Row to reason and detail, through the keys alone."""
    keyed = [(row, FILTER.key(Subject(record), CONFIG)) for row, record in enumerate(records)]
    kept = [(row, key) for row, key in keyed if key is not None]
    assert all(len(key) == FILTER.width and all(0 <= part < 2**64 for part in key) for _, key in kept)
    rows = np.array([row for row, _ in kept], dtype=np.int64)
    keys = np.array([key for _, key in kept], dtype=np.uint64).reshape(len(kept), FILTER.width)
    found = list(FILTER.judge(rows, keys, CONFIG))
    assert all(verdict.action == "flag" and verdict.reason in FILTER.reasons for _, verdict in found)
    assert len({(row, verdict.reason) for row, verdict in found}) == len(found)
    return {row: (verdict.reason, verdict.detail) for row, verdict in found}


def conflicts(question: str, *answers: str) -> bool:
    return bool(judged([chat(question, answer) for answer in answers]))


def test_rows_that_answer_a_question_differently_are_all_flagged_with_their_numbers() -> None:
    found = judged(
        [
            chat(CAPITAL, "Sydney"),
            chat("Something else entirely?", "Sydney"),
            chat(CAPITAL, "Canberra."),
            chat(CAPITAL, "canberra"),
        ]
    )
    assert list(found) == [0, 2, 3]
    said = "2 different answers to this prompt in 3 rows, 1 of them with what this one says"
    assert found[0] == ("conflicting_answers", said)
    assert found[3][1].endswith("in 3 rows, 2 of them with what this one says")


@pytest.mark.parametrize(
    "question, answers",
    [
        ("How many legs do two spiders have?", ("16", "12")),
        ("How many legs do two spiders have?", ("They have 16 legs.", "Together they have 12 legs")),
        ("What does it cost to the cent?", ("1.5", "15")),
        ("What does it cost to the cent?", ("-5", "5")),
        ("Is the following review positive or negative? Good film!", ("positive", "It is negative.")),
        ("Is a tomato a fruit, strictly speaking?", ("Yes, it is, botanically.", "No, it is a vegetable.")),
        ("Which of the four is right? A, B, C or D?", ("A", "B")),
        ("Which of the four is right? A, B, C or D?", ("Because of x, the answer is A", "As it is x, the answer is C")),
        ("Ann had 3 apples and ate one. How many?", ("3 - 1 = 2\n#### 2", "3 + 1 = 4\n#### 4")),
        ("法国的首都是哪里？", ("巴黎", "里昂")),
        (
            "How does a heat pump warm a house?",
            (
                REFRIGERANT,
                "Mix the flour with water and yeast, let the dough rest for an hour, then bake it until it is brown.",
            ),
        ),
    ],
)
def test_different_answers_conflict(question: str, answers: tuple[str, ...]) -> None:
    assert conflicts(question, *answers)


@pytest.mark.parametrize(
    "question, answers",
    [
        (CAPITAL, ("Canberra", "canberra.", "It is Canberra", "The capital of Australia is Canberra.")),
        ("How many legs do two spiders have?", ("They have 16 legs in all", "16", "2 * 8 = 16\n#### 16")),
        ("Is a tomato a fruit, strictly speaking?", ("Yes.", "Yes, botanically it is a fruit.", "True")),
        (
            "How does a heat pump warm a house?",
            (
                REFRIGERANT,
                "Outside, a refrigerant takes up heat; a compressor makes it hotter, a condenser lets it go inside.",
            ),
        ),
        ("Write a poem about the rain in spring.", ("Drip drop", "Grey skies weep")),
        ("I am bored. Please suggest a game for two.", ("Chess", "Go")),
        ("Give me three colours of the flag, any flag.", ("red, white, blue", "black, red, gold")),
        ("Pick a random number below one hundred.", ("17", "64")),
        ("Continue.", ("And so", "But then")),
        ("Hello there!", ("Hi", "Good morning to you")),
        ("写一首关于春雨的诗。", ("细雨", "春风")),
        ("<image>What is shown in this picture?", ("A cat", "A dog")),
    ],
)
def test_the_same_in_other_words_and_free_tasks_do_not_conflict(question: str, answers: tuple[str, ...]) -> None:
    assert not conflicts(question, *answers)


def conversation(*contents: str, system: str = "Be brief.", tools: str | None = None) -> Record:
    roles = ("user", "assistant") * len(contents)
    turns = (
        Message(role="system", content=system),
        *(Message(role=role, content=text) for role, text in zip(roles, contents, strict=False)),
    )
    return Record(id=record_id("chat", turns), kind="chat", messages=turns, tools=tools, source=Source(dataset="data"))


def test_everything_before_the_answer_belongs_to_the_prompt() -> None:
    base = conversation(CAPITAL, "Sydney")
    assert list(judged([base, conversation(CAPITAL, "Canberra")])) == [0, 1]
    assert judged([base, conversation(CAPITAL, "Canberra", system="Be right.")]) == {}
    assert judged([base, conversation(CAPITAL, "Canberra", tools="[]")]) == {}
    assert judged([base, conversation("Hello", "Hi", CAPITAL, "Canberra")]) == {}
    later = [conversation("Who won the cup in 1990?", "Germany", "In 1994?", text) for text in "XY"]
    assert list(judged(later)) == [0, 1]


def test_different_tool_calls_conflict() -> None:
    calls = [(ToolCall(name="weather", arguments=f'{{"city": "{city}"}}'),) for city in ("Lima", "Lima", "Quito")]
    question = "What is the weather like in the capital of Peru?"
    assert list(judged([chat(question, "", calls=call) for call in calls])) == [0, 1, 2]
    assert judged([chat(question, "", calls=call) for call in calls[:2]]) == {}


def test_preferences_that_contradict_each_other_are_flagged() -> None:
    found = judged(
        [
            preference(CAPITAL, "Canberra", "Sydney"),
            preference(CAPITAL, "Sydney", "Perth"),
            preference(CAPITAL, "Hobart", "Darwin"),
            preference("Capital of the Netherlands?", "Sydney", "Canberra"),
        ]
    )
    assert {row: reason for row, (reason, _) in found.items()} == dict.fromkeys((0, 1), "contradicting_preferences")
    assert found[0][1] == "its bad answer is the good one in 1 other rows with this prompt"
    assert found[1][1] == "its good answer is the bad one in 1 other rows with this prompt"
    assert judged([preference(CAPITAL, "Canberra", "Sydney"), preference(CAPITAL, "Canberra", "Perth")]) == {}


def test_thumbs_contradict_only_if_they_say_the_same() -> None:
    up, down = chat(CAPITAL, "Canberra", label=True), chat(CAPITAL, "Canberra", label=False)
    assert {reason for reason, _ in judged([up, down]).values()} == {"contradicting_preferences"}
    assert judged([up, chat(CAPITAL, "Sydney", label=False), chat(CAPITAL, "It's Canberra", label=True)]) == {}


def test_documents_and_empty_answers_have_nothing_to_contradict() -> None:
    assert judged([document("A text"), document("A text"), chat(CAPITAL, ""), chat(CAPITAL, "Canberra")]) == {}
    assert judged([]) == {}


_ANSWERS = st.sampled_from(["Sydney", "Canberra", "It is Canberra", "Perth", "The capital is Sydney"])


@given(st.lists(_ANSWERS, max_size=8), st.randoms())
def test_the_order_of_the_rows_decides_nothing(answers: list[str], shuffler: object) -> None:
    records = [chat(CAPITAL, answer) for answer in answers]
    order = list(range(len(records)))
    shuffler.shuffle(order)
    straight, shuffled = judged(records), judged([records[row] for row in order])
    assert {order[row]: found for row, found in shuffled.items()} == straight


@pytest.mark.timeout(20)
def test_many_answers_to_one_prompt_end() -> None:
    found = judged([chat(CAPITAL, f"City{number} of the {number}th region") for number in range(3000)])
    assert len(found) == 3000
