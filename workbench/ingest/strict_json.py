"""JSON as the standard has it: no NaN, no repeated keys, no bottomless nesting.

parse('{"a": 1}')           ->  {"a": 1}
parse('{"a": 1, "a": 2}')   ->  RowProblem("duplicate_key", "key 'a' appears twice")
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

from workbench.ingest.rows import RowProblem

MAX_DEPTH = 100
"""Levels of lists and objects in one row. Real rows have fewer than ten; the parser itself gives up near a thousand."""
_SPACE = " \t\r\n"


def parse(text: str) -> Any:
    """The value of a JSON text. Raises RowProblem: `bad_json`, `duplicate_key` or `too_deep`."""
    start = skip_space(text, 0)
    value, end = parse_at(text, start)
    end = skip_space(text, end)
    if end != len(text):
        raise RowProblem("bad_json", f"unexpected text after the value, at character {end + 1}")
    return value


def parse_at(text: str, start: int) -> tuple[Any, int]:
    """The value that begins at `start` and the position behind it; raises as `parse`."""
    try:
        value, end = _DECODER.raw_decode(text, start)
    except json.JSONDecodeError as error:
        # Relative to the value: the caller knows where in the file that is.
        raise RowProblem("bad_json", f"not JSON: {error.msg} at character {error.pos - start + 1}") from None
    except RecursionError:
        raise RowProblem("too_deep", f"nested more than {MAX_DEPTH} levels deep") from None
    except ValueError as error:  # a number of more than 4,300 digits
        raise RowProblem("bad_json", f"not JSON: {error}") from None
    may_be_deep = text.count("[", start, end) + text.count("{", start, end) > MAX_DEPTH
    if may_be_deep and _depth(value) > MAX_DEPTH:
        raise RowProblem("too_deep", f"nested more than {MAX_DEPTH} levels deep")
    return value, end


def skip_space(text: str, position: int) -> int:
    """The first position from `position` on that holds no JSON white space."""
    while position < len(text) and text[position] in _SPACE:
        position += 1
    return position


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for position, name in enumerate(names) if name in names[:position])
        raise RowProblem("duplicate_key", f"key {repeated!r} appears twice in one object")
    return values


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _depth(value: Any) -> int:
    """Levels of nesting, counted without recursion."""
    deepest = 0
    open_values = [(value, 0)]
    while open_values:
        current, level = open_values.pop()
        deepest = max(deepest, level)
        if isinstance(current, dict | list):
            children = current.values() if isinstance(current, dict) else current
            open_values += [(child, level + 1) for child in children]
    return deepest


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse_constant)
