"""Prompt and completion, or question and answer.

    {"prompt": "Capital of Peru?", "completion": "Lima"}                 ->  user, assistant
    {"question": "2 + 2?", "answer": "2 + 2 = 4\\n#### 4"}                ->  user, assistant, the answer as it stands
    {"context": "Lima is...", "question": "Where?", "answers": {"text": ["Lima"]}}
                                             ->  user "Lima is...\\n\\nWhere?", assistant "Lima"

A prompt or completion may also be a list of messages.
"""

from __future__ import annotations

from typing import Any

from workbench.core.records import Message
from workbench.ingest.formats.shape import (
    Format,
    Parsed,
    as_text,
    column_names,
    column_text,
    first_of,
    label_of,
    optional_text,
    refuse_media,
    tools_of,
)
from workbench.ingest.formats.turns import checked_chat, conversation, with_system
from workbench.ingest.rows import Row, RowProblem

_PROMPTS = ("prompt", "question")
_ANSWERS = ("completion", "response", "output", "answer", "answers")


def fits(row: Row) -> bool:
    """A prompt or question, and something that answers it."""
    return first_of(row, _PROMPTS) is not None and first_of(row, _ANSWERS) is not None


def parse(row: Row) -> Parsed:
    """A chat of one exchange, or of the messages given."""
    refuse_media(row)
    answer_column = first_of(row, _ANSWERS)
    if answer_column is None:
        raise RowProblem("missing_column", f"no column {_ANSWERS[0]!r}; the row has {column_names(row)}")
    messages = with_system(optional_text(row, "system"), prompt_turns(row) + _answer(row[answer_column], answer_column))
    return Parsed("chat", checked_chat(messages), label=label_of(row), tools=tools_of(row))


def prompt_turns(row: Row) -> tuple[Message, ...]:
    """The turns before the answer, from `prompt` or `question`; a context stands above the question."""
    column = first_of(row, _PROMPTS)
    if column is None:
        raise RowProblem("missing_column", f"no column {_PROMPTS[0]!r}; the row has {column_names(row)}")
    if isinstance(row[column], list):
        return conversation(row[column], column)
    text = column_text(row, column)
    if not text.strip():
        raise RowProblem("no_prompt", f"{column} is blank")
    context = optional_text(row, "context")
    return (Message(role="user", content=f"{context}\n\n{text}" if context.strip() else text),)


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
    "prompt_completion", (*_PROMPTS, *_ANSWERS, "context", "system", "label", "kto_tag", "tools"), fits, parse
)
