"""Taking back what curation dropped: who did it, when and why is a decision; the next run of `curate` goes by it.

    restore_records(project, ["0a1b2c3d4e5f6071"], "a poem may repeat itself", None)
    ->  Decision(kind="restore", verdict="restore", target="0a1b2c3d4e5f6071", who="ada", ...)
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from workbench.core.errors import UsageError
from workbench.core.parts import read_rows
from workbench.core.paths import Project
from workbench.core.records import Decision, Drop
from workbench.core.who import user_name
from workbench.loop.artifacts import ArtifactStore
from workbench.loop.decisions import append_decision, decisions, restored_records

RESTORE, WITHDRAW = "restore", "withdraw"


def restore_records(project: Project, ids: Sequence[str], reason: str, who: str | None) -> list[Decision]:
    """Writes down that records are to be kept. UsageError, and nothing is written, without a reason or if curation
    never dropped one of them."""
    if not reason.strip():
        raise UsageError("a reason is needed: whoever reads it later should know why", next_step="--reason TEXT")
    wanted = list(dict.fromkeys(ids))
    if unknown := sorted(set(wanted) - _dropped(project, set(wanted))):
        raise UsageError(
            f"no dropped record has the id {', '.join(map(repr, unknown))}",
            where=str(project.artifacts / "curate"),
            next_step="ids stand in dropped.jsonl of a curate artifact, and in the file of `curate --dropped FILE`",
        )
    return [_append(project, record, RESTORE, reason, who) for record in wanted]


def withdraw_records(project: Project, ids: Sequence[str], reason: str, who: str | None) -> list[Decision]:
    """Writes down that restorings no longer hold. UsageError, and nothing is written, for a record not restored."""
    wanted = list(dict.fromkeys(ids))
    if unknown := sorted(set(wanted).difference(restored_records(project.root))):
        raise UsageError(
            f"not restored: {', '.join(map(repr, unknown))}", next_step="see what is: workbench restore --list"
        )
    return [_append(project, record, WITHDRAW, reason, who) for record in wanted]


def restored(project: Project) -> list[Decision]:
    """The decision that holds for each restored record, oldest first."""
    holding = set(restored_records(project.root))
    last = {decision.target: decision for decision in decisions(project, "restore")}
    return [decision for target, decision in last.items() if target in holding]


def _dropped(project: Project, wanted: set[str]) -> set[str]:
    """Those of the wanted ids that some curation dropped; artifacts are read until all are found."""
    found: set[str] = set()
    for artifact in ArtifactStore(project).all():
        if artifact.manifest.stage == "curate" and wanted - found:
            found |= _ids_in(read_rows(artifact.part("dropped.jsonl"), Drop), wanted)
    return found


def _ids_in(drops: Iterable[Drop], wanted: set[str]) -> set[str]:
    return {drop.record.id for drop in drops if drop.record.id in wanted}


def _append(project: Project, record: str, verdict: str, reason: str, who: str | None) -> Decision:
    decision = Decision(
        id=uuid.uuid4().hex,
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        who=who or user_name(),
        kind="restore",
        target=record,
        verdict=verdict,
        note=reason,
    )
    append_decision(project, decision)
    return decision
