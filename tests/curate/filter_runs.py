"""Filters run on one record, as the stage runs them."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.core.curation import CurateConfig
from workbench.core.records import Message, Record, Source, ToolCall, record_id
from workbench.curate.filters.contract import Filter, Subject


def verdicts(one: Filter, record: Record, **settings: object) -> list[tuple[str, str]]:
    """Action and reason of everything one filter has against a record."""
    return [(found.action, found.reason) for found in one.check(Subject(record), CurateConfig(**settings))]


def repaired(one: Filter, record: Record) -> Record | None:
    """The record as one filter repairs it; None if it leaves it as it is."""
    assert one.repair is not None
    repairs = one.repair(record, CurateConfig())
    return repairs[-1].record if repairs else None


def everything(filters: Sequence[Filter], record: Record) -> list[tuple[str, str]]:
    """Action and reason of all repairs and then of all verdicts on the repaired record."""
    found: list[tuple[str, str]] = []
    for one in filters:
        for repair in one.repair(record, CurateConfig()) if one.repair else ():
            found.append(("repair", repair.reason))
            record = repair.record
    for one in filters:
        found.extend(verdicts(one, record))
    return found


def turns(*said: tuple[str, str] | Message) -> Record:
    """A conversation of (role, content) pairs or messages."""
    messages = tuple(
        turn if isinstance(turn, Message) else Message.model_validate({"role": turn[0], "content": turn[1]})
        for turn in said
    )
    return Record(id=record_id("chat", messages), kind="chat", messages=messages, source=Source(dataset="data", row=0))


def calling(content: str = "", name: str = "weather") -> Message:
    """A turn of the assistant that calls a tool."""
    return Message(role="assistant", content=content, tool_calls=(ToolCall(name=name, arguments="{}"),))
