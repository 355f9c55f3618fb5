"""`workbench judge score`: the document, the text, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from in_process import workbench

from workbench.core.errors import UsageError

HOSTILE = "a\x1b[2J\ud800"


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    rows = [
        {"question_id": n // 2, "turn": 1 + n % 2, "judge": judge, "model_1": HOSTILE, "model_2": "b", "winner": won}
        for judge in ("gpt", "other")
        for n, won in enumerate(["model_1", "model_2", "model_2", "tie", "error", "model_2"])
    ]
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


def test_one_document_and_readable_text_without_control_characters(pairs: Path) -> None:
    document = workbench("judge", "score", str(pairs), "--json").document
    assert document["schema_version"] == 1
    (pair,) = document["pairs"]
    assert (pair["n"], pair["failed"], pair["wins"], pair["draws"]) == (10, 2, 6, 2)
    assert document["among_judges"]["value"] == 1.0
    text = workbench("judge", "score", str(pairs)).out
    assert "win rate 70.00 %" in text
    assert "choose one with --judge" in text
    assert "\x1b" not in text


def test_one_judge_and_one_turn_can_be_chosen(pairs: Path) -> None:
    found = workbench("judge", "score", str(pairs), "--judge", "gpt", "--turn", "2", "--json").document
    assert (found["rows"], found["pairs"][0]["n"], found["pairs"][0]["wins"]) == (3, 3, 2)
    with pytest.raises(UsageError, match="no row is left") as caught:
        workbench("judge", "score", str(pairs), "--judge", "nobody")
    assert "gpt, other" in str(caught.value)


def test_agreement_with_people_stands_beside_the_rates(pairs: Path) -> None:
    found = workbench("judge", "score", str(pairs), "--judge", "gpt", "--people", str(pairs), "--json").document
    assert found["people"]["agreement"]["value"] == 1.0
    assert found["people"]["contests"] == 5
    text = workbench("judge", "score", str(pairs), "--judge", "gpt", "--people", str(pairs)).out
    assert "people: 5 pairs in common" in text
    assert found["people"]["votes"] == 5  # those of `other`: a judge is none of the people
    with pytest.raises(UsageError, match="others than the judge"):
        workbench("judge", "score", str(pairs), "--people", str(pairs))


def test_people_on_other_questions_are_refused(pairs: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.jsonl"
    row = {"question_id": 99, "model_1": "a", "model_2": "b", "winner": "tie", "judge": "x"}
    other.write_text(json.dumps(row), encoding="utf-8")
    with pytest.raises(UsageError, match="no pair of answers in common"):
        workbench("judge", "score", str(pairs), "--people", str(other))
