"""Multiple choice: the choices belong to the question, and the answer says which it is.

    {"question": "Largest planet?", "choices": ["Mars", "Jupiter"], "answer": 1}
    {"question": "Largest planet?", "A": "Mars", "B": "Jupiter", "answer": "B"}
    {"question": "Largest planet?", "choices": {"label": ["A", "B"], "text": ["Mars", "Jupiter"]}, "answerKey": "B"}
    ->  user "Largest planet?\\nA. Mars\\nB. Jupiter", assistant "B. Jupiter"

A number counts from 0, as MMLU does. An answer that may mean two of the choices is not guessed at.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from workbench.ingest.formats.shape import as_text, type_name
from workbench.ingest.rows import Row, RowProblem
from workbench.ingest.strict_json import parse
from workbench.text.choices import without_choices

COLUMNS = ("choices", "options")
LETTERS = "ABCDEFGHIJ"
KEYS = ("answerKey", "answer_key", "answer_idx", "answer_index")
"""Columns that name a choice and are no answer without one."""
_KEY = re.compile(r"\(?([A-Za-z]|[0-9]{1,2})\)?[.:]?")
Choices = Sequence[tuple[str, str]]
"""Label and text of each choice."""


def choices_of(row: Row) -> Choices | None:
    """The choices of a row; None if it has none. RowProblem `bad_content` for choices that are no text."""
    for column in COLUMNS:
        value = row.get(column)
        if value is not None and (found := _choices(value, column)):
            return found
    if row.get("A") is None or row.get("B") is None:
        return None
    named = [(letter, row[letter]) for letter in LETTERS if row.get(letter) is not None]
    return [(letter, as_text(value, f"column {letter!r}")) for letter, value in named]


def with_choices(question: str, choices: Choices) -> str:
    """The question with its choices, one per line, unless it lists them already."""
    if without_choices(question) is not None:
        return question
    return "\n".join([question, *(f"{label}. {text}" for label, text in choices)])


def chosen(value: Any, choices: Choices, column: str) -> str:
    """The choice that an answer names, with its label; an answer that names none stays as it is.

    RowProblem `bad_content` for a letter or number that is no choice, or that may be two of them."""
    labels = [label.upper() for label, _ in choices]
    if isinstance(value, int | float) and not isinstance(value, bool):
        written = as_text(value, column)
        found = {labels.index(written)} if written in labels else _at(written, choices)
    else:
        written = as_text(value, f"column {column!r}").strip()
        key = _KEY.fullmatch(written)
        found = {place for place, (_, text) in enumerate(choices) if text.strip() == written}
        if key:
            label = key.group(1).upper()
            found |= {labels.index(label)} if label in labels else _at(label, choices)
        elif not found:
            return as_text(value, column)
    if len(found) != 1:
        what = "may be more than one" if found else "is none"
        problem = f"column {column!r} holds {written!r}, which {what} of the {len(choices)} choices"
        raise RowProblem("bad_content", problem)
    label, text = choices[found.pop()]
    return f"{label}. {text}"


def refuse_lone_key(row: Row, value: Any, column: str) -> None:
    """RowProblem `bad_content` if a row has choices that cannot be read and its answer only says which of them."""
    unread = next((name for name in COLUMNS if row.get(name)), None)
    names_one = column in KEYS or isinstance(value, int) or (isinstance(value, str) and _KEY.fullmatch(value.strip()))
    if names_one and (unread or column in KEYS):
        held = f"{unread} holds {type_name(row[unread])}" if unread else "there are no choices"
        raise RowProblem("bad_content", f"column {column!r} says which of the choices is right, but {held}, no list")


def _choices(value: Any, column: str) -> Choices | None:
    if isinstance(value, str):
        try:
            value = parse(value)
        except RowProblem:  # a text that is no list
            return None
    if isinstance(value, dict) and isinstance(value.get("text"), list):
        texts, labels = value["text"], value.get("label") or list(LETTERS[: len(value["text"])])
        pairs = list(zip(labels, texts, strict=False)) if isinstance(labels, list) else []
    elif isinstance(value, dict):
        pairs = list(value.items()) if all(len(label) == 1 for label in value) else []
    elif isinstance(value, list) and all(isinstance(one, dict) for one in value):
        pairs = [(one.get("label"), one.get("text")) for one in value]
    elif isinstance(value, list) and len(value) <= len(LETTERS):
        pairs = list(zip(LETTERS, value, strict=False))
    else:
        pairs = []
    if len(pairs) < 2 or not all(label and text is not None for label, text in pairs):
        return None
    return [(as_text(label, column), as_text(text, column)) for label, text in pairs]


def _at(written: str, choices: Choices) -> set[int]:
    return {int(written)} if written.isdecimal() and int(written) < len(choices) else set()
