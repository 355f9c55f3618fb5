"""Alpaca: an instruction, perhaps an input, and the output.

    {"instruction": "Translate to French.", "input": "cat", "output": "chat", "system": "Be brief.",
     "history": [["Hello", "Hi!"]]}
    ->  system "Be brief.", user "Hello", assistant "Hi!", user "Translate to French.\\ncat", assistant "chat"

Instruction and input are joined by one line break. The answers in `history` are earlier turns of the conversation.
"""

from __future__ import annotations

from typing import Any

from workbench.core.records import Message
from workbench.ingest.formats.shape import (
    Format,
    Parsed,
    as_text,
    column_text,
    first_of,
    has,
    label_of,
    optional_text,
    refuse_media,
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
    messages = with_system(optional_text(row, "system"), history(row.get("history")) + exchange)
    return Parsed("chat", checked_chat(messages), label=label_of(row), tools=tools_of(row))


def asked(row: Row, column: str) -> str:
    """The instruction with its input; RowProblem `no_prompt` if both are blank."""
    given = optional_text(row, "input")
    instruction = column_text(row, column)
    if not instruction.strip() and not given.strip():
        raise RowProblem("no_prompt", f"{column} and input are blank")
    return f"{instruction}\n{given}" if given.strip() else instruction


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
    "alpaca", ("instruction", "input", *_ANSWERS, "system", "history", "label", "kto_tag", "tools"), fits, parse
)
