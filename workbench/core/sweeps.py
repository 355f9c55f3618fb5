"""The section `sweep` of the configuration: which settings are tried against each other, how often, for how long.

sweep:
  axes: {train.rank: [8, 16], train.learning_rate: [1.0e-4, 2.0e-4]}     # four arms
  seeds: 3                                                               # twelve trainings
  budget: 2h
"""

from __future__ import annotations

from typing import Any

import yaml
from pydantic import Field, field_validator

from workbench.core.budgets import Budget, read_budget
from workbench.core.cards import Name
from workbench.core.wire import Wire

SWEPT_SECTIONS = ("train", "mix", "curate", "synth")
"""Sections any key of which may be swept; besides them, SWEPT_KEYS."""
SWEPT_KEYS = ("data", "model.precision")


def sweepable(key: str) -> bool:
    """Whether arms may differ in this configuration key: whether training depends on it."""
    section, _, rest = key.partition(".")
    return key in SWEPT_KEYS or (section in SWEPT_SECTIONS and bool(rest))


def axis_of(setting: str) -> tuple[str, list[Any]] | None:
    """Key and values of a typed `KEY=A,B`; None for a setting with one value, or of a key that cannot be swept.

    Commas inside of brackets and quotes belong to a value: `data=[a, b]` is one, `data=[a],[a, b]` are two."""
    key, equals, text = setting.partition("=")
    if not equals or not sweepable(key):
        return None
    values = _values(text)
    return (key, values) if len(values) > 1 else None


def no_axis(setting: str) -> str | None:
    """Why a typed `KEY=A,B` cannot be an axis; None for one that can, and for a setting with one value."""
    key, equals, text = setting.partition("=")
    if not equals or sweepable(key) or len(_values(text)) < 2:
        return None
    return _no_axis(key)


def _values(text: str) -> list[Any]:
    """The values between the commas; empty for what cannot be read, which is refused as a setting."""
    try:
        values = yaml.safe_load(f"[{text}]")
    except yaml.YAMLError:
        return []
    return values if isinstance(values, list) else []


def _no_axis(key: str) -> str:
    if key in ("seed", "sweep.seeds"):
        return f"`{key}` is no axis: every combination is trained with the same seeds, as many as `sweep.seeds`"
    allowed = ", ".join([*(f"{name}.*" for name in SWEPT_SECTIONS), *SWEPT_KEYS])
    return f"{key!r} is nothing that arms may differ in; these are: {allowed}"


class SweepConfig(Wire):
    """`workbench sweep`: combinations of settings, each trained with several seeds, compared with the base and with
    each other."""

    axes: dict[str, tuple[Any, ...]] = {}
    """Configuration key to the values that are tried: `train.rank: [8, 16]`. Keys of `train`, `mix`, `curate` and
    `synth`, `data`, and `model.precision`. Without any, the one recipe is trained with several seeds."""
    seeds: int = Field(default=3, ge=1, le=20)
    """Trainings per combination, with the seeds `seed`, `seed` + 1, ...; three say something."""
    random: int | None = Field(default=None, ge=1)
    """At most so many combinations, drawn at random (by `seed`); None takes all."""
    budget: str | None = None
    """What one command may use: `2h`, `90min`, or `8 runs` (trainings). What is in the cache costs nothing, so the same
    command goes on where the last one stopped."""
    target: Name | None = None
    """The suite of role `target` that decides; None takes the first."""

    @property
    def limit(self) -> Budget:
        """The budget, read: seconds, or a count of trainings."""
        return read_budget(self.budget, "run")

    @field_validator("axes")
    @classmethod
    def _axes_train(cls, axes: dict[str, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
        for key, values in axes.items():
            if not sweepable(key):
                raise ValueError(_no_axis(key))
            if not values:
                raise ValueError(f"{key} has no value to try")
            if repeated := [value for place, value in enumerate(values) if value in values[:place]]:
                raise ValueError(f"{key} has the value {repeated[0]!r} twice")
        return axes

    @field_validator("budget")
    @classmethod
    def _budget_readable(cls, budget: str | None) -> str | None:
        read_budget(budget, "run")
        return budget
