"""The kept rows of a curation join the saved index, once the curation is committed.

Curated again with other filters, the same data has other kept rows: they replace the earlier ones.
"""

from __future__ import annotations

from workbench.core.nodes import CurateNode
from workbench.core.paths import Project
from workbench.core.stage import Artifact
from workbench.curate.saved_index import PART, index_path
from workbench.loop.plan import Node


def extend_index(project: Project, node: Node, artifact: Artifact) -> str | None:
    """Adds the segment of a curate artifact to the index that its node names, or replaces the data's earlier one.

    Returns what was done, for people; None if the node is no curation, has no index, or the index had these rows
    already. Raises UsageError if the index was made with other settings meanwhile.
    """
    if not isinstance(node.config, CurateNode):
        return None
    path = index_path(node.config, project.root)
    if path is None:
        return None
    from workbench.text.near_index import add_segment  # numpy: 0.1 s

    done = add_segment(path, artifact.part(PART), node.config.segment)
    if done == "replaced":
        return f"the kept rows replaced those of an earlier curation of the same data in the saved index {path}"
    return f"the kept rows joined the saved index {path}" if done == "added" else None
