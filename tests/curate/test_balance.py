from __future__ import annotations

import math
import pickle
import random
from collections import Counter
from fractions import Fraction
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from record_makers import chat, document

from workbench.core.curation import CurateConfig
from workbench.core.errors import UsageError
from workbench.core.funnel import BalanceTable
from workbench.core.records import Message, Record, Source, ToolCall, record_id
from workbench.curate.balance import Tally, Traits, allowed_rows, answer_class, length_band, style, traits
from workbench.curate.filters.contract import Subject
from workbench.curate.filters.over_represented import FILTER
from workbench.curate.value_counts import ValueCounts
from workbench.text.shingles import tokens


def on(topic: str | None, number: int, dataset: str = "data") -> Record:
    """A row of a topic."""
    record = chat(f"Question {number} on {topic}?", f"Answer {number}")
    return record.model_copy(update={"topic": topic, "source": Source(dataset=dataset, row=number)})


# Traits.


def test_the_traits_of_a_row() -> None:
    record = chat("How do I get a copy of my last bill?", "Ask us!").model_copy(update={"topic": "billing"})
    found = traits(Subject(record))
    assert found == Traits(
        row_id=record.id,
        topic="billing",
        dataset="data",
        answer="ask us",
        length="6-15 words",
        style="how",
        language="en",
        prompt="How do I get a copy of my last bill?",
    )
    assert pickle.loads(pickle.dumps(found)) == found


def test_traits_stay_small_whatever_the_record() -> None:
    record = chat("why " * 100_000, "so " * 100_000).model_copy(update={"topic": "t" * 100_000})
    assert len(pickle.dumps(traits(Subject(record)))) < 1_000


@pytest.mark.parametrize(
    "record, expected",
    [
        (chat("Q?", "Yes."), "yes"),
        (chat("Q?", " YES "), "yes"),
        (chat("Q?", "not at all likely"), "not at all likely"),
        (chat("Q?", "one two three four five"), "(longer)"),
        (chat("Q?", "x" * 41), "(longer)"),
        (chat("Q?", "", calls=(ToolCall(name="f", arguments="{}"),)), "(tool call)"),
        (document("Yes"), "(document)"),
    ],
)
def test_short_answers_are_classes(record: Record, expected: str) -> None:
    assert answer_class(Subject(record)) == expected


def test_length_bands_leave_no_gap() -> None:
    bands = [length_band(length) for length in range(3_000)]
    assert bands[0] == "0 words" and bands[1] == bands[5] == "1-5 words" and bands[6] == "6-15 words"
    assert bands[2_000] == "1001-2000 words" and bands[2_001] == bands[-1] == "over 2000 words"
    assert len(set(bands)) == sum(left != right for left, right in pairwise(bands)) + 1


@pytest.mark.parametrize(
    "question, answer, expected",
    [
        ("What is the capital?", "Lima", "what"),
        ("Please write a poem", "Rain", "write"),
        ("1. Explain this.", "So", "explain"),
        ("How?", "```\nx\n```", "how, with code"),
        ("Fix it:\n    def f(x): return x", "There", "fix, with code"),
        ("写一首诗", "雨", "写一"),
        ("?!", "What?", "(no words)"),
    ],
)
def test_the_style_is_how_the_prompt_opens(question: str, answer: str, expected: str) -> None:
    assert style(chat(question, answer)) == expected


def test_the_style_tells_conversations_and_documents() -> None:
    turns = tuple(Message(role=role, content="And now?") for role in ("user", "assistant", "user", "assistant"))
    record = Record(id=record_id("chat", turns), kind="chat", messages=turns, source=Source(dataset="data"))
    assert style(record) == "and, several turns"
    assert style(document("Once upon a time")) == "(document)"


# Tables.


def table_of(tally: Tally, by: str) -> BalanceTable:
    return next(table for table in tally.tables() if table.by == by)


def test_tables_count_the_rows_and_give_the_effective_number() -> None:
    tally = Tally()
    for number in range(1000):
        tally.add(traits(Subject(on("billing" if number % 100 else "refunds", number))))
    topic = table_of(tally, "topic")
    assert [(group.value, group.rows, group.share) for group in topic.groups] == [
        ("billing", 990, 0.99),
        ("refunds", 10, 0.01),
    ]
    assert topic.distinct == 2
    assert topic.effective == pytest.approx(math.exp(-0.99 * math.log(0.99) - 0.01 * math.log(0.01)))
    assert table_of(tally, "dataset").effective == pytest.approx(1)
    assert len(table_of(tally, "answer").groups) == 10 and table_of(tally, "answer").distinct == 1000


def test_a_trait_that_no_row_has_gets_no_table() -> None:
    tally = Tally()
    assert tally.tables() == ()
    tally.add(traits(Subject(on(None, 1))))
    assert [table.by for table in tally.tables()] == ["dataset", "answer", "length", "style", "language"]


@given(st.lists(st.sampled_from("abcdefghijklmnop"), min_size=1, max_size=60))
def test_counts_are_exact_while_the_values_are_few(values: list[str]) -> None:
    counts = ValueCounts()
    for value in values:
        counts.add(value)
    table, truth = counts.table("topic"), Counter(values)
    shares = np.array(list(truth.values())) / len(values)
    assert counts.exact and table.distinct == len(truth)
    assert table.effective == pytest.approx(float(np.exp(-(shares * np.log(shares)).sum())))
    assert [group.rows for group in table.groups] == sorted(truth.values(), reverse=True)[:10]
    assert all(truth[group.value] == group.rows for group in table.groups)


@pytest.mark.parametrize("tail", [40_000, 4_000], ids=["many rare values", "fewer"])
def test_many_values_are_estimated_well_in_little_memory(tail: int) -> None:
    generator = np.random.default_rng(7)
    values = [f"frequent{rank}" for rank in range(12) for _ in range(4_000 - 200 * rank)]
    values += [f"rare{number}" for number in generator.integers(0, tail, 60_000)]
    generator.shuffle(values)
    counts = ValueCounts(exact_up_to=1_000, counters=500)
    for value in values:
        counts.add(value)
    table, truth = counts.table("topic"), Counter(values)
    shares = np.array(list(truth.values())) / len(values)
    assert not counts.exact
    assert len(counts._sampled) <= 1_000 and len(counts._frequent) <= 500
    assert [group.value for group in table.groups] == [f"frequent{rank}" for rank in range(10)]
    assert all(0 <= truth[group.value] - group.rows <= len(values) / 500 for group in table.groups)
    assert table.distinct == pytest.approx(len(truth), rel=0.15)
    assert table.effective == pytest.approx(float(np.exp(-(shares * np.log(shares)).sum())), rel=0.15)


def test_distinct_2_counts_different_word_pairs() -> None:
    prompts = ["the cat sat on the mat", "the cat sat on the rug", "a dog ran"]
    tally = Tally()
    for prompt in prompts:
        tally.add(traits(Subject(chat(prompt, "ok"))))
    pairs = [pair for prompt in prompts for pair in pairwise(tokens(prompt))]
    assert tally.distinct_2() == pytest.approx(len(set(pairs)) / len(pairs))
    empty = Tally()
    empty.add(traits(Subject(document("No prompt here"))))
    assert empty.distinct_2() is None


def test_distinct_2_samples_the_same_prompts_in_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.curate.balance._PROMPT_SAMPLE", 50)
    rows = [traits(Subject(chat(f"Tell about {number % 7} and {number}", "ok"))) for number in range(300)]
    results = set()
    for seed in range(3):
        tally = Tally()
        for row in random.Random(seed).sample(rows, len(rows)):
            tally.add(row)
        assert len(tally._prompts) == 50
        results.add(tally.distinct_2())
    assert len(results) == 1


# The limit.


def most_rows(counts: list[int], share: Fraction, others: int) -> int:
    """Most rows of all selections whose groups have at most `share` of them: tried one by one."""
    totals = [
        sum(kept) + others
        for kept in product(*(range(count + 1) for count in counts))
        if all(part <= share * (sum(kept) + others) for part in kept)
    ]
    return max(totals)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.integers(0, 7), max_size=4),
    st.fractions(Fraction(1, 20), 1, max_denominator=20),
    st.integers(0, 5),
)
def test_the_largest_selection_with_the_share_is_found(counts: list[int], share: Fraction, others: int) -> None:
    cap = allowed_rows(counts, share, others)
    kept = [min(count, cap) for count in counts]
    total = sum(kept) + others
    assert all(part <= share * total for part in kept)
    assert total == most_rows(counts, share, others)


def dropped(records: list[Record], **balance: Any) -> set[int]:
    config = CurateConfig.model_validate({"balance": balance})
    keyed = [(row, FILTER.key(Subject(record), config)) for row, record in enumerate(records)]
    kept = [(row, key) for row, key in keyed if key is not None]
    rows = np.array([row for row, _ in kept], dtype=np.int64)
    keys = np.array([key for _, key in kept], dtype=np.uint64).reshape(len(kept), FILTER.width)
    found = list(FILTER.judge(rows, keys, config))
    assert all((verdict.reason, verdict.action) == ("over_represented", "drop") for _, verdict in found)
    return {row for row, _ in found}


def data(**sizes: int) -> list[Record]:
    return [on(None if topic == "none" else topic, number) for topic, size in sizes.items() for number in range(size)]


def test_a_topic_holds_its_share_of_what_is_left() -> None:
    records = data(billing=812, delivery=100, refunds=88)
    gone = dropped(records, max_share=0.5)
    left = Counter(record.topic for row, record in enumerate(records) if row not in gone)
    assert left == {"billing": 188, "delivery": 100, "refunds": 88}
    config = CurateConfig.model_validate({"balance": {"max_share": 0.5}})
    keys = np.array([FILTER.key(Subject(record), config) for record in records], dtype=np.uint64)
    _, verdict = next(FILTER.judge(np.arange(1000), keys, config))
    assert verdict.detail == "812 of 1000 kept rows have its topic (share 0.812, limit 0.5); 188 of then 376 stay"


def test_shares_are_what_they_are_written_as() -> None:
    # 0.1 as a float is more than a tenth: 1 of 10 is within, and 0.3 * 10 rounds up to 3.0000000000000004.
    assert dropped(data(a=1, b=1, c=1, d=1, e=1, f=1, g=1, h=1, i=1, j=1), max_share=0.1) == set()
    assert len(dropped(data(a=4, b=3, c=3), max_share=0.34)) == 1


def test_rows_without_a_topic_count_and_stay() -> None:
    records = data(billing=30, none=10)
    gone = dropped(records, max_share=0.5)
    assert len(gone) == 20 and all(records[row].topic == "billing" for row in gone)
    assert dropped(data(none=10), max_share=0.5) == set()


def test_the_choice_does_not_depend_on_the_order_of_the_rows() -> None:
    records = data(billing=60, delivery=20, refunds=20)
    gone = {records[row].id for row in dropped(records, max_share=0.4)}
    mixed = random.Random(3).sample(records, len(records))
    assert {mixed[row].id for row in dropped(mixed, max_share=0.4)} == gone != set()


def test_other_traits_can_be_limited() -> None:
    yes = [chat(f"Is {number} prime, do you think?", "Yes.") for number in range(30)]
    no = [chat(f"Is {number} prime, do you think?", "No.") for number in range(10)]
    assert len(dropped(yes + no, max_share=0.5, by="answer")) == 20
    named = [on("t", number, dataset) for dataset, size in (("a", 9), ("b", 3)) for number in range(size)]
    assert len(dropped(named, max_share=0.5, by="dataset")) == 6
    styles = [chat(f"What is {number}?", "x") for number in range(5)] + [chat("How is it?", "x")]
    assert len(dropped(styles, max_share=0.5, by="style")) == 4
    lengths = [chat("Say it " * size, "x") for size in (1, 1, 1, 40)]
    assert len(dropped(lengths, max_share=0.5, by="length")) == 2


def test_without_a_limit_nothing_is_kept_of_any_row() -> None:
    assert FILTER.key(Subject(on("billing", 1)), CurateConfig()) is None
    assert dropped(data(billing=5)) == set() and dropped([], max_share=0.5) == set()


def test_an_impossible_share_is_refused_with_the_smallest_that_works() -> None:
    with pytest.raises(UsageError, match=r"a topic in it has at most 0\.3 of each") as refused:
        dropped(data(billing=5, refunds=5), max_share=0.3)
    assert "raise it to 0.5" in str(refused.value.next_step) and refused.value.where == "curate.balance.max_share"
    with pytest.raises(UsageError) as refused:
        dropped(data(a=5, b=5, c=5), max_share=0.3)
    assert "raise it to 0.334" in str(refused.value.next_step)
    assert dropped(data(a=5, b=5, c=5), max_share=0.334) == set()
    assert dropped(data(billing=5, refunds=5), max_share=0.5) == set()


def test_the_stage_reports_the_balance_of_what_it_keeps_and_enforces_a_limit(curate: Any) -> None:
    records = [
        chat(f"What should I know about {subject}?", f"{subject.capitalize()} matter most in {season}.").model_copy(
            update={"topic": topic, "source": Source(dataset="data", row=row)}
        )
        for row, (subject, season, topic) in enumerate(
            [
                *((f"pipe {number}", "winter", "billing") for number in "abcdefgh"),
                ("roofs", "autumn", "refunds"),
                ("lawns", "summer", "refunds"),
            ]
        )
    ]
    free = curate(records, near_duplicates={"enabled": False}, decontamination={"enabled": False})
    tables = {table.by: table for table in free.funnel.balance}
    assert [(group.value, group.rows) for group in tables["topic"].groups] == [("billing", 8), ("refunds", 2)]
    limited = curate(
        records, near_duplicates={"enabled": False}, decontamination={"enabled": False}, balance={"max_share": 0.5}
    )
    assert Counter(record.topic for record in limited.records) == {"billing": 2, "refunds": 2}
    assert {finding.reason for drop in limited.dropped for finding in drop.findings} == {"over_represented"}
    assert next(table for table in limited.funnel.balance if table.by == "topic").groups[0].share == 0.5
