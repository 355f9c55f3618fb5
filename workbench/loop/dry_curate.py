"""What `workbench curate FILE` would do, said without doing it.

    dry_run_document(project, plan, card)  ->  {"files": [...], "first_rows": {"shapes": {"alpaca": 200}, ...}, ...}
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

from workbench.core.cards import Card, HubSource
from workbench.core.nodes import CurateNode
from workbench.core.paths import Project
from workbench.core.wire import printable
from workbench.curate.filters.registry import chosen_filters
from workbench.curate.summary import fitted
from workbench.ingest.read import Tally, stream_records
from workbench.loop.artifacts import ArtifactStore
from workbench.loop.plan import Plan

_FIRST_ROWS = 200


def dry_run_document(project: Project, plan: Plan, card: Card) -> dict[str, Any]:
    """Files, the shape of the first rows, and everything the data would be searched for. Raises as reading does."""
    config = plan.node("curate").config
    assert isinstance(config, CurateNode), config
    store = ArtifactStore(project)
    filters, dataset_filters = chosen_filters(config.curate.filters)
    settings = config.curate.near_duplicates
    return {
        "dataset": card.name,
        "files": [{"file": name, "size_bytes": _size(project.root / name)} for name in _files(plan, card)],
        "first_rows": None if isinstance(card.source, HubSource) else _first_rows(card, project.root),
        "filters": [*(one.name for one in filters), *(one.name for one in dataset_filters)],
        "actions": dict(config.curate.actions),
        "exact_duplicates": config.curate.exact_duplicates,
        "near_duplicates": settings.model_dump(mode="json") if settings.enabled else None,
        "suites": [suite.name for suite in config.suites],
        "against": list(config.curate.decontamination.datasets),
        "model": config.model.ref if config.curate.count_tokens else None,
        "max_length": config.max_length,
        "restored": len(config.restored),
        "nodes": [
            {"node": node.name, "cached": store.find(node.stage, node.fingerprint) is not None} for node in plan.nodes
        ],
    }


def render_dry_run(document: dict[str, Any]) -> str:
    """The same for people."""
    near = document["near_duplicates"]
    said = {
        "files": ", ".join(f"{file['file']} ({_bytes(file['size_bytes'])})" for file in document["files"]),
        "first rows": _shapes(document["first_rows"]),
        "filters": ", ".join(document["filters"]),
        "actions": ", ".join(f"{reason}: {action}" for reason, action in document["actions"].items()),
        "duplicates": "exact" if document["exact_duplicates"] else "no exact ones",
        "suites": ", ".join(document["suites"]) or "none",
        "against": ", ".join(document["against"]) or "no other evaluation data (--against)",
        "lengths": f"in tokens of {document['model']}, max length {document['max_length']}",
        "restored": f"{document['restored']} records" if document["restored"] else "",
        "steps": ", ".join(f"{node['node']} ({'cached' if node['cached'] else 'to do'})" for node in document["nodes"]),
    }
    if near is not None:
        said["duplicates"] += f", near from Jaccard {near['threshold']} of {near['ngram']}-grams of {near['compare']}"
    if near is not None and near["index"] is not None:
        said["duplicates"] += f", those in the saved index {near['index']}"
    if document["model"] is None:
        said["lengths"] = "in words"
    lines = [line for key, text in said.items() if text for line in fitted(text, f"{key:<11} ", hanging=True)]
    return "\n".join(["Nothing was done. This would be:", *lines])


def _files(plan: Plan, card: Card) -> list[str]:
    return sorted(plan.node(f"ingest:{card.name}").external)


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def _bytes(size: int | None) -> str:
    return "not a file here" if size is None else f"{size:,} bytes"


def _first_rows(card: Card, project: Path) -> dict[str, Any]:
    tally = Tally()
    read = sum(1 for _ in islice(stream_records(card, project, tally), _FIRST_ROWS))
    found = {"rows": read, "shapes": dict(tally.shapes), "quarantined": dict(tally.reasons)}
    return found | ({"unread_columns": dict(tally.unread)} if tally.unread else {})


def _shapes(found: dict[str, Any] | None) -> str:
    if found is None:
        return "not looked at: the hub is not asked"
    shapes = ", ".join(f"{printable(name)} {rows}" for name, rows in found["shapes"].items()) or "none readable"
    bad = ", ".join(f"{reason} {rows}" for reason, rows in found["quarantined"].items())
    unread = ", ".join(f"{printable(name)} {rows}" for name, rows in found.get("unread_columns", {}).items())
    said = f"{found['rows']} looked at: {shapes}" + (f"; for quarantine: {bad}" if bad else "")
    return said + (f"; columns that are not read: {unread}" if unread else "")
