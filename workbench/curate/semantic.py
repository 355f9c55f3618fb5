"""Semantic duplicates: rows that say the same in other words, by the cosine of their embeddings.

    row 0 "How do I reverse a list in Python?"    row 7 "What is the way to reverse a Python list?"     cosine 0.96
    ->  edges [(0, 7, 0.96)], clusters [[0, 7]]; the stage keeps the best row and flags (or drops) the others

Every pair of rows is compared, in blocks of a matrix product: exact, and quadratic. An embedding cannot be verified as
a shared text can, so the rows are flagged unless the configuration says drop.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.core.fingerprints import short_id
from workbench.core.nodes import CurateNode
from workbench.core.stage import Context
from workbench.curate.duplicates import group_of, part_of
from workbench.curate.survivors import Survivors, chunks
from workbench.models.refs import model_fingerprint, named_at, resolve
from workbench.text.union_find import UnionFind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from workbench.models.embedding import Embedder

NAME = "semantic_duplicates"
REASONS = ("semantic_duplicate",)
_CHUNK_ROWS = 512
"""Rows of a file, compared with as many others at once: 1 MB of cosines."""
_MANY_ROWS = 100_000
"""Beyond, the comparison of all pairs takes minutes, which is said."""
_MOST_EDGES = 200_000
"""Beyond, one edge is kept of all that join the same two clusters of a block: the clusters stay the same."""
_ROUNDING = 1e-6
"""Of a cosine in float32: equal texts may come out just below 1."""


@dataclass(slots=True)
class SemanticFound:
    """Rows that say the same."""

    edges: list[tuple[int, int, float]] = field(default_factory=list)
    """(smaller row, larger row, cosine)."""
    clusters: list[list[int]] = field(default_factory=list)
    """Rows connected by edges, two or more each, ascending."""


@dataclass(slots=True)
class _Embedded:
    """The rows that have something to compare, in files of some hundred embeddings each."""

    rows: list[int] = field(default_factory=list)
    groups: list[int] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)


def clusters(survivors: Survivors, count: int, node: CurateNode, ctx: Context) -> SemanticFound | None:
    """Clusters among `count` survivors; None if the user wants to stop. Embeddings are kept in `ctx.work_dir`.

    Only records of one kind and label are compared, a document by its text whatever `compare` says. Raises as
    `workbench.models.embedding.load_embedder`.
    """
    # 4 s: torch and transformers
    from workbench.models.embedding import load_embedder

    settings = node.curate.semantic_duplicates
    assert settings.model is not None, "the stage asks only where a model is configured"
    embedded = _embed_all(load_embedder(settings.model, ctx.project), survivors, count, node, ctx)
    if embedded is None:
        return None
    rows = len(embedded.rows)
    if rows > _MANY_ROWS:
        ctx.warn(f"semantic duplicates: all pairs of {rows} rows are compared, which takes the square of their number")
    if count > rows:
        ctx.info(f"semantic duplicates: {count - rows} rows have no text to compare (`compare: {settings.compare}`)")
    return _compare_all(embedded, settings.threshold, ctx)


def externals(node: CurateNode, project: Path) -> dict[str, str]:
    """The fingerprint of the embedding model, where there is one. Raises as `model_fingerprint`."""
    model = node.curate.semantic_duplicates.model
    if model is None:
        return {}
    with named_at("curate.semantic_duplicates.model"):
        return {"embedding model": model_fingerprint(resolve(model, None, project))}


def _texts(survivors: Survivors, node: CurateNode) -> Iterator[tuple[int, str, str]]:
    """Row, group and text of every survivor with something to compare."""
    for row, record in survivors():
        compare = "all" if record.kind == "document" else node.curate.semantic_duplicates.compare
        text = part_of(record, compare).strip()
        if text:
            yield row, group_of(record), text


def _embed_all(
    embedder: Embedder, survivors: Survivors, count: int, node: CurateNode, ctx: Context
) -> _Embedded | None:
    """Embeddings in files named by their texts, so that a resumed run finds those that are there."""
    import numpy as np

    from workbench.models.embedding import embed

    found = _Embedded()
    names: dict[str, int] = {}
    directory = ctx.work_dir / "embeddings"
    directory.mkdir(parents=True, exist_ok=True)
    for chunk in chunks(_texts(survivors, node), _CHUNK_ROWS):
        ctx.progress(len(found.rows), count, "rows", "embeddings")
        if ctx.cancelled():
            return None
        texts = [text for _, _, text in chunk]
        path = directory / f"{short_id(texts)}.npy"
        if not path.exists():
            aside = path.with_suffix(".tmp.npy")
            np.save(aside, embed(embedder, texts))
            aside.replace(path)
        found.rows += [row for row, _, _ in chunk]
        found.groups += [names.setdefault(group, len(names)) for _, group, _ in chunk]
        found.files.append(path)
    return found


def _compare_all(embedded: _Embedded, threshold: float, ctx: Context) -> SemanticFound | None:
    """All pairs at or above the threshold, block by block."""
    import numpy as np

    sets = UnionFind(len(embedded.rows))
    groups = np.array(embedded.groups, dtype=np.int64)
    found = SemanticFound()
    for number, first in enumerate(embedded.files):
        ctx.progress(number * _CHUNK_ROWS, len(embedded.rows), "rows", "semantic duplicates")
        if ctx.cancelled():
            return None
        block = np.load(first)
        for other, second in enumerate(embedded.files[number:], start=number):
            left, right, cosines = _hits(block, np.load(second), threshold, same=other == number)
            left, right = left + number * _CHUNK_ROWS, right + other * _CHUNK_ROWS
            wanted = groups[left] == groups[right]
            _join(found, sets, embedded.rows, left[wanted], right[wanted], cosines[wanted])
    ctx.progress(len(embedded.rows), len(embedded.rows), "rows", "semantic duplicates")
    found.clusters = [
        [embedded.rows[place] for place in cluster] for cluster in sets.clusters() if len(cluster) > 1
    ]
    return found


def _hits(
    first: NDArray[np.float32], second: NDArray[np.float32], threshold: float, *, same: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Places in two blocks, and cosines, of all pairs that reach the threshold; each pair of one block once."""
    import numpy as np

    cosines = first @ second.T
    left, right = np.nonzero(cosines >= threshold - _ROUNDING)
    if same:
        once = left < right
        left, right = left[once], right[once]
    return left, right, cosines[left, right]


def _join(
    found: SemanticFound,
    sets: UnionFind,
    rows: list[int],
    left: NDArray[np.int64],
    right: NDArray[np.int64],
    cosines: NDArray[np.float32],
) -> None:
    import numpy as np

    if len(found.edges) + len(left) > _MOST_EDGES:
        labels = sets.labels()
        pairs, first = np.unique(np.stack([labels[left], labels[right]]), axis=1, return_index=True)
        first = first[pairs[0] != pairs[1]]
        left, right, cosines = left[first], right[first], cosines[first]
    sets.join_pairs(left, right)
    found.edges += [
        (rows[one], rows[other], min(1.0, cosine))
        for one, other, cosine in zip(left.tolist(), right.tolist(), cosines.tolist(), strict=True)
    ]
