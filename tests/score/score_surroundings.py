"""What the tests of scoring share: suites on disk, a context, artifacts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from manifests import made_up_manifest

from workbench.core.config import ArmConfig, ModelConfig
from workbench.core.events import Event, NodeMessage
from workbench.core.nodes import ScoreNode
from workbench.core.records import ScoreRow
from workbench.core.stage import Artifact, Context
from workbench.core.suites import Documents, Suite

CHOICES = [
    {"question": "The keys to the cabinet", "choices": ["are here", "is"], "answer": 0, "kind": "a"},
    {"question": "Two and two make", "choices": ["four", "five", "a very long wrong answer"], "answer": 0, "kind": "b"},
    {"question": "Grass is", "choices": ["red", "green"], "answer": 1, "kind": "a"},
    {"question": "Snow is", "choices": ["white", "black"], "answer": 0, "kind": "b"},
    {"question": "Grass is", "choices": ["red", "green"], "answer": 1, "kind": "a"},
]


def suite_of(**settings: Any) -> Suite:
    """A suite with what every suite needs filled in."""
    defaults: dict[str, Any] = {"name": "tests", "kind": "lm_eval", "role": "general", "primary_metric": "acc"}
    merged = {**defaults, **settings}
    merged.setdefault("documents", Documents(file=f"{merged['name']}.jsonl"))
    return Suite(**merged)


def write_lines(path: Path, documents: Sequence[dict[str, Any]]) -> None:
    """Documents as JSON Lines, surrogates escaped."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(document) + "\n" for document in documents), encoding="utf-8")


@dataclass
class Runner:
    """A project directory and everything a stage's context hears."""

    project: Path
    model: ModelConfig
    work_dir: Path
    events: list[Event] = field(default_factory=list)
    cancel_at: str | None = None
    """Cancelled from the first progress with this message on."""
    attempts: int = 0

    def suite(self, documents: Sequence[dict[str, Any]], **settings: Any) -> Suite:
        """A suite whose documents lie in the project's evals/."""
        suite = suite_of(**settings)
        write_lines(self.project / "evals" / str(suite.documents.file), documents)
        return suite

    def node(self, *suites: Suite, **arm: Any) -> ScoreNode:
        """The node of one arm."""
        chosen = ArmConfig(**{"name": "base", "precision": self.model.precision, "batch_size": 3, **arm})
        return ScoreNode(arm=chosen, model=self.model, suites=suites, suites_dir="evals", seed=0)

    def context(self) -> Context:
        """A context with a fresh out_dir and the same work_dir."""
        self.attempts += 1
        out_dir = self.project / f"out{self.attempts}"
        out_dir.mkdir()
        return Context(
            node="score:base",
            out_dir=out_dir,
            work_dir=self.work_dir,
            project=self.project,
            seed=0,
            emit=self.events.append,
            clock=lambda: "2026-01-01T00:00:00Z",
            cancelled=lambda: (
                self.cancel_at is not None
                and any(getattr(event, "message", None) == self.cancel_at for event in self.events)
            ),
        )

    def messages(self) -> list[str]:
        """What people were told."""
        return [event.message for event in self.events if isinstance(event, NodeMessage)]


def artifact(path: Path, node: str) -> Artifact:
    """An artifact around files a test wrote."""
    return Artifact(path=path, manifest=made_up_manifest(node))


def values(rows: Sequence[ScoreRow], metric: str, filter_name: str = "none") -> list[float | None]:
    """Values of one metric under one filter, in document order."""
    return [row.value for row in rows if row.metric == metric and row.filter == filter_name]


def documents_of(rows: Sequence[ScoreRow]) -> list[tuple[str, int]]:
    """Keys of the rows' documents."""
    return [(row.doc_hash, row.occurrence) for row in rows]
