"""What a builder is, and what it gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from workbench.core.cards import Card
from workbench.core.errors import UsageError
from workbench.core.records import Record
from workbench.core.stage import Context, Summary


@dataclass(frozen=True, slots=True)
class Built:
    """A dataset made from what is installed."""

    records: list[Record]
    """Training side; empty for builders that only serve suites."""
    documents: dict[str, list[dict[str, Any]]]
    """Suite documents by part name."""
    summary: Summary = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Builder:
    """One line of the registry."""

    build: Callable[[Card, int, Context], Built | None]
    """From card, seed and context; None if the job was cancelled."""
    external: Callable[[], dict[str, str]]
    """What the output depends on besides the card: versions, or SHA-256 of files."""


def whole_numbers(card: Card, options: dict[str, Any], defaults: dict[str, int]) -> dict[str, int]:
    """`defaults` overridden by the card's options; UsageError for an unknown name or a value below 1."""
    for name, value in options.items():
        where = f"dataset card {card.name}: source.options.{name}"
        if name not in defaults:
            raise UsageError(f"unknown option; known options: {', '.join(defaults) or 'none'}", where=where)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise UsageError(f"expected a whole number above 0, got {value!r}", where=where)
    return defaults | options
