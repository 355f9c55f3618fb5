from __future__ import annotations

import re
import sys

import numpy as np
from awkward_texts import AWKWARD_TEXTS
from hypothesis import given
from hypothesis import strategies as st

from workbench.text.kernel import tokenise
from workbench.text.shingles import tokens
from workbench.text.tokenising import ALONE, OTHER, WORD, character_classes, packed


def compiled_tokens(text: str) -> list[str]:
    data, offsets = packed([text])
    joined = np.empty(2 * len(data) + 2, dtype=np.uint8)
    begins = np.empty(len(data) + 2, dtype=np.int64)
    count = tokenise(data, offsets[0], offsets[1], character_classes(), joined, begins)
    return [
        bytes(joined[begins[token] : begins[token + 1] - 1]).decode("utf-8", "surrogatepass") for token in range(count)
    ]


def test_every_character_there_is_becomes_the_tokens_that_python_finds() -> None:
    every = "".join(map(chr, range(sys.maxunicode + 1)))
    for start in range(0, len(every), 4096):
        text = every[start : start + 4096]
        assert compiled_tokens(text) == tokens(text)
        apart = " ".join(text)
        assert compiled_tokens(apart) == tokens(apart)


@given(st.text() | st.sampled_from(AWKWARD_TEXTS))
def test_any_text_becomes_the_tokens_that_python_finds(text: str) -> None:
    assert compiled_tokens(text) == tokens(text)


@given(st.text(st.sampled_from("aZ_9 .é\u0301Σİ字かก्\u0e34🙂\ud800\n")))
def test_neighbours_of_all_kinds_become_the_tokens_that_python_finds(text: str) -> None:
    assert compiled_tokens(text) == tokens(text)


def test_letters_of_scripts_without_spaces_stand_alone_and_their_marks_do_not() -> None:
    classes = character_classes()
    assert [classes[ord(character)] for character in "aΣ字ก_ \u0e34🙂"] == [
        WORD, WORD, ALONE, ALONE, WORD, OTHER, OTHER, OTHER,
    ]  # fmt: skip
    letters = np.array([re.match(r"\w", chr(code)) is not None for code in range(0x3000)])
    np.testing.assert_array_equal(classes[:0x3000] != OTHER, letters)


def test_texts_are_packed_one_by_one_so_that_a_final_sigma_stays_final() -> None:
    data, offsets = packed(["ΟΔΟΣ", "ΣΟ", ""])
    assert data.tobytes().decode() == "οδοςσο"
    assert offsets.tolist() == [0, 8, 12, 12]
