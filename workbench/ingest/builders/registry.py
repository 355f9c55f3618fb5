"""Datasets that the program makes from what is installed, by the name a card gives."""

from __future__ import annotations

from workbench.ingest.builders import mmlu_dev, python_docs
from workbench.ingest.builders.built import Builder

BUILDERS: dict[str, Builder] = {
    "python-docs": python_docs.BUILDER,
    "mmlu-dev": mmlu_dev.BUILDER,
}
