"""Alpaca: an instruction, perhaps an input, and the output.

    {"instruction": "Translate to French.", "input": "cat", "output": "chat", "system": "Be brief.",
     "history": [["Hello", "Hi!"]]}
    ->  system "Be brief.", user "Hello", assistant "Hi!", user "Translate to French.\\ncat", assistant "chat"

Instruction and input are joined by one line break; a `context` stands above them. The answers in
`history` are earlier turns of the conversation.
"""

from __future__ import annotations

from typing import Any

from workbench.core.records import Message
from workbench.ingest.formats.shape import (
    LABEL_COLUMNS,
    SYSTEM_COLUMNS,
    TOOL_COLUMNS,
    Format,
    Parsed,
    as_text,
    asked,
    column_text,
    first_of,
    has,
    label_of,
    refuse_media,
    system_of,
    tools_of,
)
from workbench.ingest.formats.turns import checked_chat, with_system
from workbench.ingest.rows import Row, RowProblem

_ANSWERS = ("output", "response", "completion", "answer")


def fits(row: Row) -> bool:
    """An instruction and an answer."""
    return has(row, "instruction") and first_of(row, _ANSWERS) is not None


def parse(row: Row) -> Parsed:
    """A chat of one exchange, behind system turn and history where there are any."""
    refuse_media(row)
    exchange = (
        Message(role="user", content=asked(row, "instruction")),
        Message(role="assistant", content=column_text(row, first_of(row, _ANSWERS) or "output")),
    )
    messages = with_system(system_of(row), history(row.get("history")) + exchange)
    return Parsed("chat", checked_chat(messages), label=label_of(row), tools=tools_of(row))


def history(value: Any) -> tuple[Message, ...]:
    """Earlier exchanges from a list of [question, answer] pairs."""
    if not value:
        return ()
    if not isinstance(value, list) or any(not isinstance(pair, list) or len(pair) != 2 for pair in value):
        raise RowProblem("bad_content", "history is not a list of [question, answer] pairs")
    turns: list[Message] = []
    for question, answer in value:
        turns.append(Message(role="user", content=as_text(question, "history")))
        turns.append(Message(role="assistant", content=as_text(answer, "history")))
    return tuple(turns)


FORMAT = Format(
    "alpaca",
    ("instruction", "input", "context", *_ANSWERS, "history", *SYSTEM_COLUMNS, *LABEL_COLUMNS, *TOOL_COLUMNS),
    fits,
    parse,
)
