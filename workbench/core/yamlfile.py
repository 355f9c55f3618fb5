"""YAML files with line numbers: strict about duplicate keys, aliases and size; all problems of a file at once.

load_model(Path("workbench.yaml"), LoopConfig)
-> LoopConfig, or ConfigErrors("workbench.yaml:12 train.rnak: unknown key; did you mean 'rank'?")
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from workbench.core.errors import ConfigErrors, ConfigProblem, SettingError, UsageError

Model = TypeVar("Model", bound=BaseModel)
Lines = dict[tuple[str, ...], int]
_MAX_BYTES = 4 << 20


def load_model(path: Path, model: type[Model]) -> Model:
    """Reads and validates one YAML file; UsageError if it is missing, ConfigErrors for everything wrong in it."""
    values, lines = load_mapping(path)
    return validate(values, model, file=str(path), lines=lines)


def load_mapping(path: Path) -> tuple[dict[str, Any], Lines]:
    """The file's mapping and the line of each key path."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise UsageError(f"file is larger than {_MAX_BYTES >> 20} MiB", where=str(path))
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UsageError("file does not exist", where=str(path)) from None
    except IsADirectoryError:
        raise UsageError("is a directory, not a file", where=str(path)) from None
    except PermissionError:
        raise UsageError("file cannot be read: permission denied", where=str(path)) from None
    except UnicodeDecodeError as error:
        raise UsageError(f"file is not UTF-8 (byte {error.start})", where=str(path)) from None
    return parse_mapping(text, file=str(path))


def parse_mapping(text: str, *, file: str) -> tuple[dict[str, Any], Lines]:
    """As `load_mapping`, from text already read."""
    try:
        loader = yaml.SafeLoader(text)
        try:
            _refuse_aliases(text, file)
            node = loader.get_single_node()
            if node is None:
                return {}, {}
            lines: Lines = {}
            problems: list[ConfigProblem] = []
            _walk(node, (), lines, problems, file)
            if problems:
                raise ConfigErrors(problems)
            values = loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise ConfigErrors([ConfigProblem(file, line, "", f"not valid YAML: {error.problem}")]) from None
    except yaml.YAMLError as error:
        raise ConfigErrors([ConfigProblem(file, None, "", f"not valid YAML: {error}")]) from None
    except RecursionError:
        raise ConfigErrors([ConfigProblem(file, None, "", "nested too deeply")]) from None
    if not isinstance(values, dict):
        raise ConfigErrors([ConfigProblem(file, 1, "", "expected a mapping of keys to values")])
    return values, lines


def validate(values: dict[str, Any], model: type[Model], *, file: str, lines: Lines | None = None) -> Model:
    """`values` as a model; ConfigErrors lists every problem with its line."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = [_problem(detail, model, file, lines or {}) for detail in error.errors(include_url=False)]
        raise ConfigErrors(problems) from None


def _refuse_aliases(text: str, file: str) -> None:
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            line = event.start_mark.line + 1 if event.start_mark else None
            raise ConfigErrors(
                [ConfigProblem(file, line, "", "YAML aliases (*name) are not allowed; write the value out")]
            )


def _walk(node: yaml.Node, path: tuple[str, ...], lines: Lines, problems: list[ConfigProblem], file: str) -> None:
    lines[path] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key_node, value_node in node.value:
            key = str(key_node.value)
            here = (*path, key)
            if key in seen:
                problems.append(ConfigProblem(file, key_node.start_mark.line + 1, ".".join(here), "key appears twice"))
            seen.add(key)
            _walk(value_node, here, lines, problems, file)
            lines[here] = key_node.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode):
        for position, item in enumerate(node.value):
            _walk(item, (*path, str(position)), lines, problems, file)


def _problem(detail: Any, model: type[BaseModel], file: str, lines: Lines) -> ConfigProblem:
    location = tuple(str(piece) for piece in detail["loc"])
    message, next_step = detail["msg"].removeprefix("Value error, "), None
    found = detail.get("ctx", {}).get("error")
    if isinstance(found, SettingError):
        location += tuple(found.key.split(".")) if found.key else ()
        message, next_step = found.problem, found.next_step
    elif detail["type"] == "extra_forbidden":
        message = "unknown key" + _did_you_mean(location, model)
    elif detail["type"] == "missing":
        message = "required key is missing"
    elif isinstance(detail.get("input"), str | int | float | bool):
        message = f"{message} (got {detail['input']!r})"
    return ConfigProblem(file, _line_of(location, lines), ".".join(location), message, next_step)


def _line_of(location: tuple[str, ...], lines: Lines) -> int | None:
    """Line of the longest known prefix; discriminator tags that pydantic adds to the path are stepped over."""
    best = lines.get(())
    known: tuple[str, ...] = ()
    for piece in location:
        if (*known, piece) in lines:
            known = (*known, piece)
            best = lines[known]
    return best


def _did_you_mean(location: tuple[str, ...], model: type[BaseModel]) -> str:
    names = _field_names(model, location[:-1])
    close = difflib.get_close_matches(location[-1], names, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known keys: {', '.join(sorted(names))}" if names else ""


def _field_names(model: type[BaseModel], path: tuple[str, ...]) -> list[str]:
    """Names of the fields at `path` below `model`, through lists, dicts and unions."""
    candidates: list[type[BaseModel]] = [model]
    for piece in path:
        found: list[type[BaseModel]] = []
        for candidate in candidates:
            field = candidate.model_fields.get(piece)
            if field is not None:
                found += _models_in(field.annotation)
        candidates = found or candidates
    return sorted({name for candidate in candidates for name in candidate.model_fields})


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models_in(argument)]
