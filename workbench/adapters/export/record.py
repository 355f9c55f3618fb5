"""What an export says about itself: `export.json`, beside the files it lists."""

from __future__ import annotations

from typing import Literal

from workbench.adapters.export.verify import Agreement
from workbench.core.records import Part, Text
from workbench.core.wire import Wire

RECORD = "export.json"
CARD = "README.md"

Format = Literal["merged", "gguf-f16", "gguf-q8_0", "gguf-q4_k_m", "adapter"]
FORMATS: tuple[Format, ...] = ("merged", "gguf-f16", "gguf-q8_0", "gguf-q4_k_m", "adapter")

Base = Literal["full", "dequantised"]
BASES: tuple[Base, ...] = ("full", "dequantised")
"""The weights that an adapter is merged into: as published, or the NF4 ones it was trained on."""


class ExportRecord(Wire):
    """One export."""

    schema_version: int = 1
    name: str
    reference: str
    """What was exported: `NAME@VERSION`, or the directory."""
    format: Format
    merged_into: Base | None
    """The base's weights that the adapter was added to; None where it stays apart."""
    base: str
    base_fingerprint: str
    base_licence: str | None
    precision: str
    """Of the base in training and scoring."""
    method: str
    adapter_sha256: str
    """Over all files of the adapter, as the registry has it."""
    run: str | None
    checks: tuple[Agreement, ...] = ()
    """What was compared with what, before anything was published."""
    tensors: int | None = None
    """Tensors of a GGUF file that were read back and lie within rounding of the merged weights."""
    remarks: tuple[Text, ...] = ()
    """What a user of the files should know."""
    serve: str | None = None
    """Command line that serves it."""
    made_at: str
    """UTC, ISO 8601."""
    workbench_version: str
    libraries: dict[str, str] = {}
    files: tuple[Part, ...] = ()
    """Every file but this one."""
