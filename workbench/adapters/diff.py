"""Two adapters side by side: what they were made from, what the gate said of each, how far apart their weights are.

    difference(support@2, support@3)
    ->  settings  train.rank: 8 -> 16
        data      other rows
        suites    capitals: gain +0.01 -> +0.03
        weights   cosine 0.82, relative distance 0.61 over 210 layers

LoRA's factors are not unique (B and A may be scaled and turned against each other), so what is compared is the change
they make to a weight, s B A. The inner product of two such changes needs no full matrix:
<s B A, t D C> = s t sum((B' D) * (A C')), entry by entry, with matrices of the size of the ranks.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.adapters.registry import Registered, check_unchanged
from workbench.core.adapters import SuiteResult
from workbench.core.errors import IncompleteError
from workbench.models.adapter_files import CONFIG, WEIGHTS

_LAYERS_NAMED = 5


@dataclass(frozen=True, slots=True)
class Changed:
    """A value that differs; None where one of them has none."""

    key: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class SuiteChange:
    """One suite in the last verdict on each; None where it was not measured."""

    suite: str
    metric: str
    before: SuiteResult | None
    after: SuiteResult | None


@dataclass(frozen=True, slots=True)
class LayerDistance:
    """How far apart two changes of one weight are."""

    layer: str
    cosine: float | None
    """None where one of them is zero."""
    relative_distance: float | None
    """Norm of the difference over the norm of the first; None where the first is zero."""


@dataclass(frozen=True, slots=True)
class WeightDistance:
    """The same over all layers, and the layers that differ most."""

    compared: str
    """`weight changes` (s B A) or, where an adapter is more than that, its `parameters` one by one."""
    layers: int
    only_before: int
    """Layers that the first alone changes."""
    only_after: int
    cosine: float | None
    relative_distance: float | None
    furthest: tuple[LayerDistance, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """Two adapters."""

    before: str
    after: str
    same_content: bool
    settings: tuple[Changed, ...]
    """Base, method, seed, data, and every training setting that differs."""
    suites: tuple[SuiteChange, ...]
    same_opponents: bool
    """Both verdicts were given against arms of the same name, in runs with the same base."""
    weights: WeightDistance | None
    """None where their parameters cannot be compared."""
    weights_reason: str = ""
    """Why not."""


def difference(before: Registered, after: Registered) -> Difference:
    """What distinguishes two adapters; IncompleteError if their files changed or cannot be read."""
    check_unchanged(before)
    check_unchanged(after)
    distance, reason = _weights(before.directory, after.directory)
    judged = (before.judged[-1:], after.judged[-1:])
    return Difference(
        before=before.reference,
        after=after.reference,
        same_content=before.sha256 == after.sha256,
        settings=tuple(_settings(before, after)),
        suites=_suites(before, after),
        same_opponents=before.base_fingerprint == after.base_fingerprint
        and {line.before for line in judged[0]} == {line.before for line in judged[1]},
        weights=distance,
        weights_reason=reason,
    )


def _settings(before: Registered, after: Registered) -> Iterator[Changed]:
    left, right = _facts(before), _facts(after)
    for key in dict.fromkeys((*left, *right)):
        if left.get(key) != right.get(key):
            yield Changed(key, left.get(key), right.get(key))


def _facts(adapter: Registered) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "base": adapter.base,
        "base_fingerprint": adapter.base_fingerprint,
        "precision": adapter.precision,
        "method": adapter.method,
    }
    if (made := adapter.registration) is not None:
        facts |= {"seed": made.seed, "data_sha256": made.data_sha256}
        facts |= {f"train.{key}": value for key, value in _flat(made.train)}
        facts |= made.metrics
    return facts


def _flat(settings: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _suites(before: Registered, after: Registered) -> tuple[SuiteChange, ...]:
    left, right = (
        {(one.suite, one.metric): one for line in adapter.judged[-1:] for one in line.suites}
        for adapter in (before, after)
    )
    return tuple(SuiteChange(*key, left.get(key), right.get(key)) for key in dict.fromkeys((*left, *right)))


def _weights(before: Path, after: Path) -> tuple[WeightDistance | None, str]:
    """The distance of the weights, or why there is none."""
    missing = [str(directory) for directory in (before, after) if not (directory / WEIGHTS).is_file()]
    if missing:
        return None, f"{WEIGHTS} is missing in {' and '.join(missing)}: not an adapter of PEFT"
    left, right = _read(before / WEIGHTS), _read(after / WEIGHTS)
    left_scale, right_scale = _scale(before, left), _scale(after, right)
    if left_scale is not None and right_scale is not None:
        products = _products_of_changes(left, right, left_scale, right_scale)
        return _distance("weight changes", products), ""
    shapes = {name: (left[name].shape, right[name].shape) for name in left.keys() & right.keys()}
    if not shapes or any(one != other for one, other in shapes.values()):
        return None, "their parameters have different names or shapes"
    return _distance("parameters", _products_of_parameters(left, right)), ""


@dataclass(frozen=True, slots=True)
class _Products:
    """Inner products of two changes of one layer; None for the one that does not touch it."""

    layer: str
    left: float | None
    """<X, X>."""
    right: float | None
    """<Y, Y>."""
    both: float
    """<X, Y>."""


def _distance(compared: str, products: list[_Products]) -> WeightDistance:
    shared = [one for one in products if one.left is not None and one.right is not None]
    left = math.fsum(one.left for one in products if one.left is not None)
    right = math.fsum(one.right for one in products if one.right is not None)
    whole = _layer(_Products("all", left, right, math.fsum(one.both for one in products)))
    layers = [_layer(one) for one in shared]
    furthest = sorted(layers, key=lambda one: -(one.relative_distance or 0.0))[:_LAYERS_NAMED]
    return WeightDistance(
        compared=compared,
        layers=len(shared),
        only_before=sum(one.right is None for one in products),
        only_after=sum(one.left is None for one in products),
        cosine=whole.cosine,
        relative_distance=whole.relative_distance,
        furthest=tuple(furthest),
    )


def _layer(one: _Products) -> LayerDistance:
    left, right = one.left or 0.0, one.right or 0.0
    cosine = one.both / math.sqrt(left * right) if left > 0 and right > 0 else None
    # Rounding may leave a distance of zero slightly negative.
    relative = math.sqrt(max(0.0, left + right - 2 * one.both) / left) if left > 0 else None
    return LayerDistance(one.layer, cosine, relative)


def _products_of_changes(left: Any, right: Any, left_scale: float, right_scale: float) -> list[_Products]:
    """<s B A, t D C> = s t sum((B' D) * (A C')), for every layer of either."""

    def inner(one: tuple[Any, Any], other: tuple[Any, Any], scale: float) -> float:
        (a, b), (c, d) = one, other
        return float(((b.T @ d) * (a @ c.T)).sum()) * scale

    mine, yours = _factors(left), _factors(right)
    products = []
    for layer in dict.fromkeys((*mine, *yours)):
        x, y = mine.get(layer), yours.get(layer)
        products.append(
            _Products(
                layer,
                None if x is None else inner(x, x, left_scale * left_scale),
                None if y is None else inner(y, y, right_scale * right_scale),
                0.0 if x is None or y is None else inner(x, y, left_scale * right_scale),
            )
        )
    return products


def _products_of_parameters(left: Any, right: Any) -> list[_Products]:
    products = []
    for name in dict.fromkeys((*left, *right)):
        x, y = left.get(name), right.get(name)
        products.append(
            _Products(
                name,
                None if x is None else float((x * x).sum()),
                None if y is None else float((y * y).sum()),
                0.0 if x is None or y is None else float((x * y).sum()),
            )
        )
    return products


def _factors(tensors: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Layer to (A [rank, inputs], B [outputs, rank])."""
    suffix = ".lora_A.weight"
    layers = [name.removesuffix(suffix) for name in tensors if name.endswith(suffix)]
    return {
        layer.removeprefix("base_model.model."): (tensors[f"{layer}{suffix}"], tensors[f"{layer}.lora_B.weight"])
        for layer in layers
    }


def _scale(directory: Path, tensors: dict[str, Any]) -> float | None:
    """alpha / rank, or alpha / sqrt(rank) for rank-stabilised LoRA; None if the adapter is more than s B A."""
    try:
        settings = json.loads((directory / CONFIG).read_text(encoding="utf-8"))
        is_lora = settings["peft_type"] == "LORA"
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise IncompleteError(f"is no adapter configuration of PEFT: {error}", where=str(directory / CONFIG)) from None
    plain = all(name.endswith((".lora_A.weight", ".lora_B.weight")) for name in tensors)
    if not is_lora or not plain or settings.get("rank_pattern") or settings.get("alpha_pattern"):
        return None
    rank, alpha = float(settings["r"]), float(settings["lora_alpha"])
    return alpha / math.sqrt(rank) if settings.get("use_rslora") else alpha / rank


def _read(file: Path) -> dict[str, Any]:
    """All tensors in float64, in name order; bf16 goes through torch, for numpy has no such type."""
    # 1 s: torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(str(file))
    except SafetensorError as error:
        raise IncompleteError(f"is no readable safetensors file: {error}", where=str(file)) from error
    return {name: tensors[name].double().numpy() for name in sorted(tensors)}
