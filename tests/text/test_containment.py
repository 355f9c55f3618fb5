from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.text.containment import COMMON, ContainmentIndex, containment
from workbench.text.normalise import words

WORDS = st.lists(st.sampled_from(["ant", "bee", "cat", "dog", "eel", "fox"]), min_size=0, max_size=14)
QUESTION = "Which planet of the solar system has the shortest day, and how long is it?"


@given(WORDS, WORDS, st.integers(2, 4))
def test_share_is_the_share_of_distinct_ngrams(needle: list[str], text: list[str], n: int) -> None:
    def grams(sequence: list[str]) -> set[tuple[str, ...]]:
        return {tuple(sequence[start : start + n]) for start in range(len(sequence) - n + 1)}

    found = containment(" ".join(needle), " ".join(text), n)
    shared = grams(needle) & grams(text)
    if not shared:
        assert found is None
    else:
        assert found is not None
        assert found.share == len(shared) / len(grams(needle))


@given(WORDS, WORDS, WORDS)
def test_a_needle_inside_a_text_is_contained_whole(before: list[str], needle: list[str], after: list[str]) -> None:
    if len(needle) >= 3:
        found = containment(" ".join(needle), " ".join([*before, *needle, *after]), 3)
        assert found is not None
        assert found.share == 1.0


def longest_common_run(left: list[str], right: list[str]) -> int:
    """By brute force."""
    runs = [
        size
        for start in range(len(left))
        for size in range(1, len(left) - start + 1)
        if any(right[at : at + size] == left[start : start + size] for at in range(len(right)))
    ]
    return max(runs, default=0)


@given(WORDS, WORDS)
def test_the_span_is_the_longest_common_run_of_words(needle: list[str], text: list[str]) -> None:
    haystack = ", ".join(text).upper()
    found = containment(" ".join(needle), haystack, 2)
    if found is not None:
        assert haystack[found.start : found.end] == found.span
        assert len(words(found.span)) == longest_common_run(needle, text)
        assert " ".join(words(found.span)) in " ".join(needle)


def test_the_span_is_quoted_as_written_where_lower_casing_changes_the_length() -> None:
    found = containment("the shortest day of all", "İİİ: The  SHORTEST day of all!", 3)
    assert found is not None
    assert found.span == "The  SHORTEST day of all"


@pytest.mark.parametrize(
    "text, is_found",
    [
        ("First: what is the capital of Peru? Lima.", True),
        ("First: what is the capital city of Peru? Lima.", False),
        ("what is the", False),
        ("", False),
    ],
)
def test_a_needle_shorter_than_an_ngram_is_found_only_whole(text: str, is_found: bool) -> None:
    found = ContainmentIndex(["What is the capital of Peru?"], ngram=8).search(text)
    assert bool(found) is is_found
    if is_found:
        assert (found[0].share, found[0].words, found[0].span) == (1.0, 6, "what is the capital of Peru")


def test_needles_of_three_words_are_found_by_equality_alone() -> None:
    index = ContainmentIndex(["Yes or no?"], ngram=8)
    assert index.search("Answer yes or no? Yes.") == []
    assert index.equal("  YES or\nno?") == 0
    assert index.equal("yes or no") is None


def test_boilerplate_of_many_needles_counts_for_none_of_them() -> None:
    boilerplate = "Read the passage below and answer the question that follows it in one sentence."
    needles = [f"{boilerplate} {n} apples cost {n} coins, what do {n} pears cost?" for n in range(30)]
    assert len(needles) > COMMON
    index = ContainmentIndex(needles, ngram=8)
    assert index.search(boilerplate) == []
    whole = index.search(needles[7])
    assert [(match.needle, match.share) for match in whole] == [(7, 1.0)]


def test_copies_of_one_needle_are_not_boilerplate() -> None:
    matches = ContainmentIndex([QUESTION] * 30, ngram=8).search(f"Quiz. {QUESTION}")
    assert [match.share for match in matches] == [1.0] * 30


def test_scripts_without_spaces_are_searched_by_character() -> None:
    found = containment("水的沸点在海平面是多少摄氏度", "问题:水的沸点在海平面是多少摄氏度?答案:一百。", 8)
    assert found is not None
    assert found.share == 1.0
    assert found.span == "水的沸点在海平面是多少摄氏度"
