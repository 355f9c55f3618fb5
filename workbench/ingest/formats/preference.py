"""Preference: one prompt, a chosen and a rejected answer.

    {"prompt": "Capital of Peru?", "chosen": "Lima", "rejected": "Cusco"}
    {"conversations": [{"from": "human", "value": "Capital of Peru?"}],
     "chosen": {"from": "gpt", "value": "Lima"}, "rejected": {"from": "gpt", "value": "Cusco"}}
    {"chosen_messages": [<user>, <assistant>], "rejected_messages": [<user>, <assistant>]}
    {"chosen": "\\n\\nHuman: Capital of Peru?\\n\\nAssistant: Lima", "rejected": "\\n\\nHuman: ... Cusco"}
    ->  messages (user "Capital of Peru?"), chosen "Lima", rejected "Cusco"

Answers may be texts, messages, or whole conversations (messages or a transcript) that agree up to their last turn.
"""

from __future__ import annotations

import re
from typing import Any

from workbench.core.records import Message
from workbench.ingest.formats.alpaca import history
from workbench.ingest.formats.prompt_completion import prompt_turns
from workbench.ingest.formats.shape import (
    SYSTEM_COLUMNS,
    TOOL_COLUMNS,
    Format,
    Parsed,
    as_text,
    asked,
    column_names,
    first_of,
    has,
    refuse_media,
    system_of,
    tools_of,
)
from workbench.ingest.formats.turns import conversation, message, with_system
from workbench.ingest.rows import Row, RowProblem

_PAIRS = (("chosen_messages", "rejected_messages"), ("chosen", "rejected"))
_TRANSCRIPT_START = "\n\nHuman:"
_SPEAKER = re.compile(r"\n\n(Human|Assistant):")
_TURNS = ("conversations", "messages", "conversation")


def fits(row: Row) -> bool:
    """A chosen and a rejected answer."""
    return any(has(row, *pair) for pair in _PAIRS)


def parse(row: Row) -> Parsed:
    """The prompt's turns and the two endings. Raises RowProblem `prompts_differ` if the two do not answer the same."""
    refuse_media(row)
    pair = next((pair for pair in _PAIRS if has(row, *pair)), None)
    if pair is None:
        raise RowProblem("missing_column", f"no columns 'chosen' and 'rejected'; the row has {column_names(row)}")
    before_chosen, chosen = _ending(row[pair[0]], pair[0])
    before_rejected, rejected = _ending(row[pair[1]], pair[1])
    if before_chosen != before_rejected:
        raise RowProblem("prompts_differ", "the chosen and the rejected conversation differ before their last turn")
    prompt = with_system(system_of(row), before_chosen or _prompt(row))
    if not any(turn.role == "user" for turn in prompt):
        raise RowProblem("no_prompt", "no user turn to answer")
    return Parsed("preference", prompt, chosen, rejected, tools=tools_of(row))


def _prompt(row: Row) -> tuple[Message, ...]:
    if column := first_of(row, _TURNS):
        return conversation(row[column], column)
    if has(row, "instruction"):
        return (*history(row.get("history")), Message(role="user", content=asked(row, "instruction")))
    return prompt_turns(row)


def _ending(value: Any, column: str) -> tuple[tuple[Message, ...], Message]:
    """The turns before the last, and the last, which must be the assistant's."""
    if isinstance(value, dict):
        turns: tuple[Message, ...] = (message(value, column),)
    elif isinstance(value, list):
        turns = conversation(value, column)
    elif isinstance(value, str) and value.startswith(_TRANSCRIPT_START):
        turns = _transcript(value)
    else:
        turns = (Message(role="assistant", content=as_text(value, f"column {column!r}")),)
    if not turns or turns[-1].role != "assistant":
        raise RowProblem("no_answer", f"{column} does not end with the assistant's turn")
    return turns[:-1], turns[-1]


def _transcript(text: str) -> tuple[Message, ...]:
    """Turns of a text in which each begins with a blank line and its speaker."""
    _, *pieces = _SPEAKER.split(text)
    speakers, said = pieces[::2], pieces[1::2]
    return tuple(
        Message(role="user" if speaker == "Human" else "assistant", content=content.removeprefix(" "))
        for speaker, content in zip(speakers, said, strict=True)
    )


FORMAT = Format(
    "preference",
    (
        *(column for pair in _PAIRS for column in pair),
        *_TURNS,
        *("prompt", "question", "context", "instruction", "input", "history", *SYSTEM_COLUMNS, *TOOL_COLUMNS),
    ),
    fits,
    parse,
)
