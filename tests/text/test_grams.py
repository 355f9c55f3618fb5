from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from itertools import pairwise

import numpy as np
import pytest
from awkward_texts import AWKWARD_TEXTS, made_up_texts
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.text.grams import GramTable, gram_hashes, read_tokens, renumbered_hashes
from workbench.text.normalise import folded_places, folded_tokens

compiling = settings(deadline=None)
"""The first example compiles the loops."""
TEXT = st.text(st.sampled_from("ab Zé'’-_.,0129\n字ไ๑が\u0301\u200bß🙂३"), max_size=40)


def numbered(tokens: list[str]) -> list[int]:
    """Equal tokens get equal numbers."""
    known: dict[str, int] = {}
    return [known.setdefault(token, len(known)) for token in tokens]


def agrees(text: str) -> bool:
    """Whether hashes and words of a text say the same: which tokens are equal, and which are numbers."""
    found, expected = read_tokens([text]), folded_tokens(text)
    same_tokens = numbered(found.hashes.tolist()) == numbered(expected)
    numbers = [set(token) <= set("0123456789.") for token in expected]
    return same_tokens and found.numeric.tolist() == numbers


@compiling
@given(TEXT)
def test_compiled_tokens_are_the_tokens_of_the_reference(text: str) -> None:
    assert agrees(text)


def test_compiled_tokens_are_the_reference_on_awkward_texts() -> None:
    wrong = [text for text in [*AWKWARD_TEXTS, *made_up_texts(1500)] if not agrees(text)]
    assert wrong == []


@compiling
@given(st.text(max_size=60))
def test_any_text_is_read_and_every_token_has_its_place(text: str) -> None:
    places = folded_places(text)
    assert agrees(text)
    assert len(places) == len(folded_tokens(text))
    assert all(start < end <= len(text) for start, end in places)
    assert all(left[0] <= right[0] for left, right in pairwise(places))
    for (start, end), token in zip(places, folded_tokens(text), strict=True):
        assert token in "".join(folded_tokens(text[start:end]))


@pytest.mark.parametrize(
    "text, tokens",
    [
        ("DON’T pay $1,200.50!", ["dont", "pay", "1200.50"]),
        ("1,2,3 and 12,34 and 1,234,567", ["1", "2", "3", "and", "12", "34", "and", "1234567"]),
        ("v3.11.2. End", ["v3.11.2", "end"]),
        ("café cafe\u0301 CAFE", ["cafe", "cafe", "cafe"]),
        ("so\u00adft zero\u200bwidth", ["soft", "zerowidth"]),
        ("Ｆｕｌｌ ﬁne Straße", ["full", "fine", "strasse"]),
        ("水は100度", ["水", "は", "100", "度"]),
        ("हिन्दी", ["हनद"]),
        ('<p>Pay <b>5</b>0 <a href="x.html" >now</a></p>so<br/>', ["pay", "5", "0", "now", "so"]),
        ("a<b and c>d, List<int> <pre-x>", ["a", "b", "and", "c", "d", "list", "int", "pre", "x"]),
        ("'' ’ \u0301", []),
    ],
)
def test_what_a_token_is(text: str, tokens: list[str]) -> None:
    assert folded_tokens(text) == tokens
    assert agrees(text)


@compiling
@given(st.lists(TEXT, max_size=5))
def test_pieces_are_read_one_after_the_other(pieces: list[str]) -> None:
    whole = read_tokens(pieces)
    alone = [read_tokens([piece]) for piece in pieces]
    assert whole.hashes.tolist() == [token for one in alone for token in one.hashes.tolist()]
    for first in range(len(pieces)):
        for last in range(first, len(pieces)):
            joined = read_tokens([" ".join(pieces[first : last + 1])])
            assert whole.sequence(first, last) == joined.sequence(0, 0)
            assert whole.size(first, last) == len(joined.hashes)


def test_no_tag_reaches_from_one_piece_into_the_next() -> None:
    assert read_tokens(["one <p", "b> two", "three"]).ends == [2, 4, 5]


def test_a_separator_inside_a_text_is_white_space() -> None:
    tokens = read_tokens(["one\x1etwo", "three"])
    assert tokens.ends == [2, 3]


@compiling
@given(st.lists(st.sampled_from(["ant", "bee", "7", "8.5"]), max_size=14), st.integers(1, 4))
def test_gram_hashes_are_equal_exactly_where_the_grams_are(words: list[str], n: int) -> None:
    tokens = read_tokens([" ".join(words)])
    grams = [tuple(words[at : at + n]) for at in range(len(words) - n + 1)]
    assert numbered(gram_hashes(tokens.hashes, n).tolist()) == numbered(grams)
    alike = ["0" if word[0] in "78" else word for word in words]
    masked = [tuple(alike[at : at + n]) for at in range(len(words) - n + 1)]
    hashes = renumbered_hashes(tokens, n).tolist()
    assert [value == 0 for value in hashes] == [2 * gram.count("0") > n for gram in masked]
    kept = [(value, gram) for value, gram in zip(hashes, masked, strict=True) if value]
    assert numbered([value for value, _ in kept]) == numbered([gram for _, gram in kept])


@compiling
@given(st.lists(st.integers(0, 40), max_size=60), st.lists(st.integers(0, 60), max_size=30))
def test_a_table_knows_its_grams_and_their_holders(held: list[int], asked: list[int]) -> None:
    pairs = sorted({(gram, place % 7) for place, gram in enumerate(held)})
    factor = np.uint64(0x9E3779B185EBCA87)
    table = GramTable.of(
        np.array([gram for gram, _ in pairs], dtype=np.uint64) * factor,
        np.array([holder for _, holder in pairs], dtype=np.int32),
    )
    places, found = table.known(np.array(asked, dtype=np.uint64) * factor)
    assert places.tolist() == [place for place, gram in enumerate(asked) if gram in held]
    holders, origin = table.holders_of(found)
    named = {(asked[places[at]], holder) for at, holder in zip(origin.tolist(), holders.tolist(), strict=True)}
    assert named == {(gram, holder) for gram, holder in pairs if gram in asked}


@compiling
@given(TEXT, TEXT, st.integers(1, 4), st.booleans())
def test_the_quick_look_says_whether_anything_is_known(left: str, right: str, n: int, alike: bool) -> None:
    ours, theirs = read_tokens([left]), read_tokens([right])

    def grams(tokens: object) -> set[int]:
        found = renumbered_hashes(tokens, n) if alike else gram_hashes(tokens.hashes, n)
        with_number = [tokens.numeric[at : at + n].any() for at in range(len(found))]
        return {gram for gram, has in zip(found.tolist(), with_number, strict=True) if gram and (has or not alike)}

    keys = np.array(sorted(grams(theirs)), dtype=np.uint64)
    table = GramTable.of(keys, np.zeros(len(keys), dtype=np.int32))
    assert table.knows_any(ours, n, alike=alike) is bool(grams(ours) & grams(theirs))


def test_without_a_compiler_everything_is_the_same() -> None:
    program = textwrap.dedent(
        """
        import warnings
        warnings.simplefilter("error")
        from workbench.text.containment import ContainmentIndex
        from workbench.text.grams import read_tokens
        index = ContainmentIndex(["Which planet of the solar system has the shortest day, 7 or 8?", "so it goes on"], 8)
        print(read_tokens(["Don’t pay 1,200"]).sequence(0, 0))
        print(index.search("QUIZ: which planet of the solar system has the shortest day, 9 or 8? So it goes on."))
        """
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"WORKBENCH_NO_NUMBA": switch},
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        ).stdout
        for switch in ("0", "1")
    }
    (output,) = outputs
    assert output.count("Match(") == 2
