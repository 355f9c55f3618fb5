"""Turns of a conversation, however they are spelled.

    {"from": "human", "value": "Hi"}                             ->  Message(role="user", content="Hi")
    {"role": "user", "content": [{"type": "text", "text": "Hi"}]}  ->  the same
    {"role": "assistant", "reasoning_content": "Greet.", "content": "Hi"}
                                  ->  Message(role="assistant", content="<think>\\nGreet.\\n</think>\\n\\nHi")
    {"role": "tool", "tool_call_id": "c1", "content": "12:00"}   ->  Message(role="tool", tool_call_id="c1", ...)
    {"from": "function_call", "value": "{\\"name\\": \\"now\\", \\"arguments\\": {}}"}
                                  ->  Message(role="assistant", content="", tool_calls=(ToolCall("now", "{}"),))

A role that is not known is an error: chat templates write any role into the text without a word, and the model learns
it.
"""

from __future__ import annotations

from typing import Any, Literal

from workbench.core.records import Message, ToolCall
from workbench.ingest.formats.shape import as_text, json_text, type_name
from workbench.ingest.rows import RowProblem
from workbench.ingest.strict_json import parse

Role = Literal["system", "user", "assistant", "tool"]
ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "function_call": "assistant",
    "tool_call": "assistant",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
}
_CALLING = ("function_call", "tool_call")
"""Roles of turns that are nothing but tool calls."""
_PLAIN = frozenset(name for name in ROLES if name not in _CALLING)
_REASONING_PARTS = ("reasoning", "thinking")
_REASONING_KEYS = ("reasoning_content", "reasoning", "thinking")
_EXTRAS = {"tool_calls", "function_call", *_REASONING_KEYS}
"""Keys that may say more than a turn's content."""
_MEDIA_PARTS = ("image", "video", "audio", "file")


def conversation(value: Any, what: str) -> tuple[Message, ...]:
    """The turns of a list of messages, or of its JSON text. Raises RowProblem."""
    if isinstance(value, str):
        value = parse(value)
    if not isinstance(value, list):
        raise RowProblem("bad_content", f"{what} holds {type_name(value)}, expected a list of messages")
    return results_in_order(tuple(message(turn, f"{what}[{position}]") for position, turn in enumerate(value)))


def message(turn: Any, what: str) -> Message:
    """One turn. Raises RowProblem: `bad_role`, `bad_content`, `bad_tool_call` or `multimodal`."""
    if not isinstance(turn, dict):
        raise RowProblem("bad_content", f"{what} is {type_name(turn)}, expected a message")
    spelled = turn.get("role")
    if spelled is None:
        spelled = turn.get("from")
    role = _role(spelled, what)
    content = turn["content"] if "content" in turn else turn.get("value")
    if isinstance(content, str) and not _EXTRAS & turn.keys() and spelled in _PLAIN:
        return _said(role, content, (), turn, what)
    if str(spelled).strip().lower() in _CALLING:
        return Message(role="assistant", content="", tool_calls=_called(content, what))
    calls = _tool_calls(turn.get("tool_calls") or [], what)
    if turn.get("function_call"):
        calls += _called(turn["function_call"], what)
    thought = next((_thought(turn[key], what) for key in _REASONING_KEYS if turn.get(key)), "")
    if isinstance(content, list):
        text, more = _joined(content, what)
        return _said(role, thought + text, calls + more, turn, what)
    if content is None and calls:
        return _said(role, thought, calls, turn, what)
    return _said(role, thought + as_text(content, what), calls, turn, what)


def results_in_order(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """`messages` with neighbouring tool results in the order of the calls that their ids name.

    Templates write results without their ids, so that the order alone says which call a result belongs to."""
    if not any(turn.tool_call_id is not None for turn in messages):
        return messages
    ordered = list(messages)
    for start, turn in enumerate(messages):
        if not turn.tool_calls:
            continue
        end = start + 1
        while end < len(messages) and messages[end].role == "tool":
            end += 1
        place: dict[str | None, int] = {call.id: number for number, call in enumerate(turn.tool_calls) if call.id}
        results = messages[start + 1 : end]
        if all(result.tool_call_id in place for result in results):
            ordered[start + 1 : end] = sorted(results, key=lambda result: place[result.tool_call_id])
    return tuple(ordered)


def _label(turn: dict[str, Any], key: str) -> str | None:
    """A name or id that goes with a turn; None where there is none."""
    value = turn.get(key)
    return value if isinstance(value, str) and value else None


def _role(spelled: Any, what: str) -> Role:
    if isinstance(spelled, str) and (role := ROLES.get(spelled) or ROLES.get(spelled.strip().lower())):
        return role
    raise RowProblem("bad_role", f"{what} has role {spelled!r}; known roles: {', '.join(ROLES)}")


def checked_chat(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """`messages` if they can be trained on: a user's turn somewhere, an assistant's at the end."""
    if not any(turn.role == "user" for turn in messages):
        raise RowProblem("no_prompt", "no user turn to answer" if messages else "the conversation is empty")
    if messages[-1].role != "assistant":
        raise RowProblem("no_answer", f"the last turn is the {messages[-1].role}'s, not the assistant's")
    return messages


def with_system(system: str, messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """`messages` behind a system turn, unless the text is blank or they begin with one."""
    if not system.strip() or (messages and messages[0].role == "system"):
        return messages
    return (Message(role="system", content=system), *messages)


def _said(role: Role, text: str, calls: tuple[ToolCall, ...], turn: dict[str, Any], what: str) -> Message:
    if calls and role != "assistant":
        raise RowProblem("bad_tool_call", f"{what}: a {role} turn cannot call tools")
    if role != "tool":
        return Message(role=role, content=text, tool_calls=calls)
    return Message(role=role, content=text, tool_call_id=_label(turn, "tool_call_id"), name=_label(turn, "name"))


def _joined(parts: list[Any], what: str) -> tuple[str, tuple[ToolCall, ...]]:
    """The text of content parts, thoughts in think tags as reasoning models write them, and the tool calls."""
    texts: list[str] = []
    calls: tuple[ToolCall, ...] = ()
    for part in parts:
        if isinstance(part, str):
            texts.append(part)
            continue
        kind = part.get("type") if isinstance(part, dict) else None
        if not isinstance(kind, str):
            raise RowProblem("bad_content", f"{what} has a content part without a type")
        if kind.removeprefix("input_").startswith(_MEDIA_PARTS):
            raise RowProblem("multimodal", f"{what} has a part of type {kind!r}; only text can be trained on")
        inner = next((part[key] for key in ("text", "value", "thinking") if part.get(key) is not None), None)
        if kind == "tool_call":
            calls += _called(inner, what)
        elif kind in _REASONING_PARTS:
            texts.append(_thought(inner, what))
        elif kind == "text":
            texts.append(as_text(inner, what))
        else:
            raise RowProblem("bad_content", f"{what} has a part of unknown type {kind!r}")
    return "".join(texts), calls


def _thought(value: Any, what: str) -> str:
    return f"<think>\n{as_text(value, what)}\n</think>\n\n"


def _called(value: Any, what: str) -> tuple[ToolCall, ...]:
    """Tool calls from JSON text or an object, one or a list."""
    if isinstance(value, str):
        try:
            value = parse(value)
        except RowProblem as problem:
            raise RowProblem("bad_tool_call", f"{what}: {problem.detail}") from None
    return _tool_calls(value if isinstance(value, list) else [value], what)


def _tool_calls(values: Any, what: str) -> tuple[ToolCall, ...]:
    """Calls as `{"name", "arguments"}`, or the same under `function`."""
    if isinstance(values, str):
        return _called(values, what)
    if not isinstance(values, list):
        raise RowProblem("bad_tool_call", f"{what}: tool calls are {type_name(values)}, expected a list")
    calls: list[ToolCall] = []
    for value in values:
        inner = value.get("function", value) if isinstance(value, dict) else None
        name = inner.get("name") if isinstance(inner, dict) else None
        if not isinstance(inner, dict) or not isinstance(name, str):
            raise RowProblem("bad_tool_call", f"{what}: a tool call needs a name")
        arguments = inner.get("arguments", inner.get("parameters"))
        given = "{}" if arguments is None else json_text(arguments)
        calls.append(ToolCall(name=name, arguments=given, id=_label(value, "id")))
    return tuple(calls)
