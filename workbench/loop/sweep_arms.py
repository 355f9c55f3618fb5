"""The arms of a sweep: every combination of the axes' values as a configuration of its own.

axes {train.rank: [8, 16], train.method: [qlora, pissa]}, model.precision nf4
->  method=qlora,rank=8 and method=qlora,rank=16; left out: method=pissa on NF4, with the reason
"""

from __future__ import annotations

import itertools
import json
import math
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from workbench.core.config import LoopConfig
from workbench.core.errors import ConfigErrors, ConfigProblem, UsageError
from workbench.core.yamlfile import validate
from workbench.curate import decontaminate
from workbench.train.refusals import refuse

_MOST = 100
"""Combinations of a grid: every arm is compared with every other."""
_OTHER = re.compile(r"[^A-Za-z0-9._+-]+")
_VALUE_CHARS = 32


@dataclass(frozen=True, slots=True)
class Combination:
    """One arm."""

    name: str
    """Shows what is swept: `rank=8,learning_rate=0.0002`; unique."""
    settings: dict[str, Any]
    """Swept key to value, as JSON."""
    config: LoopConfig
    """The whole configuration with these settings."""


@dataclass(frozen=True, slots=True)
class Combinations:
    """The arms, and what is none."""

    arms: tuple[Combination, ...]
    left_out: tuple[str, ...]
    """Sentences: combinations that cannot work, or that were not drawn."""


def combinations(config: LoopConfig) -> Combinations:
    """The arms of `config.sweep`. ConfigErrors for a value that is none of its key's; UsageError if no combination can
    be trained, if two are the same, or if arms would differ in how evaluation documents are kept out of them."""
    axes = config.sweep.axes
    size = math.prod(len(values) for values in axes.values())
    if (wanted := min(size, config.sweep.random or size)) > _MOST:
        raise UsageError(
            f"{wanted} combinations are more than the {_MOST} that are compared with each other at most",
            where="sweep.axes",
            next_step="draw some of them: --random 20, or sweep fewer values",
        )
    arms: list[Combination] = []
    impossible: list[str] = []
    for values in _drawn(config, size):
        arm = _combination(config, dict(zip(axes, values, strict=True)), taken={arm.name for arm in arms})
        if (problem := _problem(arm.config)) is None:
            arms.append(arm)
        else:
            impossible.append(f"{arm.name}: {problem.problem}")
    if not arms:
        more = f"; and {len(impossible) - 3} more" if len(impossible) > 3 else ""
        raise UsageError(
            f"no combination can be trained: {'; '.join(impossible[:3])}{more}",
            where="sweep.axes",
            next_step="sweep other values, or change what they do not go together with",
        )
    _refuse_equal(axes, arms)
    _refuse_without_effect(axes, arms)
    _refuse_other_decontamination(arms)
    undrawn = size - len(arms) - len(impossible)
    said = [f"{undrawn} of {size} combinations were not drawn (`sweep.random`)"] if undrawn else []
    return Combinations(tuple(arms), (*impossible, *said))


def _drawn(config: LoopConfig, size: int) -> list[tuple[Any, ...]]:
    """Values of each combination in grid order, all or a random part."""
    values = list(config.sweep.axes.values())
    wanted = config.sweep.random
    if wanted is None or wanted >= size:
        return list(itertools.product(*values))
    numbers = random.Random(config.seed).sample(range(size), wanted)
    return [_at(number, values) for number in sorted(numbers)]


def _at(number: int, axes: Sequence[Sequence[Any]]) -> tuple[Any, ...]:
    """The combination with this number in grid order, the last axis fastest."""
    found = []
    for values in reversed(axes):
        number, place = divmod(number, len(values))
        found.append(values[place])
    return tuple(reversed(found))


def _combination(config: LoopConfig, settings: Mapping[str, Any], taken: set[str]) -> Combination:
    values = config.model_dump(mode="json")
    for key, value in settings.items():
        _set(values, key, value)
    shown = ", ".join(f"{key}={value}" for key, value in settings.items())
    try:
        found = validate(values, LoopConfig, file=f"sweep.axes ({shown})")
    except ConfigErrors as errors:
        raise ConfigErrors([_about(problem, settings) for problem in errors.problems]) from None
    resolved = found.model_dump(mode="json")
    exact = {key: _get(resolved, key) for key in settings}
    return Combination(_name(exact, taken), exact, found)


def _about(problem: ConfigProblem, settings: Mapping[str, Any]) -> ConfigProblem:
    """A problem that pydantic puts on a whole section is one of the keys swept in it."""
    swept = [key for key in settings if key.startswith(f"{problem.key}.")]
    return replace(problem, key=swept[0] if swept else problem.key)


def _set(values: dict[str, Any], key: str, value: Any) -> None:
    *sections, last = key.split(".")
    for section in sections:
        below = values.get(section)
        if not isinstance(below, dict):
            below = values[section] = {}
        values = below
    values[last] = value


def _get(values: Any, key: str) -> Any:
    for piece in key.split("."):
        values = values[piece]
    return values


def _name(settings: Mapping[str, Any], taken: set[str]) -> str:
    """`rank=8,learning_rate=0.0002`: the last part of each key, or the whole where two keys end alike."""
    ends = [key.rpartition(".")[2] for key in settings]
    pieces = []
    for key, end in zip(settings, ends, strict=True):
        label = key if ends.count(end) > 1 else end
        pieces.append(f"{label}={_shown(settings[key])}")
    name = ",".join(pieces) or "recipe"
    counted = (name if number == 1 else f"{name}.{number}" for number in itertools.count(1))
    return next(name for name in counted if name not in taken)


def _shown(value: Any) -> str:
    """A value in a name of nodes: short, and nothing that a file name or a shell minds."""
    if value is None:
        return "default"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        text = "+".join(_shown(one) for one in value) or "none"
    else:
        text = value if isinstance(value, str) else json.dumps(value)
    return _OTHER.sub("_", text)[:_VALUE_CHARS].strip("_") or "empty"


def _problem(config: LoopConfig) -> UsageError | None:
    """Why this cannot be trained at all; a missing prerequisite is raised."""
    try:
        refuse(config.train, config.model)
    except UsageError as error:
        return error
    return None


def _refuse_equal(axes: Mapping[str, Sequence[Any]], arms: Sequence[Combination]) -> None:
    seen: dict[str, str] = {}
    for arm in arms:
        text = json.dumps(arm.settings, sort_keys=True)
        if text in seen:
            values = "; ".join(f"{key}: {', '.join(map(str, tried))}" for key, tried in axes.items())
            raise UsageError(
                f"two combinations are the same settings, {seen[text]}",
                where="sweep.axes",
                next_step=f"leave one of the equal values out ({values})",
            )
        seen[text] = arm.name


def _refuse_without_effect(axes: Mapping[str, Any], arms: Sequence[Combination]) -> None:
    if "mix.replay.share" in axes and not any(arm.config.mix.replay.datasets for arm in arms):
        raise UsageError(
            "no data is replayed, so its share changes nothing",
            where="mix.replay.share",
            next_step="name some: --set mix.replay.datasets=[NAME]",
        )


def _refuse_other_decontamination(arms: Sequence[Combination]) -> None:
    """An arm that may train on the documents of a suite would win every comparison on it."""
    rules = set()
    for arm in arms:
        curate = arm.config.curate
        actions = {reason: curate.actions.get(reason) for reason in decontaminate.REASONS}
        rules.add(json.dumps([curate.decontamination.model_dump(mode="json"), actions], sort_keys=True))
    if len(rules) > 1:
        raise UsageError(
            "arms would differ in which rows with documents of a suite they may train on, and the one that trains on "
            "most of them would win",
            where="sweep.axes",
            next_step="keep curate.decontamination and the actions of its reasons the same in all arms",
        )
