from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from workbench.text.piece_pairs import pieces_and_pairs

WHITE_SPACE = "".join(chr(code) for code in range(0x110000) if chr(code).isspace())
TEXTS = st.text(alphabet=st.sampled_from("ab\x00\x7f" + "".join(c for c in WHITE_SPACE if c.isascii())), max_size=80)


def by_hand(text: str) -> tuple[int, int]:
    pieces = text.split()
    return len(pieces), len(set(pairwise(pieces)))


@given(TEXTS)
def test_pairs_of_ascii_are_those_of_python(text: str) -> None:
    assert pieces_and_pairs(text) == by_hand(text)


@given(st.text(alphabet=st.sampled_from("aé字" + WHITE_SPACE), max_size=80))
def test_pairs_of_other_texts_are_those_of_python(text: str) -> None:
    assert pieces_and_pairs(text) == by_hand(text)


def test_a_long_text_has_as_many_pairs_as_it_should() -> None:
    text = " ".join(str(number % 30_000) for number in range(100_000))
    assert pieces_and_pairs(text) == (100_000, 30_000)


def test_pairs_are_told_apart_by_their_order() -> None:
    assert pieces_and_pairs("a b a") == (3, 2)
    assert pieces_and_pairs("a b a b a") == (5, 2)


def test_without_numba_the_numbers_are_the_same() -> None:
    shown = subprocess.run(
        [
            sys.executable,
            "-c",
            "from workbench.text.piece_pairs import pieces_and_pairs as f; print(f('so it goes and so it goes'))",
        ],
        env={"WORKBENCH_NO_NUMBA": "1", "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.strip() == str(pieces_and_pairs("so it goes and so it goes")) == "(7, 4)"
