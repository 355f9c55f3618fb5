from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from workbench.text.novelty import KnownTexts, rouge_l

WORDS = st.lists(st.sampled_from(["ant", "bee", "cat", "dog"]), max_size=9)


def longest_common_subsequence(left: list[str], right: list[str]) -> int:
    """The textbook table."""
    table = [[0] * (len(right) + 1) for _ in range(len(left) + 1)]
    for i, a in enumerate(left):
        for j, b in enumerate(right):
            table[i + 1][j + 1] = table[i][j] + 1 if a == b else max(table[i][j + 1], table[i + 1][j])
    return table[-1][-1]


@given(WORDS, WORDS)
def test_rouge_l_is_the_f1_of_the_longest_common_subsequence(left: list[str], right: list[str]) -> None:
    measured = rouge_l(" ".join(left), " ".join(right))
    if not left or not right:
        assert measured == (1.0 if left == right else 0.0)
        return
    lcs = longest_common_subsequence(left, right)
    precision, recall = lcs / len(right), lcs / len(left)
    expected = 2 * precision * recall / (precision + recall) if lcs else 0.0
    assert abs(measured - expected) < 1e-12


@given(st.lists(WORDS, min_size=1, max_size=6), WORDS)
def test_nearest_is_the_earliest_text_of_the_highest_rouge_l(earlier: list[list[str]], text: list[str]) -> None:
    known = [" ".join(one) for one in earlier]
    scores = [rouge_l(" ".join(text), one) for one in known]
    found = KnownTexts(known).nearest(" ".join(text))
    assert found is not None
    assert abs(found.score - max(scores)) < 1e-12
    assert found.text == known[scores.index(max(scores))]


def test_nothing_is_near_where_nothing_is_known_or_reaches_the_limit() -> None:
    known = KnownTexts()
    assert known.nearest("How do I sort a list?") is None
    known.add("How do I sort a list?")
    assert known.nearest("Name three rivers", at_least=0.7) is None
    assert known.nearest("HOW do I sort a tuple?", at_least=0.7) is not None


def test_more_words_than_fit_below_the_surrogates_stay_apart() -> None:
    known = KnownTexts([" ".join(f"w{number}" for number in range(60_000))])
    found = known.nearest("w55296 w57343 w59999")
    assert found is not None
    assert abs(found.score - 2 * 3 / 60_003) < 1e-12
