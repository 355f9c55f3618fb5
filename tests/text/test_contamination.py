from __future__ import annotations

import pickle
from collections.abc import Sequence
from random import Random

import pytest

from workbench.core.records import Message, Record, Source, record_id
from workbench.text.contamination import (
    Contamination,
    EvaluationDocument,
    EvaluationIndex,
    record_document,
    suite_document,
)

QUESTION = "Which planet of the solar system has the shortest day, and how long does that day last?"
ANSWER = "It is Jupiter, the largest of them all, which turns once around itself in a little less than ten hours."
CHOICES = "A. Mars, which is red and cold and far away from us\nB. Jupiter, which is large\nC. Venus, which is hot"


def conversation(*said: str, system: str | None = None) -> Record:
    """User and assistant in turn."""
    turns = tuple(Message(role=("user", "assistant")[place % 2], content=text) for place, text in enumerate(said))
    turns = ((Message(role="system", content=system),) if system else ()) + turns
    return Record(id=record_id("chat", turns), kind="chat", messages=turns, source=Source(dataset="data"))


def document(text: str) -> Record:
    return Record(id=record_id("document", text=text), kind="document", text=text, source=Source(dataset="data"))


def found(record: Record, *documents: EvaluationDocument, least: float = 0.2) -> list[Contamination]:
    return EvaluationIndex([documents], ngram=8).find(record, least)


def kinds(record: Record, *documents: EvaluationDocument) -> list[tuple[str, int]]:
    return [(one.kind, one.document) for one in found(record, *documents)]


ROW = record_document(7, conversation(QUESTION, ANSWER))


@pytest.mark.parametrize(
    "record, kind",
    [
        (conversation(QUESTION, ANSWER), "equal"),
        (conversation(QUESTION.upper(), "I do not know."), "equal"),
        (conversation("Hello there", "Hi!", QUESTION, "I do not know."), "equal"),
        (conversation(QUESTION, "Mars.", system="You are a quiz master."), "equal"),
        (conversation(f"Quiz night! {QUESTION}", "Mars."), "contained"),
        (document(f"{'Some text. ' * 300}{QUESTION}{' More text.' * 300}"), "contained"),
        (conversation("Go on.", ANSWER), "answer"),
    ],
    ids=["whole", "question", "a turn", "beside a system turn", "inside a prompt", "in a long text", "answer alone"],
)
def test_a_row_is_found_in_every_form(record: Record, kind: str) -> None:
    assert kinds(record, ROW) == [(kind, 7)]


def test_a_question_split_over_two_turns_is_found() -> None:
    words = QUESTION.split()
    first, second = " ".join(words[:8]), " ".join(words[8:])
    (one,) = found(conversation(first, "Go on.", second, "Mars."), ROW)
    assert (one.kind, one.share) == ("contained", 1.0)
    assert one.span == f"{first}\n{second}".rstrip("?")


def test_a_question_with_other_numbers_is_told_apart() -> None:
    asked = "Tom buys 12 apples for 30 coins and gives 3 of them to each of his 4 friends. How many has he left?"
    other = "Tom buys 15 apples for 20 coins and gives 2 of them to each of his 5 friends. How many has he left?"
    (one,) = found(conversation(other, "5"), record_document(0, conversation(asked, "0")))
    assert (one.kind, one.share) == ("renumbered", 1.0)
    assert kinds(conversation("Anna sells 15 pears and buys 20 plums. What does she have?", "5"), ROW) == []


def test_a_multiple_choice_is_found_without_its_choices_and_choices_alone_say_nothing() -> None:
    inside, beside = f"{QUESTION}\n{CHOICES}\nAnswer:", CHOICES.split("\n")
    for fields in ({"question": inside}, {"question": QUESTION, "choices": beside}):
        suite = suite_document(3, fields, ("text", "question", "prompt"))
        assert kinds(conversation(QUESTION, "Jupiter."), suite) == [("equal", 3)]
        assert ("contained", 3) in kinds(conversation(f"So. {QUESTION}\n{CHOICES}", "B"), suite)
        assert kinds(conversation(f"Choose.\n{CHOICES}", "B"), suite) == []
    row = record_document(3, conversation(f"{QUESTION}\n{CHOICES}\nAnswer:", "B"))
    assert kinds(conversation(QUESTION, "Jupiter."), row) == [("equal", 3)]
    assert kinds(conversation(f"Choose.\n{CHOICES}", "B"), row) == []


@pytest.mark.parametrize("count", [1, 40])
def test_choices_count_with_a_question_that_says_little_by_itself(count: int) -> None:
    rows = [
        record_document(
            number,
            conversation(
                f"Which is right?\n(A) planet {number} turns once in ten hours and a half\n(B) it never turns", "(A)"
            ),
        )
        for number in range(count)
    ]
    asked = rows[0].prompt
    assert kinds(conversation(asked, "(B)"), *rows) == [("equal", 0)]
    assert kinds(document(f"A riddle. {asked} Well?"), *rows) == [("contained", 0)]
    assert kinds(document(asked.removeprefix("Which is right?")), *rows) == []
    assert kinds(document("A riddle. Which is right? I wonder."), *rows) == []


def test_a_question_that_many_rows_ask_is_no_evidence_but_its_answer_is() -> None:
    rows = [
        record_document(n, conversation("Write a short story about a planet that has no sun.", f"{ANSWER} {n} " * 3))
        for n in range(30)
    ]
    asked = conversation("Write a short story about a planet that has no sun.", "Once upon a time.")
    assert kinds(asked, *rows) == []
    assert ("equal", 12) in kinds(conversation(asked.messages[0].content, f"{ANSWER} 12 " * 3), *rows)


def test_a_short_question_is_looked_for_whole() -> None:
    row = record_document(0, conversation("What is the capital of Peru?", "Lima"))
    assert kinds(conversation("what is the capital of Peru", "I do not know."), row) == [("equal", 0)]
    assert kinds(document("Ask: what is the capital of Peru? Nobody knows."), row) == [("short", 0)]
    greeting = record_document(0, conversation("Hi!", "Hello, how can I help you?"))
    assert kinds(conversation("Hi", "Good morning."), greeting) == []
    assert kinds(conversation("hi", "hello, how can I help you"), greeting) == [("equal", 0)]


def test_a_piece_of_a_long_document_is_found_although_it_is_little_of_it() -> None:
    chance = Random(0)
    page = " ".join(f"word{chance.randrange(500)}" for _ in range(2000))
    (one,) = found(document(page[400:900]), record_document(5, document(page)))
    assert (one.kind, one.document) == ("excerpt", 5)
    assert one.share > 0.9


def test_every_set_gives_its_best_and_boilerplate_is_counted_within_a_set() -> None:
    other = EvaluationDocument(1, f"{QUESTION} Say it in one word.", f"{QUESTION} Say it in one word.")
    index = pickle.loads(pickle.dumps(EvaluationIndex([[ROW], [other, ROW], []], ngram=8)))
    places = [(one.set, one.kind, one.document) for one in index.find(conversation(QUESTION, "Mars."), 0.2)]
    assert places == [(0, "equal", 7), (1, "equal", 7)]


def test_turns_of_a_suite_document_are_looked_for_each() -> None:
    turns = ["Compose an engaging blog post about a recent trip to Hawaii.", "Rewrite it so that all begins with an A."]
    suite = suite_document(0, {"turns": turns}, ("turns",))
    for turn in turns:
        assert kinds(conversation(turn, "Aloha."), suite) == [("equal", 0)]


def test_both_endings_of_a_preference_are_searched() -> None:
    def preference(chosen: str, rejected: str) -> Record:
        asked = (Message(role="user", content="Ask me something."),)
        endings: Sequence[Message] = [Message(role="assistant", content=text) for text in (chosen, rejected)]
        return Record(
            id="0" * 16, kind="preference", messages=asked, chosen=endings[0], rejected=endings[1],
            source=Source(dataset="data"),
        )  # fmt: skip

    for record in (preference(QUESTION, "No."), preference("No.", QUESTION)):
        assert kinds(record, ROW) == [("contained", 7)]


def test_nothing_to_look_for_finds_nothing() -> None:
    empty = suite_document(0, {"passage": QUESTION}, ("text", "question"))
    assert found(conversation(QUESTION, "Mars."), empty) == []
    assert found(conversation("", ""), ROW) == []
    assert EvaluationIndex([], 8).find(conversation(QUESTION, "Mars."), 0.2) == []


INSTRUCTION = (
    "Classify the sentiment of the following customer review as positive or negative and answer with one word only."
)
REVIEWS = ("the movie was a delight", "the lamp is great", "good soup and fine bread", "a lovely quiet room")


def test_an_instruction_of_a_few_documents_is_none_of_them() -> None:
    asked = [f"{INSTRUCTION} Review: {one}" for one in REVIEWS] + [f"{QUESTION} {n} {'x ' * n}" for n in range(7)]
    rows = [record_document(number, conversation(question, "positive")) for number, question in enumerate(asked)]
    (other,) = found(conversation(f"{INSTRUCTION} Review: my new shoes fell apart within a week", "negative"), *rows)
    assert other.share > 0.5 and other.own == 0.0
    (same,) = found(conversation(f"So: {INSTRUCTION.upper()}\n\nReview: {REVIEWS[2]}!", "negative"), *rows)
    assert (same.document, same.share, same.own) == (2, 1.0, 1.0)


def test_of_documents_with_one_passage_the_one_whose_own_words_are_there_is_found() -> None:
    passage = " ".join(f"word{number}" for number in range(80))
    asked = ("Who came first to the house?", "What did the old man carry under his arm?", "Where was the dog all day?")
    rows = [record_document(number, conversation(f"{passage}\n{one}", "x")) for number, one in enumerate(asked)]
    rows += [record_document(9, conversation(f"{QUESTION} {'x ' * number}", ANSWER)) for number in range(9)]
    (one,) = [hit for hit in found(conversation(f"Read. {passage}\n{asked[1]}", "y"), *rows) if hit.kind == "contained"]
    assert (one.document, one.own) == (1, 1.0)
    hits = found(conversation(f"{passage}\nHow many people are there in all of this?", "y"), *rows)
    assert hits and all(hit.share > 0.5 and hit.own < 0.5 for hit in hits)


def test_a_document_that_stands_twice_in_its_set_is_one() -> None:
    (one,) = found(conversation(f"Quiz. {QUESTION}", "Mars."), ROW, record_document(8, conversation(QUESTION, ANSWER)))
    assert (one.share, one.own) == (1.0, 1.0)
