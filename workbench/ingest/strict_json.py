"""JSON as the standard has it: no NaN, no repeated keys, no bottomless nesting; numbers remember how they are written.

parse('{"a": 1}')           ->  {"a": 1}
parse('{"a": 1, "a": 2}')   ->  RowProblem("duplicate_key", "key 'a' appears twice")
parse('{"a": 1')            ->  Unfinished("bad_json", ...)
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any, NoReturn

from workbench.ingest.rows import RowProblem, WrittenNumber

MAX_DEPTH = 100
"""Levels of lists and objects in one row. Real rows have fewer than ten; the parser itself gives up near a thousand."""
_SPACE = re.compile(r"[ \t\r\n]*")
_MOST_DIGITS = 300
_LONGEST_TOKEN = 16
"""Characters of the longest thing that is reported where it begins, strings apart: `-Infinity`, an escaped pair."""


class Unfinished(RowProblem):
    """The text may be the beginning of a value: the error is at its end."""


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
        cut = error.msg.startswith("Unterminated string") or error.pos >= len(text) - _LONGEST_TOKEN
        # Relative to the value: the caller knows where in the file that is.
        detail = f"not JSON: {error.msg.removesuffix(' starting at')} at character {error.pos - start + 1}"
        raise (Unfinished if cut else RowProblem)("bad_json", detail) from None
    except RecursionError:
        raise RowProblem("too_deep", f"nested more than {MAX_DEPTH} levels deep") from None
    except ValueError as error:  # of `_refuse_constant`
        raise RowProblem("bad_json", f"not JSON: {error}") from None
    may_be_deep = text.count("[", start, end) + text.count("{", start, end) > MAX_DEPTH
    if may_be_deep and _depth(value) > MAX_DEPTH:
        raise RowProblem("too_deep", f"nested more than {MAX_DEPTH} levels deep")
    return value, end


def skip_space(text: str, position: int) -> int:
    """The first position from `position` on that holds no JSON white space."""
    found = _SPACE.match(text, position)
    assert found, position
    return found.end()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        repeated = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise RowProblem("duplicate_key", f"key {repeated!r} appears twice in one object")
    return values


def _number(written: str) -> WrittenNumber:
    return WrittenNumber(written, written)


def _whole_number(written: str) -> int | WrittenNumber:
    """An int, unless that would forget a sign or be too long for Python to write again."""
    return WrittenNumber(written, written) if written == "-0" or len(written) > _MOST_DIGITS else int(written)


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


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=_number, parse_int=_whole_number, parse_constant=_refuse_constant
)
