"""The section `iterate` of the configuration: how many rounds, within which budget, for which weaknesses."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from workbench.core.budgets import Budget, read_budget
from workbench.core.wire import Wire

GroupedBy = Literal["topic", "part_of", "dataset"]


class IterateConfig(Wire):
    """Train, find weaknesses, make pairs for them, train again."""

    rounds: int = Field(default=3, ge=1, le=20)
    """At most so many rounds of finding, making pairs and training again, after a first training."""
    seeds: int = Field(default=3, ge=1, le=10)
    """Trainings per round, with the seeds `seed`, `seed` + 1, ...; all of them say whether a round beat the one before,
    the first is judged by the gate, searched for weaknesses and offered. One cannot tell a gain from a lucky seed."""
    budget: str | None = None
    """`2h`, `90m` or `500 requests`: no round is begun that would not fit; None sets no limit besides `rounds`."""
    pairs: int = Field(default=200, ge=1)
    """Candidates that each round makes for its weak topics, at most."""
    topics: int = Field(default=5, ge=1)
    """Weak topics that a round works on, at most; those furthest behind come first."""
    by: GroupedBy | None = None
    """What a topic is: the record's `topic`, what it was cut from (`part_of`: a module, a document), or its dataset.
    None takes the first of these in which two topics or more have enough documents."""
    min_documents: int = Field(default=8, ge=3)
    """Independent development documents that a topic needs to be judged."""
    development_share: float = Field(default=0.25, gt=0, le=0.5)
    """Share of a topic's documents that may be set aside to find weaknesses on; they are never trained on."""
    development_max: int = Field(default=400, ge=6)
    """At most so many development documents in all, spread evenly over the largest topics."""

    @field_validator("budget")
    @classmethod
    def _can_be_read(cls, budget: str | None) -> str | None:
        read_budget(budget, "request")
        return budget

    @model_validator(mode="after")
    def _two_topics_fit(self) -> IterateConfig:
        if self.development_max < 2 * self.min_documents:
            raise ValueError(
                f"development_max {self.development_max} is not enough for two topics of min_documents "
                f"{self.min_documents} each"
            )
        return self

    @property
    def limit(self) -> Budget:
        """The budget, read: seconds, or a count of requests to teachers."""
        return read_budget(self.budget, "request")
