"""Reading what the user wrote: one configuration out of several layers, and the cards and suites it names.

Precedence, highest first: `--set key=value`, environment `WORKBENCH_SECTION__KEY`, the project's file, the user's
file, defaults.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import yaml

from workbench.core.cards import Card
from workbench.core.config import LoopConfig
from workbench.core.errors import ConfigErrors, ConfigProblem, UsageError
from workbench.core.paths import Project, user_config_file
from workbench.core.suites import Suite
from workbench.core.yamlfile import Lines, load_mapping, load_model, validate

PROJECT_FILE = "workbench.yaml"
_PREFIX = "WORKBENCH_"
_SET = "--set"
CardOrSuite = TypeVar("CardOrSuite", Card, Suite)


def load_config(path: Path, overrides: Sequence[str] = (), environment: Mapping[str, str] | None = None) -> LoopConfig:
    """The resolved configuration. Raises ConfigErrors with file, line and key for everything wrong in any layer."""
    environment = os.environ if environment is None else environment
    values = _user_values()
    project_values, lines = load_mapping(path)
    values = _merged(values, project_values)
    return _validated(values, _typed(overrides, environment), file=str(path), lines=lines)


def suites_dir(project: Project) -> str:
    """Where the project keeps its suites, from its root; raises as `load_config`."""
    file = project.root / PROJECT_FILE
    return (load_config(file) if file.is_file() else LoopConfig()).suites_dir


def with_settings(
    values: dict[str, Any],
    overrides: Sequence[str],
    project_file: Path,
    sections: Sequence[str],
    environment: Mapping[str, str] | None = None,
) -> LoopConfig:
    """For a command of its own: `values` above those `sections` of the project's file, if there is one, and of the
    user's; `key=value` settings and environment above all. Raises as `load_config`."""
    environment = os.environ if environment is None else environment
    below = _user_values()
    lines: Lines = {}
    if project_file.is_file():
        project_values, lines = load_mapping(project_file)
        validate(project_values, LoopConfig, file=str(project_file), lines=lines)
        below = _merged(below, project_values)
    below = {section: below[section] for section in sections if section in below}
    typed = _typed(overrides, environment)
    file = str(project_file) if project_file.is_file() else ""
    return _validated(_merged(below, values), typed, file=file, lines=lines)


def _user_values() -> dict[str, Any]:
    """What the user's own file says; ConfigErrors for what is wrong with it."""
    if not (user_file := user_config_file()).is_file():
        return {}
    values, lines = load_mapping(user_file)
    validate(values, LoopConfig, file=str(user_file), lines=lines)
    return values


def _typed(overrides: Sequence[str], environment: Mapping[str, str]) -> list[tuple[str, str, str]]:
    return _environment_settings(environment) + [(_SET, *_key_and_text(setting)) for setting in overrides]


def _validated(values: dict[str, Any], typed: Sequence[tuple[str, str, str]], *, file: str, lines: Lines) -> LoopConfig:
    """File values with what was typed (where, key, text) put over them; a problem names where its value came from."""
    for where, key, text in typed:
        values = _with_setting(values, key, text, where=where)
    try:
        return validate(values, LoopConfig, file=file, lines=lines)
    except ConfigErrors as errors:
        raise ConfigErrors([_traced(problem, typed, lines) for problem in errors.problems]) from None


def _traced(problem: ConfigProblem, typed: Sequence[tuple[str, str, str]], lines: Lines) -> ConfigProblem:
    """Names no file where the value was typed, or where the file does not have it and something of its section was
    typed."""
    for where, key, _ in typed:
        if f"{problem.key}.".startswith(f"{key}."):
            return replace(problem, file="" if where == _SET else where, line=None)
    section = problem.key.partition(".")[0]
    if tuple(problem.key.split(".")) not in lines and any(key.startswith(f"{section}.") for _, key, _ in typed):
        return replace(problem, file="", line=None)
    return problem


def _key_and_text(setting: str) -> tuple[str, str]:
    key, equals, text = setting.partition("=")
    if not equals or not key:
        raise UsageError(f"expected key=value, got {setting!r}", where=_SET, next_step="--set train.max_steps=30")
    return key, text


def load_card(project: Path, datasets_dir: str, name: str) -> Card:
    """The dataset card `name`; UsageError lists the cards there are."""
    card = load_model(_named_file(project / datasets_dir, name, "dataset card", "datasets"), Card)
    return _named(card, name, project / datasets_dir)


def load_suite(project: Path, suites_dir: str, name: str) -> Suite:
    """The suite `name`; UsageError lists the suites there are."""
    suite = load_model(_named_file(project / suites_dir, name, "suite", "suites"), Suite)
    return _named(suite, name, project / suites_dir)


def _named_file(directory: Path, name: str, what: str, plural: str) -> Path:
    path = directory / f"{name}.yaml"
    if path.is_file():
        return path
    known = sorted(file.stem for file in directory.glob("*.yaml"))
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"{plural} there: {', '.join(known) or 'none'}"
    raise UsageError(f"no {what} named {name!r}; {hint}", where=str(directory), next_step=f"create {path}")


def _named(found: CardOrSuite, name: str, directory: Path) -> CardOrSuite:
    if found.name != name:
        file = str(directory / f"{name}.yaml")
        raise ConfigErrors([ConfigProblem(file, None, "name", f"is {found.name!r}, but the file is called {name!r}")])
    return found


def _environment_settings(environment: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Variable, key and text: `WORKBENCH_TRAIN__MAX_STEPS=30` is train.max_steps."""
    found = []
    for variable, text in sorted(environment.items()):
        key = variable.removeprefix(_PREFIX).lower().replace("__", ".")
        if variable.startswith(_PREFIX) and ("." in key or key in ("name", "seed")):
            found.append((variable, key, text))
    return found


def _with_setting(values: dict[str, Any], key: str, text: str, *, where: str) -> dict[str, Any]:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise UsageError(f"value of {key} is not valid YAML: {text!r}", where=where) from None
    return _with_value(values, key.split("."), value)


def _with_value(values: dict[str, Any], keys: Sequence[str], value: Any) -> dict[str, Any]:
    """`values` with what was typed at the end of `keys`: a mapping is merged with what is there, an empty one empties
    it."""
    first, *rest = keys
    there = values.get(first)
    if rest:
        value = _with_value(there if isinstance(there, dict) else {}, rest, value)
    elif value and isinstance(value, dict) and isinstance(there, dict):
        value = _merged(there, value)
    return {**values, first: value}


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Mappings are merged key by key, everything else is replaced."""
    merged = dict(below)
    for key, value in above.items():
        if isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = _merged(merged[key], value)
        else:
            merged[key] = value
    return merged
