"""Rooms for the curate stage: an ingest artifact made of given records, a context, and the stage run on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from contexts import made_up_context
from manifests import made_up_manifest

from workbench.core.config import ModelConfig
from workbench.core.curation import CurateConfig
from workbench.core.funnel import Funnel
from workbench.core.nodes import CurateNode
from workbench.core.parts import describe_parts, read_model, read_rows, write_documents, write_rows
from workbench.core.records import Drop, Edge, Finding, Record
from workbench.core.stage import Artifact, Context, Outcome
from workbench.core.suites import Suite
from workbench.curate.stage import run


@dataclass(frozen=True)
class Curated:
    """What the stage returned and wrote."""

    outcome: Outcome
    records: list[Record]
    dropped: list[Drop]
    findings: list[Finding]
    edges: list[Edge]
    funnel: Funnel
    said: list[Any]
    out_dir: Path

    def reasons(self, row: int, action: str = "drop") -> list[str]:
        return [finding.reason for finding in self.findings if finding.row == row and finding.action == action]

    def detail(self, row: int, reason: str) -> str:
        return next(finding.detail for finding in self.findings if (finding.row, finding.reason) == (row, reason))


@dataclass(frozen=True)
class Prepared:
    """Everything the stage is called with."""

    config: CurateNode
    inputs: dict[str, Artifact]
    context: Context
    said: list[Any]

    def run(self) -> Curated:
        """Runs the stage."""
        outcome = run(self.config, self.inputs, self.context)
        out_dir = self.context.out_dir
        return Curated(
            outcome=outcome,
            records=list(read_rows(out_dir / "records.jsonl", Record)),
            dropped=list(read_rows(out_dir / "dropped.jsonl", Drop)),
            findings=list(read_rows(out_dir / "findings.jsonl", Finding)),
            edges=list(read_rows(out_dir / "edges.jsonl", Edge)),
            funnel=read_model(out_dir / "funnel.json", Funnel),
            said=self.said,
            out_dir=out_dir,
        )


@pytest.fixture
def prepare(tmp_path: Path) -> Callable[..., Prepared]:
    """Lays out a project with records and suites; the keys of `CurateConfig` are given by name, `restored` too.

    Words are counted unless `count_tokens=True`: a tokenizer takes seconds to learn."""

    def lay_out(
        records: Sequence[Record],
        suites: Sequence[tuple[Suite, list[dict[str, Any]]]] = (),
        *,
        restored: Sequence[str] = (),
        segment: str = "",
        **settings: Any,
    ) -> Prepared:
        root = tmp_path / str(len(list(tmp_path.iterdir())))
        write_rows(root / "ingest" / "records.jsonl", records)
        for suite, documents in suites:
            folder, name = ("evals", suite.documents.file) if suite.documents.file else ("ingest", suite.documents.part)
            write_documents(root / folder / str(name), documents)
        (root / "out").mkdir()
        said: list[Any] = []
        context = made_up_context("curate", root / "out", work_dir=root / "work", project=root, emit=said.append)
        config = CurateNode(
            curate=CurateConfig(**{"count_tokens": False} | settings),
            datasets=("data",),
            suites=tuple(suite for suite, _ in suites),
            suites_dir="evals",
            model=ModelConfig(),
            max_length=512,
            restored=tuple(restored),
            segment=segment,
            seed=0,
        )
        manifest = made_up_manifest("ingest:data", parts=describe_parts(root / "ingest"))
        return Prepared(config, {"ingest:data": Artifact(root / "ingest", manifest)}, context, said)

    return lay_out


@pytest.fixture
def curate(prepare: Callable[..., Prepared]) -> Callable[..., Curated]:
    """Runs the stage on records; arguments as for `prepare`."""

    def run_on(*arguments: Any, **settings: Any) -> Curated:
        return prepare(*arguments, **settings).run()

    return run_on


@pytest.fixture
def in_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two worker processes and batches of three rows, however small the data."""
    monkeypatch.setattr("workbench.curate.stage.processes_for", lambda rows: 2)
    monkeypatch.setattr("workbench.curate.batch.BATCH_ROWS", 3)
