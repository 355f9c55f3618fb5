"""What an export needs from the project: the adapter behind a reference, and the artifacts of the run that made it."""

from __future__ import annotations

from workbench.adapters.registry import Registered
from workbench.core.paths import Project
from workbench.core.stage import STAGES, Artifact
from workbench.loop.artifacts import ArtifactStore


def artifacts_behind(project: Project, adapter: Registered) -> dict[str, Artifact]:
    """The artifacts of the run that trained a registered adapter, and of the run that judged it last, by node.

    Those that are gone are left out, as everything is for a directory that nobody registered."""
    recorded: dict[str, str] = {}
    if adapter.registration is not None:
        recorded |= adapter.registration.artifacts
    if adapter.judged:
        recorded |= {node: found for node, found in adapter.judged[-1].artifacts.items() if node != "train"}
    store = ArtifactStore(project)
    found = {}
    for node, fingerprint in recorded.items():
        stage = node.partition(":")[0]
        if stage in STAGES and (artifact := store.find(stage, fingerprint)) is not None:
            found[node] = artifact
    return found
