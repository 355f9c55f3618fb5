"""Builders of scored arms for the tests of `compare`: rows, suites, artifacts, a context."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from contexts import made_up_context
from manifests import made_up_manifest

from workbench.core.parts import write_model, write_rows
from workbench.core.records import Judgment, ScoreRow
from workbench.core.results import ArmInfo, Interval, JudgeTrust
from workbench.core.stage import Artifact, Context
from workbench.core.suites import Documents, Suite


def suite(name: str = "capitals", kind: str = "lm_eval", metric: str = "acc", **fields: Any) -> Suite:
    """A gated suite of role general with margin 0.05, unless told otherwise."""
    values = {"role": "general", "documents": Documents(file="documents.jsonl"), **fields}
    return Suite.model_validate({"name": name, "kind": kind, "primary_metric": metric, **values})


def rows(values: Sequence[float | None], of: Suite, *, arm: str = "base", **columns: Any) -> list[ScoreRow]:
    """One row per value; a list among `columns` gives each row its own."""
    found = []
    for index, value in enumerate(values):
        own = {key: column[index] if isinstance(column, list) else column for key, column in columns.items()}
        error = None if value is not None else "scoring failed"
        fields = {"task": of.name, "doc_hash": f"{index:016x}", "doc_id": index, "output": str(value), "error": error}
        key = {"arm": arm, "suite": of.name, "metric": of.primary_metric, "value": value}
        found.append(ScoreRow.model_validate({**fields, **key, **own}))
    return found


def arm_info(name: str, **fields: Any) -> ArmInfo:
    """An arm scored under the usual conditions; the adapter of the same name unless it is a base."""
    adapter = None if name.startswith(("base", "noise")) else name
    values: dict[str, Any] = {
        "arm": name,
        "model": "pypi:tiny",
        "model_fingerprint": "f" * 64,
        "adapter": adapter,
        "adapter_sha256": adapter,
        "precision": "nf4",
        "system_prompt": None,
        "conditions": {"compute_dtype": "float32", "max_length": "512", "batch_rule": "fixed"},
        "batch_size": 8,
    }
    return ArmInfo.model_validate(values | fields)


def artifact(directory: Path, node: str = "score") -> Artifact:
    """A directory as a committed artifact."""
    directory.mkdir(parents=True, exist_ok=True)
    return Artifact(directory, made_up_manifest(node))


def scored(root: Path, name: str, arm_rows: Sequence[ScoreRow], **fields: Any) -> Artifact:
    """An artifact of `score:NAME`; rows are given the arm's name."""
    made = artifact(root / name.replace("@", "_"), f"score:{name}")
    write_rows(made.part("samples.jsonl"), [row.model_copy(update={"arm": name}) for row in arm_rows])
    write_model(made.part("arm.json"), arm_info(name, **fields))
    return made


def judged(root: Path, judgments: Sequence[Judgment], trust: JudgeTrust | None) -> Artifact:
    """An artifact of `score:judge`."""
    made = artifact(root / "judge", "score:judge")
    write_rows(made.part("judgments.jsonl"), judgments)
    if trust is not None:
        write_model(made.part("trust.json"), trust)
    return made


def judgment(document: int, order: str, preference: float | None, of: str = "answers") -> Judgment:
    """One call of the judge on base@nf4 against candidate."""
    fields = {"suite": of, "doc_hash": f"{document:016x}", "judge": "local", "prompt_sha256": "0", "order": order}
    return Judgment.model_validate(
        {**fields, "before": "base@nf4", "after": "candidate", "preference": preference, "raw": "A"}
    )


def trust(trusted: bool, reasons: tuple[str, ...] = ()) -> JudgeTrust:
    """The result of a judge's trust check."""
    agreement = Interval(value=0.9, low=0.8, high=0.95) if trusted else Interval(value=0.52, low=0.4, high=0.64)
    return JudgeTrust(
        judge="local",
        golden_set="right and shuffled answers, synthetic",
        pairs=40,
        agreement=agreement,
        kappa=agreement,
        required_kappa=0.4,
        position_inconsistent=agreement,
        first_preferred=agreement,
        parse_failures=0,
        calls=80,
        trusted=trusted,
        reasons=reasons,
    )


def context(directory: Path, node: str = "compare", *, cancelled: bool = False) -> tuple[Context, list[Any]]:
    """A context writing to `directory`, and the list its events go to."""
    directory.mkdir(parents=True, exist_ok=True)
    events: list[Any] = []
    return made_up_context(node, directory, emit=events.append, cancelled=lambda: cancelled), events
