from __future__ import annotations

import pickle
from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.text.containment import COMMON, ContainmentIndex, Haystack, Needle, common_from, containment
from workbench.text.grams import read_tokens
from workbench.text.normalise import folded_tokens, words

compiling = settings(deadline=None)
"""The first example compiles the loops."""

WORDS = st.lists(st.sampled_from(["ant", "bee", "cat", "dog", "eel", "fox"]), min_size=0, max_size=14)
QUESTION = "Which planet of the solar system has the shortest day, and how long is it?"


@compiling
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


@compiling
@given(WORDS, WORDS, WORDS)
def test_a_needle_inside_a_text_is_contained_whole(before: list[str], needle: list[str], after: list[str]) -> None:
    if len(needle) >= 3:
        found = containment(" ".join(needle), " ".join([*before, *needle, *after]), 3)
        assert found is not None
        assert found.share == 1.0


def longest_stretch(text: list[str], needle: list[str], n: int) -> int:
    """Words of the longest stretch of the text all of whose n-grams are the needle's, by brute force."""
    grams = {tuple(needle[at : at + n]) for at in range(len(needle) - n + 1)}
    return max(
        size
        for size in range(n, len(text) + 1)
        for start in range(len(text) - size + 1)
        if all(tuple(text[at : at + n]) in grams for at in range(start, start + size - n + 1))
    )


@compiling
@given(WORDS, WORDS)
def test_the_span_is_the_longest_stretch_of_shared_ngrams(needle: list[str], text: list[str]) -> None:
    haystack = ", ".join(text).upper()
    found = containment(" ".join(needle), haystack, 2)
    if found is not None:
        assert haystack[found.start : found.end] == found.span
        assert len(words(found.span)) == longest_stretch(text, needle, 2)


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
    assert index.equal("“Yes or no”") == 0
    assert index.equal("yes or no and") is None


@pytest.mark.parametrize("text, is_equal", [("7 + 3 =", True), ("7 +  3 = ?", True), ("7 - 3 =", False), ("73", False)])
def test_signs_of_arithmetic_are_no_punctuation(text: str, is_equal: bool) -> None:
    assert (ContainmentIndex(["7 + 3 ="], ngram=8).equal(text) == 0) is is_equal


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


def test_a_needle_made_of_boilerplate_is_found_where_it_stands_whole() -> None:
    boilerplate = "Read the passage below and answer the question that follows it in one sentence."
    needles = [boilerplate, *(f"{boilerplate} {n} apples cost {n} coins, what do {n} pears cost?" for n in range(30))]
    index = ContainmentIndex(needles, ngram=8)
    assert [(match.needle, match.share) for match in index.search(f"Task. {boilerplate} Well?")] == [(0, 1.0)]
    assert index.search(boilerplate.replace("one sentence", "two words")) == []


def test_one_ngram_is_no_evidence_for_a_page_of_boilerplate() -> None:
    page = " ".join(f"word{number}" for number in range(60))
    needles = [f"{page} {name}" for name in ("ant", *"abcdefghij")]
    index = ContainmentIndex(needles, ngram=8)
    end = " ".join(page.split()[-7:])
    assert index.search(f"{end} ant") == []  # one n-gram, all that tells the first needle from the others
    assert [match.needle for match in index.search(f"{page} ant")] == [0]


def test_needles_of_one_document_count_once_and_sets_apart() -> None:
    shared = "which of the planets in our system has the shortest day of all"
    several = [Needle(f"{shared} {n}", owner=0) for n in range(30)]
    assert len(ContainmentIndex(several, 8).search(shared)) == 30
    sets = [Needle(f"{shared} {n}", group=n) for n in range(30)]
    assert len(ContainmentIndex(sets, 8).search(shared)) == 30
    one_set = [Needle(f"{shared} {n}") for n in range(30)]
    assert ContainmentIndex(one_set, 8).search(shared) == []


def test_own_ngrams_are_told_from_those_of_a_few_neighbours() -> None:
    instruction = "Say in one word whether the writer of the review below liked what they bought."
    needles = [f"{instruction} The {what} came late and broke at once." for what in ("lamp", "coat", "book", "desk")]
    more = [" ".join(f"{letter}{number}" for number in range(20)) for letter in "abcdefgh"]
    index = ContainmentIndex([*needles, *more], 8)

    def own(text: str) -> list[tuple[int, float]]:
        return [(one.needle, one.own) for one in index.candidates(read_tokens([text])) if one.own]

    assert own(f"{instruction} A lovely blue vase, just as in the picture.") == []
    assert own(f"Well. {needles[2]} So?") == [(2, 1.0)]
    (half,) = own(f"{instruction} The coat came late and I do not mind.")
    assert half[0] == 1 and half[1] == 4 / 7  # of the seven 8-grams with the word coat


def test_a_needle_that_is_all_shared_counts_if_all_of_it_is_there() -> None:
    longer = f"{QUESTION} Answer with the planet's name and the number of hours, please."
    index = ContainmentIndex([QUESTION, longer], 8)
    assert {one.needle: one.own for one in index.candidates(read_tokens([f"Quiz. {QUESTION}"]))} == {0: 1.0, 1: 0.0}
    part = " ".join(QUESTION.split()[:10])
    assert {one.needle: one.own for one in index.candidates(read_tokens([part]))} == {0: 0.0, 1: 0.0}


@pytest.mark.parametrize("documents, limit", [(1, 2), (4, 2), (5, 2), (9, 4), (20, 10), (5000, COMMON)])
def test_in_a_small_set_what_half_of_it_shares_is_boilerplate(documents: int, limit: int) -> None:
    assert common_from(documents) == limit


def test_a_needle_for_equality_alone_is_not_found_inside() -> None:
    index = ContainmentIndex([Needle(QUESTION, equal_only=True)], 8)
    assert index.search(f"Quiz. {QUESTION}") == []
    assert index.equal(QUESTION.upper()) == 0


def test_other_numbers_are_told_from_the_same_numbers() -> None:
    index = ContainmentIndex(["Tom buys 12 apples for $1,250.50 and gives 3 of them to each of his friends. Left?"], 8)
    text = "Tom buys 7 apples for $80 and gives 2 of them to each of his friends. Left?"
    (candidate,) = index.candidates(read_tokens([text]))
    assert candidate.renumbered == 1.0
    assert candidate.share < 0.5
    match = index.locate(0, Haystack(text), renumbered=True)
    assert match is not None and match.span == text.rstrip("?")


def test_numbers_alone_are_no_evidence() -> None:
    index = ContainmentIndex(["1 2 3 4 5 6 7 8 9 10 11 12 what comes next"], 8)
    assert index.candidates(read_tokens(["20 30 40 50 60 70 80 90 100 200 300 400"])) == []


@compiling
@given(
    st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=3, max_size=20), min_size=1, max_size=25),
    st.lists(st.sampled_from("abcdefgh"), max_size=30),
)
def test_the_index_agrees_with_brute_force(needles: list[list[str]], text: list[str]) -> None:
    n = 3

    def grams(sequence: list[str]) -> set[tuple[str, ...]]:
        return {tuple(sequence[at : at + n]) for at in range(len(sequence) - n + 1)}

    distinct = {tuple(needle) for needle in needles}
    limit = common_from(len(distinct))
    holders = Counter(gram for needle in distinct for gram in grams([*needle]))
    boilerplate = {gram for gram, count in holders.items() if count > limit}
    expected = {}
    for position, needle in enumerate(needles):
        telling = grams(needle) - boilerplate
        if telling:
            share = len(telling & grams(text)) / len(telling)
        else:
            share = float(any(text[at : at + len(needle)] == needle for at in range(len(text))) and len(needle) >= 4)
        if share:
            expected[position] = share
    index = ContainmentIndex([" ".join(needle) for needle in needles], n)
    assert {match.needle: match.share for match in index.search(" ".join(text))} == expected


def test_ten_thousand_needles_find_their_own_and_survive_pickling() -> None:
    chance = Random(0)
    needles = [" ".join(f"w{chance.randrange(3000)}" for _ in range(20)) for _ in range(10_000)]
    index = pickle.loads(pickle.dumps(ContainmentIndex(needles, 8)))
    for position in (0, 4711, 9999):
        found = index.search(f"before {needles[position].upper()} after")
        assert [(match.needle, match.share) for match in found] == [(position, 1.0)]


@pytest.mark.parametrize("text", ["the " * 50_000, " " * 10**6, "1,111" * 200_000, "A. " * 300_000, "\u0301" * 500_000])
def test_a_large_text_of_the_same_is_searched_in_linear_time(text: str) -> None:
    index = ContainmentIndex([QUESTION, "the the the the the the the the the the", "1,111 the"], 8)
    index.search(text)  # the suite's time limit would stop anything quadratic


@pytest.mark.parametrize(
    "changed",
    [
        QUESTION.upper(),
        QUESTION.replace(" ", "\n* "),
        "Ｗｈｉｃｈ planet of the sólar system has the “shortest” day — and how long is it…",
        QUESTION.replace("solar", "so\u200blar").replace("day", "day\u0301"),
    ],
    ids=["case", "lines", "typography", "invisible"],
)
def test_what_formatting_changes_makes_no_difference(changed: str) -> None:
    found = containment(QUESTION, f"Quiz: {changed}", 8)
    assert found is not None and found.share == 1.0
    assert folded_tokens(found.span) == folded_tokens(QUESTION)
