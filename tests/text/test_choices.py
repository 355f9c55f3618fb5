from __future__ import annotations

import pytest

from workbench.text.choices import without_choices

QUESTION = "Which planet of the solar system has the shortest day?"


@pytest.mark.parametrize(
    "prompt",
    [
        f"{QUESTION}\nA. Mars\nB. Jupiter\nC. Venus\nAnswer:",
        f"{QUESTION}\nOptions:\n(A) Mars\n(B) Jupiter",
        f"{QUESTION}\nOptions:\n- Mars \n- Jupiter",
        f"{QUESTION}\n\nChoices:\n1) Mars\n2) Jupiter\n",
        f"{QUESTION}\na) Mars\n\nb) Jupiter\n\nThe correct answer is",
        f"{QUESTION} (A) Mars (B) Jupiter (C) Venus",
        f"{QUESTION}\nAnswer choices: A) Mars B) Jupiter C) Venus\nAnswer:",
        f"A. Mars\nB. Jupiter\n{QUESTION}",
    ],
)
def test_the_question_is_found_without_its_choices(prompt: str) -> None:
    assert without_choices(prompt) == QUESTION


@pytest.mark.parametrize(
    "prompt",
    [
        QUESTION,
        "Write a list:\n- apples\n- pears",
        "Do this:\n1. Open the file.\n2. Close the file.",
        "A. Lincoln was president.\nHe was tall.",
        "I met A. Smith and J. Doe.",
        "B. Mars\nC. Jupiter",
        "",
    ],
)
def test_lists_and_initials_are_no_choices(prompt: str) -> None:
    assert without_choices(prompt) is None


@pytest.mark.parametrize("text", ["A. " * 300_000, "(A) x " * 150_000, "\n" * 500_000, "A. x\n" * 200_000, " " * 10**6])
def test_large_texts_take_linear_time(text: str) -> None:
    without_choices(text)  # the suite's time limit would stop anything quadratic
