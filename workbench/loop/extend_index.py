"""The kept rows of a curation join the saved index, once the curation is committed."""

from __future__ import annotations

from workbench.core.nodes import CurateNode
from workbench.core.paths import Project
from workbench.core.stage import Artifact
from workbench.curate.saved_index import PART, index_path
from workbench.loop.plan import Node


def extend_index(project: Project, node: Node, artifact: Artifact) -> str | None:
    """Adds the segment of a curate artifact to the index that its node names.

    Returns what was done, for people; None if the node is no curation, has no index, or the index had the segment
    already. Raises UsageError if the index was made with other settings meanwhile.
    """
    if not isinstance(node.config, CurateNode):
        return None
    path = index_path(node.config, project.root)
    if path is None:
        return None
    from workbench.text.near_index import add_segment  # numpy: 0.1 s

    added = add_segment(path, artifact.part(PART), node.config.segment)
    return f"the kept rows joined the saved index {path}" if added else None
