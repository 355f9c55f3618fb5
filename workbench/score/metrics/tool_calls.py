"""Does the answer call the right tools with the right arguments?

    {"calls": [{"name": "weather", "arguments": {"city": "Lima", "days": 2}}]}
    '<tool_call>{"name": "weather", "arguments": {"days": 2.0, "city": "Lima"}}</tool_call>'   tool_call 1, tool_name 1
    '{"name": "weather", "arguments": {"city": "Lima"}}'                                       tool_call 0, tool_name 1
    "It is sunny in Lima."                                                                     0, `parsed` False

Read are `<tool_call>` blocks, `[TOOL_CALLS]`, and an answer that is JSON as a whole: one call, a list, or `tool_calls`.
Arguments may be an object or JSON text, under `arguments` or `parameters`. Keys have no order and neither have calls,
unless `ordered: true`. An empty `calls` asks for an answer without a call.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from workbench.score.metrics.json_answers import canonical, read_json
from workbench.score.metrics.metric import Answered, Metric, Reading, Settings, each

_OPEN, _CLOSE = "<tool_call>", "</tool_call>"
_MISTRAL = "[TOOL_CALLS]"
Call = tuple[str, str]
"""Name, and arguments in a form that is equal where they are."""


def read_calls(text: str) -> list[Call] | None:
    """The calls of an answer in order, none if it makes none; None if it means to make one that cannot be read."""
    if _OPEN in text:
        found_calls: list[Call] = []
        for block in text.split(_OPEN)[1:]:
            readable, value = read_json(block.split(_CLOSE)[0])
            found = _calls(value) if readable else None
            if not found:
                return None
            found_calls += found
        return found_calls
    readable, value = read_json(text.split(_MISTRAL, 1)[-1])
    calls = _calls(value) if readable else None
    if calls is not None:
        return calls
    # JSON with a name is a call gone wrong; other JSON and prose are answers without one.
    return None if _MISTRAL in text or (readable and '"name"' in text) else []


def _calls(value: Any) -> list[Call] | None:
    """The calls in a JSON value; None if one of its parts is no call."""
    if isinstance(value, dict) and isinstance(value.get("tool_calls"), list):
        value = value["tool_calls"]
    calls = [_call(part) for part in (value if isinstance(value, list) else [value])]
    return None if None in calls else [call for call in calls if call is not None]


def _call(value: Any) -> Call | None:
    if isinstance(value, dict) and isinstance(value.get("function"), dict):
        value = value["function"]
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        return None
    arguments = value.get("arguments", value.get("parameters", {}))
    if isinstance(arguments, str):
        readable, arguments = read_json(arguments, strict=True)
        if not readable:
            return None
    arguments = {} if arguments is None else arguments
    return (value["name"], canonical(arguments)) if isinstance(arguments, dict) else None


def _expected(fields: Mapping[str, Any]) -> list[Call] | None:
    """The document's right calls, or None if it has none that can be read."""
    given = fields.get("calls", fields.get("answer"))
    if isinstance(given, str):
        return read_calls(given)
    return _calls(given) if isinstance(given, list | dict) else None


def _reading(answer: Answered, settings: Settings, *, names_only: bool) -> Reading:
    expected, given = _expected(answer.fields), read_calls(answer.text)
    if expected is None:
        return Reading(None, error=_PROBLEM)
    if given is None or (expected and not given):
        return Reading(0.0, parsed=False)
    if names_only:
        expected, given = [(name, "") for name, _ in expected], [(name, "") for name, _ in given]
    same = given == expected if settings.get("ordered", False) else Counter(given) == Counter(expected)
    return Reading(float(same))


_PROBLEM = "document has no `calls` with `name` and `arguments`"


def _problem(fields: Mapping[str, Any], settings: Settings) -> str | None:
    return _PROBLEM if _expected(fields) is None else None


def _tool_call(answer: Answered, settings: Settings) -> Reading:
    return _reading(answer, settings, names_only=False)


def _tool_name(answer: Answered, settings: Settings) -> Reading:
    return _reading(answer, settings, names_only=True)


TOOL_CALL = Metric("tool_call", each(_tool_call), settings={"ordered": bool}, problem=_problem, needs_answer=False)
TOOL_NAME = Metric("tool_name", each(_tool_name), settings={"ordered": bool}, problem=_problem, needs_answer=False)
