from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from report_artifacts import TARGET, WRITTEN_AT, make_run

from workbench.core.errors import IncompleteError
from workbench.core.events import Event, NodeMessage
from workbench.core.parts import read_model, write_model
from workbench.core.results import Verdict
from workbench.core.stage import Context, Done
from workbench.report.model import ReportModel
from workbench.report.stage import STAGE


def context(out_dir: Path, events: list[Event]) -> Context:
    out_dir.mkdir()
    return Context(
        node="report",
        out_dir=out_dir,
        work_dir=out_dir,
        project=out_dir,
        seed=7,
        emit=events.append,
        clock=lambda: WRITTEN_AT,
        cancelled=lambda: False,
        fingerprint=TARGET,
    )


def test_the_node_writes_four_files_that_tell_the_same_verdict(tmp_path: Path) -> None:
    run = make_run(tmp_path / "artifacts", "regressed")
    outcome = STAGE.run(run.config, run.inputs, context(tmp_path / "out", []))
    assert isinstance(outcome, Done)
    assert outcome.summary["state"] == "regressed"
    assert outcome.summary["exit_code"] == 1
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"report.html", "report.md", "report.json", "junit.xml"}
    model = read_model(tmp_path / "out" / "report.json", ReportModel)
    assert (model.target, model.written_at, model.seed) == (TARGET, WRITTEN_AT, 7)
    for name in names:
        assert model.verdict.headline in (tmp_path / "out" / name).read_text(encoding="utf-8")


def test_two_runs_of_the_node_write_the_same_bytes(tmp_path: Path) -> None:
    run = make_run(tmp_path / "artifacts")
    for name in ("first", "second"):
        STAGE.run(run.config, run.inputs, context(tmp_path / name, []))
    for path in (tmp_path / "first").iterdir():
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes()


def test_an_alarm_is_also_an_event(tmp_path: Path) -> None:
    run = make_run(tmp_path / "artifacts")
    path = run.inputs["gate"].part("verdict.json")
    verdict = read_model(path, Verdict)
    others = tuple(other.model_copy(update={"nothing_changed": False}) for other in verdict.others)
    write_model(path, verdict.model_copy(update={"others": others}))
    events: list[Event] = []
    STAGE.run(run.config, run.inputs, context(tmp_path / "out", events))
    warnings = [event.message for event in events if isinstance(event, NodeMessage) and event.level == "warning"]
    assert len(warnings) == 1
    assert "sham" in warnings[0]


def test_a_broken_artifact_is_named_and_ends_the_node(tmp_path: Path) -> None:
    run = make_run(tmp_path / "artifacts")
    run.inputs["gate"].part("verdict.json").write_text("{}", encoding="utf-8")
    with pytest.raises(IncompleteError, match=r"verdict\.json: is no valid Verdict"):
        STAGE.run(run.config, run.inputs, context(tmp_path / "out", []))


def test_importing_the_stage_loads_neither_templates_nor_the_heavy_libraries() -> None:
    heavy = ("jinja2", "torch", "transformers", "duckdb", "pandas")
    code = f"import sys, workbench.report.stage; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.strip() == "[]"
