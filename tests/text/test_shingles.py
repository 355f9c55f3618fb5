from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from workbench.text.normalise import words
from workbench.text.shingles import jaccard, ngrams, shingles, token_count, token_places, tokens

SMALL_SETS = st.sets(st.sampled_from("abcdefgh"))


def test_shingles_are_the_set_of_word_ngrams() -> None:
    assert shingles("The cat sat on the mat", 5) == {"the cat sat on the", "cat sat on the mat"}


def test_a_text_with_fewer_words_than_n_is_one_shingle_and_one_without_words_none() -> None:
    assert shingles("The cat", 5) == {"the cat"}
    assert shingles("?!", 5) == set()


def test_scripts_without_spaces_give_character_ngrams_also_in_mixed_text() -> None:
    assert shingles("机器学习很好", 4) == {"机 器 学 习", "器 学 习 很", "学 习 很 好"}
    assert tokens("用 Python3 写代码。") == ["用", "python3", "写", "代", "码"]
    assert tokens("ひらがなとカタカナ") == list("ひらがなとカタカナ")


@given(st.text(alphabet=st.characters(max_codepoint=0x0DFF)))
def test_tokens_of_scripts_with_spaces_are_their_words(text: str) -> None:
    assert tokens(text) == words(text)


@given(st.text() | st.text(alphabet=st.characters(max_codepoint=0x7F)))
def test_tokens_are_counted_as_they_are_found(text: str) -> None:
    assert token_count(text) == len(tokens(text))


@given(st.text())
def test_places_of_tokens_hold_the_tokens(text: str) -> None:
    places = token_places(text)
    assert len(places) == len(tokens(text))
    assert all(start < end for start, end in places)
    if len(text.lower()) == len(text):
        assert [text.lower()[start:end] for start, end in places] == tokens(text)


@given(st.lists(st.sampled_from("abc"), max_size=12), st.integers(1, 6))
def test_ngrams_are_all_windows(sequence: list[str], n: int) -> None:
    windows = [tuple(sequence[start : start + n]) for start in range(max(len(sequence) - n + 1, 1 if sequence else 0))]
    assert ngrams(sequence, n) == windows


@given(SMALL_SETS, SMALL_SETS)
def test_jaccard_is_intersection_over_union(left: set[str], right: set[str]) -> None:
    expected = len(left & right) / len(left | right) if left | right else 0.0
    assert jaccard(left, right) == jaccard(right, left) == expected
