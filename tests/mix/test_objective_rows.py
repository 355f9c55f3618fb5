"""What the mixture counts and keeps depends on what will be learned: both endings, bad answers, whole documents.

One token per word, so that every expected number is counted by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from mix_makers import Mixed, document, pair, pairs

from workbench.core.errors import IncompleteError
from workbench.core.records import Message, Record, Source, record_id

Run = Callable[..., Mixed]


def preference(dataset: str, number: int, chosen_words: int, rejected_words: int) -> Record:
    asked = (Message(role="user", content=f"Question {number} ?"),)
    chosen, rejected = (
        Message(role="assistant", content=" ".join([f"{word}-{number}"] * words))
        for word, words in (("good", chosen_words), ("bad", rejected_words))
    )
    return Record(
        id=record_id("preference", asked, chosen, rejected),
        kind="preference",
        messages=asked,
        chosen=chosen,
        rejected=rejected,
        source=Source(dataset=dataset, row=number),
    )


def test_tokens_of_both_endings_count(mix: Run) -> None:
    mixed = mix([preference("ranked", number, 3, 7) for number in range(5)], objective="dpo")
    assert mixed.summary.trainable_tokens == 5 * (3 + 1 + 7 + 1)
    assert "both endings" in mixed.summary.token_counter
    learned = mix([preference("ranked", number, 3, 7) for number in range(5)], objective="sft")
    assert learned.summary.trainable_tokens == 5 * (3 + 1)


def test_pair_that_loses_the_end_of_either_ending_counts_once(mix: Run) -> None:
    rows = [preference("ranked", 0, 6, 6), preference("ranked", 1, 1, 6), preference("ranked", 2, 1, 1)]
    assert mix(rows, objective="dpo", max_length=12).summary.over_max_length == 2


def test_bad_answers_are_kept_for_kto_alone(mix: Run) -> None:
    rows = [pair("rated", number, 4, label=number % 2 == 0) for number in range(6)]
    assert mix(rows, objective="sft").summary.thumbs_down == 3
    kept = mix(rows, objective="kto")
    assert kept.summary.thumbs_down == 0 and len(kept.rows) == 6
    assert {row.label for row in kept.rows} == {True, False}


def test_long_documents_are_counted_whole_where_they_are_read_in_windows(mix: Run) -> None:
    rows = [document("books", " ".join(f"w{word}" for word in range(200)))]
    cut = mix(rows, objective="sft", max_length=64)
    assert cut.summary.trainable_tokens == 63 and cut.summary.over_max_length == 1
    whole = mix(rows, objective="pretrain", max_length=64)
    # the beginning token is given; 200 words and the end are learned
    assert whole.summary.trainable_tokens == 201 and whole.summary.over_max_length == 0


def test_rows_of_another_kind_end_the_mixture_with_their_number_source_and_objective(mix: Run) -> None:
    rows: list[Any] = [preference("ranked", 0, 3, 3), *pairs("answers", 2, 4)]
    with pytest.raises(IncompleteError) as caught:
        mix(rows, objective="dpo")
    error = caught.value
    assert "2 chat and 1 preference" in error.problem and "(answers)" in error.problem
    assert error.where == "train.objective" and "train.objective: sft" in (error.next_step or "")


def test_source_that_is_not_used_may_have_rows_of_any_kind(mix: Run) -> None:
    rows: list[Any] = [preference("ranked", 0, 3, 3), *pairs("answers", 2, 4)]
    mixed = mix(rows, objective="dpo", shares={"ranked": 1.0})
    assert [row.kind for row in mixed.rows] == ["preference"]


def test_message_names_no_source_that_is_not_used(mix: Run) -> None:
    rows: list[Any] = [preference("ranked", 0, 3, 3), *pairs("answers", 2, 4), *pairs("others", 3, 4)]
    with pytest.raises(IncompleteError, match=r"2 chat .*\(answers\)"):
        mix(rows, objective="dpo", shares={"ranked": 0.5, "answers": 0.5})
