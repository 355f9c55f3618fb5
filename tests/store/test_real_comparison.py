"""The compare stage's own numbers against the samples in the index: nothing shared but the data."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from contexts import made_up_context
from sample_project import DOCUMENTS, RUN, append_events, commit_artifact, write_plan
from test_queries import by_hand

from workbench.compare.stage import STAGE
from workbench.core.config import CompareConfig, PairConfig
from workbench.core.events import NodeCached, RunStarted
from workbench.core.nodes import CompareNode
from workbench.core.parts import describe_parts, read_model, write_model
from workbench.core.paths import Project
from workbench.core.records import Manifest
from workbench.core.stage import Artifact, Done
from workbench.core.suites import Documents, Suite
from workbench.store import queries
from workbench.store.loader import load_artifact, load_run


def suite(name: str, metric: str) -> Suite:
    return Suite(
        name=name,
        kind="lm_eval" if metric == "acc" else "perplexity",
        role="general",
        documents=Documents(file=f"{name}.jsonl"),
        primary_metric=metric,
        groups="group",
        cluster="cluster",
    )


def test_what_the_compare_stage_reports_can_be_recomputed_from_samples(indexed: Project, tmp_path: Path) -> None:
    pair = PairConfig(before="base@nf4", after="candidate", purpose="candidate")
    config = CompareNode(
        compare=CompareConfig(pairs=(pair,), bootstrap_resamples=999),
        suites=(suite("docs", "nll"), suite("capitals", "acc")),
        alpha=0.05,
        max_failed_fraction=0.2,
    )
    inputs = {
        manifest.node: Artifact(path.parent, manifest)
        for path in sorted((indexed.artifacts / "score").glob("*/manifest.json"))
        if (manifest := read_model(path, Manifest)).node != "score:judge"
    }
    out = tmp_path / "out"
    out.mkdir()
    ctx = made_up_context("compare", out, work_dir=tmp_path, project=indexed.root)
    assert isinstance(STAGE.run(config, inputs, ctx), Done)
    index, run = commit_as_run(indexed, out)

    (found,) = queries.comparison(index, run)
    rows = {row.suite: row for row in found.suites}
    recomputed = {row[0]: row[1:] for row in queries.query(index, by_hand(run)).rows}
    assert set(recomputed) == set(rows) == {"docs", "capitals"}
    for name, (scored, before, after, forgotten, learned) in recomputed.items():
        row = rows[name]
        assert (row.n, scored) == (DOCUMENTS, DOCUMENTS - 1 if name == "docs" else DOCUMENTS)  # one failed, and counts
        assert (row.before, row.after) == (pytest.approx(before, abs=1e-12), pytest.approx(after, abs=1e-12))
        assert row.gain == pytest.approx((before - after) if name == "docs" else (after - before), abs=1e-12)
        if name == "capitals":
            assert (row.forgotten, row.learned) == (forgotten, learned)
            assert sum(queries.count_flips(index, run, "base@nf4", "candidate").values()) == forgotten + learned


def commit_as_run(project: Project, out: Path) -> tuple[Path, str]:
    """Commits the stage's output as the `compare` of a second run over the same arms."""
    directory, fingerprint = commit_artifact(project, "compare", {}, {}, version=2)
    for part in out.iterdir():
        shutil.copy(part, directory / part.name)
    manifest = read_model(directory / "manifest.json", Manifest)
    write_model(directory / "manifest.json", manifest.model_copy(update={"parts": describe_parts(directory)}))
    load_artifact(project.index, directory)
    rows = queries.query(project.index, f"SELECT node, fingerprint FROM run_nodes WHERE run = '{RUN}'").rows
    fingerprints = {**dict(rows), "compare": fingerprint}
    run_dir = write_plan(project, "second", fingerprints)
    append_events(run_dir, [RunStarted(run="second", pid=1, nodes=(), resumed=False)])
    append_events(run_dir, [NodeCached(node=node, fingerprint=name) for node, name in fingerprints.items()])
    load_run(project.index, run_dir)
    return project.index, "second"
