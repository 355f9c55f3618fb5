"""Prompt and completion, or question and answer.

    {"prompt": "Capital of Peru?", "completion": "Lima"}                 ->  user, assistant
    {"question": "2 + 2?", "answer": "2 + 2 = 4\\n#### 4"}                ->  user, assistant, the answer as it stands
    {"context": "Lima is...", "question": "Where?", "answers": {"text": ["Lima"]}}
                                             ->  user "Lima is...\\n\\nWhere?", assistant "Lima"
    {"question": "Largest planet?", "choices": ["Mars", "Jupiter"], "answer": 1}
                                             ->  user "Largest planet?\\nA. Mars\\nB. Jupiter", assistant "B. Jupiter"

A prompt or completion may also be a list of messages. An `instruction` stands above the prompt, an `input` below.
"""

from __future__ import annotations

from typing import Any

from workbench.core.records import Message
from workbench.ingest.formats import choices as multiple_choice
from workbench.ingest.formats.choices import choices_of, chosen, refuse_lone_key, with_choices
from workbench.ingest.formats.shape import (
    LABEL_COLUMNS,
    SYSTEM_COLUMNS,
    TOOL_COLUMNS,
    Format,
    Parsed,
    as_text,
    asked,
    column_names,
    first_of,
    has,
    label_of,
    refuse_media,
    system_of,
    tools_of,
)
from workbench.ingest.formats.turns import checked_chat, conversation, with_system
from workbench.ingest.rows import Row, RowProblem

_PROMPTS = ("prompt", "question")
_ANSWERS = ("completion", "response", "output", "answer", "answers")


def fits(row: Row) -> bool:
    """A prompt or question, and something that answers it."""
    return first_of(row, _PROMPTS) is not None and _answer_column(row) is not None


def parse(row: Row) -> Parsed:
    """A chat of one exchange, or of the messages given."""
    refuse_media(row)
    answer_column = _answer_column(row)
    if answer_column is None:
        raise RowProblem("missing_column", f"no column {_ANSWERS[0]!r}; the row has {column_names(row)}")
    answer = row[answer_column]
    prompt = prompt_turns(row)
    if len(prompt) == 1 and (choices := choices_of(row)):
        prompt = (Message(role="user", content=with_choices(prompt[0].content, choices)),)
        answer = chosen(answer, choices, answer_column)
    else:
        refuse_lone_key(row, answer, answer_column)
    messages = with_system(system_of(row), prompt + _answer(answer, answer_column))
    return Parsed("chat", checked_chat(messages), label=label_of(row), tools=tools_of(row))


def _answer_column(row: Row) -> str | None:
    has_choices = first_of(row, multiple_choice.COLUMNS) is not None or has(row, "A", "B")
    return first_of(row, _ANSWERS) or (first_of(row, multiple_choice.KEYS) if has_choices else None)


def prompt_turns(row: Row) -> tuple[Message, ...]:
    """The turns before the answer, from `prompt` or `question` and what stands beside it."""
    column = first_of(row, _PROMPTS)
    if column is None:
        raise RowProblem("missing_column", f"no column {_PROMPTS[0]!r}; the row has {column_names(row)}")
    if isinstance(row[column], list):
        return conversation(row[column], column)
    return (Message(role="user", content=asked(row, column)),)


def _answer(value: Any, column: str) -> tuple[Message, ...]:
    if column == "answers":
        value = _first_answer(value)
    if isinstance(value, list):
        return conversation(value, column)
    return (Message(role="assistant", content=as_text(value, f"column {column!r}")),)


def _first_answer(value: Any) -> Any:
    """The first of several right answers, given as a list or, as SQuAD does, as a list under `text`."""
    answers = value.get("text") if isinstance(value, dict) else value
    if not isinstance(answers, list) or not answers:
        raise RowProblem("no_answer", "answers holds no answer")
    return answers[0]


FORMAT = Format(
    "prompt_completion",
    (
        *(*_PROMPTS, *_ANSWERS, "context", "instruction", "input"),
        *(*multiple_choice.COLUMNS, *multiple_choice.LETTERS, *multiple_choice.KEYS),
        *(*SYSTEM_COLUMNS, *LABEL_COLUMNS, *TOOL_COLUMNS),
    ),
    fits,
    parse,
)
