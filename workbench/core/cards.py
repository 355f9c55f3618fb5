"""Dataset cards: a few lines of YAML that say where data is and how to read it.

name: support-tickets
source: {kind: file, path: data/tickets.jsonl}
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from workbench.core.wire import Wire

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
"""Names of datasets, suites, arms and endpoints: letters, digits, dot, dash and underscore, at most 64."""

FormatName = Literal["auto", "alpaca", "sharegpt", "messages", "prompt_completion", "preference", "text"]


class FileSource(Wire):
    """A local file, folder or glob."""

    kind: Literal["file"]
    """A local source."""
    path: str
    """Relative to the project (which it may not leave), or absolute. JSONL, JSON, CSV, TSV, Parquet, Arrow, text, a
    dataset saved by `save_to_disk`; all but the tables also with .gz, .bz2, .xz or .zst."""


class HubSource(Wire):
    """A dataset on the Hugging Face hub."""

    kind: Literal["hub"]
    """A source on the hub."""
    id: str
    """Such as `tatsu-lab/alpaca`."""
    split: str = "train"
    """Split of the dataset, or several: `train+test`."""
    revision: str | None = None
    """Commit, tag or branch; name one to make runs repeatable."""
    config: str | None = None
    """Configuration (subset) of the dataset."""
    folder: str | None = None
    """Folder of the repository that is read; None reads what the dataset itself says."""


class LlamaFactorySource(Wire):
    """An entry of LLaMA-Factory's `dataset_info.json`."""

    kind: Literal["llama_factory"]
    """A dataset described for LLaMA-Factory."""
    path: str
    """The `dataset_info.json`, or the folder that holds it."""
    entry: str
    """Name of the entry."""


class BuilderSource(Wire):
    """A dataset that the program makes from what is installed."""

    kind: Literal["builder"]
    """A built-in source."""
    builder: Literal["python-docs", "mmlu-dev"]
    """`python-docs`: documentation of the running Python. `mmlu-dev`: the MMLU development questions inside lm-eval."""
    options: dict[str, Any] = {}
    """Options of the builder."""


class Card(Wire):
    """One dataset."""

    name: Name
    """Name of the dataset; the card is called NAME.yaml."""
    description: str = ""
    """What the data is, for people."""
    licence: str = "unknown"
    """SPDX identifier where there is one."""
    source: Annotated[FileSource | HubSource | LlamaFactorySource | BuilderSource, Field(discriminator="kind")]
    """Where the data is."""
    format: FormatName = "auto"
    """Shape of the rows; `auto` looks at each row and takes the vote."""
    columns: dict[str, str] = {}
    """Other names of the columns, canonical name first: `{prompt: question, completion: reply}`."""
    limit: int | None = Field(default=None, ge=1)
    """At most so many rows, from the start."""
    heldout_fraction: float = Field(default=0.1, ge=0, lt=1)
    """Share of the rows kept away from training for the dataset's own target suite; split by duplicate cluster."""
    heldout_max: int = Field(default=200, ge=1)
    """At most so many rows are held out."""
    max_line_bytes: int = Field(default=4_000_000, ge=1000)
    """Longer lines go to quarantine."""
