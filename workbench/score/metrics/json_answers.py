"""Is the answer JSON, and does it fit a schema?

    json_valid    '{"city": "Lima"}' 1;  "{'city': 'Lima'}" 0;  fenced in ```json ... ``` 1 unless `strict: true`
    json_schema   {"type": "object", "required": ["city"]}:  '{"city": "Lima"}' 1;  '{}' 0;  'Lima' 0 and `parsed` False

The schema stands beside the metric or in the document's field `schema`. Its draft is the one that `$schema` names, else
2020-12. References outside of the schema are not fetched; `format` says nothing, as is the specification's default.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from workbench.score.metrics.metric import Answered, Metric, Reading, Settings, each
from workbench.score.metrics.regex_match import TIMEOUT_S, compiled

MAX_DEPTH = 100
"""Answers nested deeper are not read as JSON."""


def read_json(text: str, *, strict: bool = False) -> tuple[bool, Any]:
    """Whether the text is JSON (RFC 8259: no NaN), and its value; unless `strict`, one fenced block in it may be."""
    body = text.strip()
    for candidate in (body,) if strict else (body, *_fenced(body)):
        try:
            value = json.loads(candidate, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            continue
        if _depth(value) <= MAX_DEPTH:
            return True, value
    return False, None


def _depth(value: Any) -> int:
    """Levels of lists and objects inside each other, counted without recursion."""
    depth, level = 0, [value]
    while level := [part for part in level if isinstance(part, list | dict)]:
        depth += 1
        level = [inner for part in level for inner in (part.values() if isinstance(part, dict) else part)]
    return depth


def canonical(value: Any) -> str:
    """JSON text that is equal for equal values: keys sorted, 2.0 as 2; true is not 1."""
    return json.dumps(_plain(value), sort_keys=True, ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _fenced(text: str) -> Iterator[str]:
    """The contents of the text's one fenced block; nothing if there are several."""
    parts = text.split("```")
    if len(parts) == 3:
        first, newline, rest = parts[1].partition("\n")
        yield (rest if newline and not first.strip().startswith(("{", "[")) else parts[1]).strip()


def _valid(answer: Answered, settings: Settings) -> Reading:
    return Reading(float(read_json(answer.text, strict=settings.get("strict", False))[0]))


def _fits(answer: Answered, settings: Settings) -> Reading:
    readable, value = read_json(answer.text, strict=settings.get("strict", False))
    if not readable:
        return Reading(0.0, parsed=False)
    import referencing.exceptions

    try:
        return Reading(float(_validator(_schema(answer.fields, settings)).is_valid(value)))
    except RecursionError:
        return Reading(None, error="the schema refers to itself without end")
    except referencing.exceptions.Unresolvable as error:
        return Reading(None, error=f"the schema refers to {error.ref!r}, which is not in it")
    except TimeoutError:
        return Reading(None, error=f"a pattern of the schema took longer than {TIMEOUT_S:g} s on this answer")
    except ValueError as error:
        return Reading(None, error=f"the schema: {error}")
    except OverflowError:
        # `multipleOf` of a number beyond floating point, such as 1e400: the answer's doing
        return Reading(0.0)


def _schema(fields: Mapping[str, Any], settings: Settings) -> Any:
    schema = settings["schema"] if "schema" in settings else fields.get("schema")
    return read_json(schema, strict=True)[1] if isinstance(schema, str) else schema


def _validator(schema: Any) -> Any:
    """A validator that fetches nothing and whose patterns end. ValueError for what is no schema, and for one whose
    patterns could not be ended."""
    import jsonschema
    import referencing

    draft: Any = jsonschema.Draft202012Validator
    if isinstance(schema, dict):
        draft = jsonschema.validators.validator_for(schema, default=draft)
    try:
        draft.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise ValueError(f"no valid schema: {error.message}") from None
    if {"unevaluatedProperties", "patternProperties"} <= _keys(schema):
        raise ValueError("`unevaluatedProperties` beside `patternProperties` is not supported")
    return _bounded(draft)(schema, registry=referencing.Registry())


def _keys(schema: Any) -> set[str]:
    """Every key at any depth, counted without recursion."""
    keys: set[str] = set()
    level = [schema]
    while level := [part for part in level if isinstance(part, list | dict)]:
        keys.update(*(part for part in level if isinstance(part, dict)))
        level = [inner for part in level for inner in (part.values() if isinstance(part, dict) else part)]
    return keys


@cache
def _bounded(draft: Any) -> Any:
    """The draft with its patterns under a time limit and items compared once each: the keywords whose time an answer
    can blow up."""
    import jsonschema

    def matches(expected: str, text: str) -> bool:
        return compiled(expected).search(text, timeout=TIMEOUT_S) is not None

    def pattern(validator: Any, expected: str, instance: Any, schema: Any) -> Iterator[Any]:
        if validator.is_type(instance, "string") and not matches(expected, instance):
            yield jsonschema.ValidationError(f"{instance!r} does not match {expected!r}")

    def pattern_properties(validator: Any, patterns: dict[str, Any], instance: Any, schema: Any) -> Iterator[Any]:
        if validator.is_type(instance, "object"):
            for expected, inner in patterns.items():
                for key in [key for key in instance if matches(expected, key)]:
                    yield from validator.descend(instance[key], inner, path=key, schema_path=expected)

    def additional_properties(validator: Any, inner: Any, instance: Any, schema: Any) -> Iterator[Any]:
        if validator.is_type(instance, "object"):
            named, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
            for key in instance:
                if key not in named and not any(matches(expected, key) for expected in patterns):
                    yield from validator.descend(instance[key], inner, path=key)

    def unique_items(validator: Any, wanted: bool, instance: Any, schema: Any) -> Iterator[Any]:
        if wanted and validator.is_type(instance, "array") and len(set(map(canonical, instance))) < len(instance):
            yield jsonschema.ValidationError(f"{instance!r} has equal items")

    keywords = {
        "pattern": pattern,
        "uniqueItems": unique_items,
        "patternProperties": pattern_properties,
        "additionalProperties": additional_properties,
    }
    return jsonschema.validators.extend(draft, keywords)


def _check(settings: Settings) -> None:
    if "schema" in settings:
        _validator(_schema({}, settings))


def _problem(fields: Mapping[str, Any], settings: Settings) -> str | None:
    if "schema" in settings:
        return None
    if "schema" not in fields:
        return "document has no `schema`, and neither has the metric"
    try:
        _validator(_schema(fields, settings))
    except ValueError as error:
        return str(error)
    return None


JSON_VALID = Metric("json_valid", each(_valid), settings={"strict": bool}, needs_answer=False)
JSON_SCHEMA = Metric(
    "json_schema",
    each(_fits),
    settings={"schema": (dict, str), "strict": bool},
    check=_check,
    problem=_problem,
    needs_answer=False,
)
