from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from workbench.text.normalise import normalised, words

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
