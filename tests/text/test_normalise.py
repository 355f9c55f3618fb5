from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.text.normalise import normalised, same_text, words

ANY_TEXT = st.text()


@given(ANY_TEXT)
def test_normalising_twice_changes_nothing_more(text: str) -> None:
    assert normalised(normalised(text)) == normalised(text)


@given(ANY_TEXT)
def test_normalised_text_is_nfkc_and_has_single_spaces(text: str) -> None:
    result = normalised(text)
    assert unicodedata.is_normalized("NFKC", result)
    assert result == " ".join(result.split())


@given(st.text(alphabet=st.characters(max_codepoint=127)))
def test_ascii_text_is_lower_cased_and_its_white_space_collapsed(text: str) -> None:
    assert normalised(text) == " ".join(text.lower().split())


def test_width_ligatures_and_case_do_not_tell_texts_apart() -> None:
    assert normalised("Ｆｕｌｌ  ﬁles\n") == normalised("full\u00a0FILES") == "full files"
    assert normalised("Straße") == normalised("STRASSE")


def test_words_are_lower_case_runs_of_letters_digits_and_underscores() -> None:
    assert words("Don't panic: os_path 42!") == ["don", "t", "panic", "os_path", "42"]
    assert words("...") == []


@given(st.text() | st.text(st.sampled_from("aA \t\n\u3000\u00a0ﬁＡ⁶ßİ\u0301éｶﾞ")))
def test_the_same_text_twice_changes_nothing_more_and_is_canonical(text: str) -> None:
    once = same_text(text)
    assert same_text(once) == once
    assert unicodedata.is_normalized("NFC", once)
    assert once.split() == " ".join(once.split()).split(" ") or not once


@pytest.mark.parametrize(
    "left, right",
    [
        ("10⁶", "106"), ("5²", "52"), ("H₂O", "H2O"), ("1½", "11/2"), ("①", "1"), ("ℝ", "R"), ("𝐱", "x"),
        ("if x:\n    a()\nb()", "if x:\n    a()\n    b()"), ("a\n\tb", "a\n    b"), ("- a\n  - b", "- a\n- b"),
    ],
)  # fmt: skip
def test_forms_with_a_meaning_and_indentation_tell_texts_apart(left: str, right: str) -> None:
    assert same_text(left) != same_text(right)


@pytest.mark.parametrize(
    "left, right",
    [
        ("Ｆｕｌｌ　ﬁles\n", "full\u00a0FILES"), ("Straße", "STRASSE"), ("cafe\u0301", "CAFÉ"), ("ｶﾞ", "ガ"), ("ﺍ", "ا"),
        ("one\ntwo", "one two"), ("  a\n b", "a\n b  \n"), ("if x:\n    a()  +  b", "IF x:\n\n    a() + b"),
        ("一\n\u3000二", "一 二"),
    ],
)  # fmt: skip
def test_case_width_and_other_white_space_do_not(left: str, right: str) -> None:
    assert same_text(left) == same_text(right)
