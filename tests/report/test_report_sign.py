from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from report_artifacts import TARGET, built, make_run

from workbench.core.errors import IncompleteError, UsageError
from workbench.core.parts import write_model
from workbench.core.stage import Artifact
from workbench.report.sign import example_decision, read_decision


@pytest.fixture
def report(tmp_path: Path) -> Artifact:
    run = make_run(tmp_path / "artifacts")
    write_model(tmp_path / "report.json", built(run))
    return Artifact(tmp_path, run.inputs["gate"].manifest)


def decision_file(tmp_path: Path, **changes: Any) -> Path:
    fields = json.loads(example_decision(TARGET)) | {"at": "2026-11-22T10:00:00Z", "who": "Ada", "verdict": "approved"}
    path = tmp_path / "DECISION.json"
    path.write_text(json.dumps(fields | changes), encoding="utf-8")
    return path


def test_a_filled_in_example_is_a_decision_with_an_id_of_its_content(tmp_path: Path, report: Artifact) -> None:
    decision = read_decision(decision_file(tmp_path), report)
    assert (decision.who, decision.verdict, decision.target, decision.kind) == ("Ada", "approved", TARGET, "sign_off")
    assert decision == read_decision(decision_file(tmp_path), report)
    assert decision.id != read_decision(decision_file(tmp_path, note="read the flips"), report).id
    assert read_decision(decision_file(tmp_path, id="chosen"), report).id == "chosen"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"target": "d" * 64}, "another report"),
        ({"who": "  "}, "needs a name"),
        ({"verdict": "fine"}, "choose one of: approved, needs work, rejected"),
        ({"kind": "restore"}, "signed with 'sign_off'"),
        ({"at": "yesterday"}, "expected a UTC time"),
        ({"at": "2026-11-22T10:00:00"}, "expected a UTC time"),
        ({"at": "2026-11-22T10:00:00+02:00"}, "expected a UTC time"),
        ({"schema_version": 99}, "newer version"),
        ({"signature": "x"}, "signature: Extra inputs"),
        ({"kind": "nonsense"}, "is no decision: kind"),
    ],
)
def test_a_decision_that_is_wrong_is_refused_with_its_reason(
    tmp_path: Path, report: Artifact, changes: dict[str, Any], problem: str
) -> None:
    with pytest.raises(UsageError, match=problem):
        read_decision(decision_file(tmp_path, **changes), report)


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff\xfe", b'"x"', b"[" * 100_000 + b"]" * 1000])
def test_what_is_no_json_object_is_refused(tmp_path: Path, report: Artifact, content: bytes) -> None:
    path = tmp_path / "DECISION.json"
    path.write_bytes(content)
    with pytest.raises(UsageError):
        read_decision(path, report)


def test_a_missing_file_and_a_missing_report_are_told_apart(tmp_path: Path, report: Artifact) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_decision(tmp_path / "absent.json", report)
    (tmp_path / "report.json").unlink()
    with pytest.raises(IncompleteError, match="missing"):
        read_decision(decision_file(tmp_path), report)
