"""A reviewer's decision on a report, read from a file and checked against that report.

{"schema_version": 1, "id": "3f9c...", "at": "2026-11-22T08:30:00Z", "who": "Ada", "kind": "sign_off",
 "target": "<fingerprint of the report>", "verdict": "approved", "note": "flips read"}
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

from pydantic import ValidationError

from workbench.core.errors import UsageError
from workbench.core.fingerprints import short_id
from workbench.core.parts import read_model
from workbench.core.records import SCHEMA_VERSION, Decision
from workbench.core.stage import Artifact
from workbench.report.model import ReportModel

VERDICTS = ("approved", "needs work", "rejected")
_MAX_BYTES = 100_000


def read_decision(path: Path, report: Artifact) -> Decision:
    """The decision in the file, ready to be appended to the project's decisions.

    A missing `id` is derived from the rest. Raises UsageError if the file is missing, is no decision, names nobody, has
    an unknown verdict or no UTC time, or is about another report; IncompleteError if the artifact holds no report.
    """
    signed = read_model(report.part("report.json"), ReportModel)
    decision = _read(path)
    problem = _problem(decision, signed)
    if problem:
        raise UsageError(problem, where=str(path), next_step="copy the decision from the report's page again")
    return decision


def example_decision(target: str) -> str:
    """The JSON of a decision to be filled in by hand."""
    example = {
        "schema_version": SCHEMA_VERSION,
        "at": "YYYY-MM-DDTHH:MM:SSZ",
        "who": "",
        "kind": "sign_off",
        "target": target,
        "verdict": " | ".join(VERDICTS),
        "note": "",
    }
    return json.dumps(example, indent=2, ensure_ascii=False)


def _read(path: Path) -> Decision:
    where = str(path)
    try:
        with path.open("rb") as stream:
            data = stream.read(_MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"decision cannot be read: {error.strerror}", where=where) from None
    if len(data) > _MAX_BYTES:
        raise UsageError(f"decision is larger than {_MAX_BYTES:,} bytes", where=where)
    try:
        fields = json.loads(data.decode("utf-8-sig"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise UsageError(f"decision is not JSON: {error}", where=where) from None
    if not isinstance(fields, dict):
        raise UsageError("expected a JSON object", where=where)
    if "id" not in fields:
        fields["id"] = short_id(fields)
    try:
        return Decision.model_validate(fields)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}" for detail in error.errors()]
        raise UsageError("is no decision: " + "; ".join(problems), where=where) from None


def _problem(decision: Decision, report: ReportModel) -> str | None:
    if decision.schema_version > SCHEMA_VERSION:
        return f"was written by a newer version (schema {decision.schema_version})"
    if decision.kind != "sign_off":
        return f"kind is {decision.kind!r}; a report is signed with 'sign_off'"
    if not decision.who.strip():
        return "`who` is empty: a decision needs a name"
    if decision.verdict not in VERDICTS:
        return f"verdict is {decision.verdict!r}; choose one of: {', '.join(VERDICTS)}"
    if not _is_utc(decision.at):
        return f"`at` is {decision.at!r}; expected a UTC time such as 2026-11-22T08:30:00Z"
    if decision.target != report.target:
        return f"is about another report (target {decision.target[:16]}, this one is {report.target[:16]})"
    return None


def _is_utc(timestamp: str) -> bool:
    try:
        offset = datetime.fromisoformat(timestamp).utcoffset()
    except ValueError:
        return False
    return offset is not None and not offset
