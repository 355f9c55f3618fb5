"""`roles`: who speaks after whom, as chat templates want it.

    user, assistant, user, assistant                             ->  nothing
    user, user, assistant                                        ->  drop  invalid_roles
    assistant, user, assistant                                   ->  drop  invalid_roles
    user, tool, assistant                                        ->  drop  invalid_roles: nobody called a tool
    user, assistant + call, tool, tool, assistant                ->  nothing
    user, assistant, assistant + call, tool, assistant           ->  nothing: it speaks, then calls
    user, assistant, system, user, assistant                     ->  flag  invalid_roles: many templates refuse it
"""

from __future__ import annotations

from workbench.core.curation import CurateConfig
from workbench.core.records import Message
from workbench.curate.filters.contract import Filter, Subject, Verdict


def check(subject: Subject, config: CurateConfig) -> list[Verdict]:
    """Drops conversations whose turns are in an order that no chat has, and flags a system turn in the middle."""
    record = subject.record
    if record.kind == "document":
        return []
    ending = (record.chosen,) if record.kind == "preference" and record.chosen else ()
    turns = (*record.messages, *ending)
    if len(turns) == 2 and turns[0].role == "user" and turns[1].role == "assistant":
        return []
    if problem := _problem(turns):
        return [Verdict("invalid_roles", "drop", problem)]
    if any(turn.role == "system" for turn in turns[1:]):
        place = next(place for place, turn in enumerate(turns) if place and turn.role == "system")
        return [Verdict("invalid_roles", "flag", f"turn {place + 1} is the system's")]
    return []


def _problem(turns: tuple[Message, ...]) -> str | None:
    before: Message | None = None
    called = False
    for place, turn in enumerate(turns, start=1):
        if turn.role == "system":
            continue
        if turn.role == "assistant" and before is None:
            return f"turn {place}, the first, is the assistant's"
        if turn.role == "tool" and not called:
            return f"turn {place} is a tool's, but no tool was called"
        if before is not None and turn.role == before.role and _must_alternate(before, turn):
            return f"turns {place - 1} and {place} are both the {turn.role}'s"
        called = bool(turn.tool_calls) or (called and turn.role in ("tool", "assistant"))
        before = turn
    return None


def _must_alternate(before: Message, turn: Message) -> bool:
    """Tools may answer one after the other, and the assistant may speak and then call."""
    return turn.role == "user" or (turn.role == "assistant" and not before.tool_calls and not turn.tool_calls)


FILTER = Filter("roles", ("invalid_roles",), check)
