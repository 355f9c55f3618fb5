"""Manifests of artifacts that no run has made."""

from __future__ import annotations

from typing import Any

from workbench.core.records import Manifest


def made_up_manifest(node: str, config: dict[str, Any] | None = None, **fields: Any) -> Manifest:
    """Of a node called STAGE or STAGE:NAME, without inputs, parts or summary unless told otherwise."""
    values = {
        "node": node,
        "stage": node.split(":")[0],
        "stage_version": 1,
        "fingerprint": "0" * 64,
        "inputs": {},
        "config": config or {},
        "external": {},
        "libraries": {},
        "parts": (),
        "summary": {},
        "created_at": "2026-01-01T00:00:00Z",
        "seconds": 0,
    }
    return Manifest.model_validate(values | fields)
