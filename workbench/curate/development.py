"""Development documents: set aside from the curated rows, so that weaknesses are found on what was never trained on.

    curated   os.path: 60 documents, textwrap: 9, json: 48                      (min_documents 8, share 0.25)
    ->  development.jsonl   {"text": "join(a, *p)\\n\\nJoin two ...", "group": "os.path", "cluster": "9f3a..."}, ...
                            8 or more of os.path and of json; textwrap is too small to give any
        records.jsonl       everything else: what is trained on, and what pairs may be made from
        development.json    {"by": "part_of", "documents": 24, "topics": 2, "topics_too_small": 1, ...}

The suites of the verdict have no part in this: their documents were taken out of the rows before. Rows that are tied
stay on one side: near-duplicates, equal texts, the same prompt, and parts of one thing (unless that is what topics
are). Clusters are taken in the order of a hash of their content and the seed, from every topic in turn.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from workbench.core.errors import IncompleteError
from workbench.core.fingerprints import short_id
from workbench.core.iterate import GroupedBy
from workbench.core.iteration import Development, DevelopmentNode, topic_of
from workbench.core.parts import read_rows, write_documents, write_model, write_rows
from workbench.core.records import Edge, Record
from workbench.core.stage import Cancelled, Context, Done, Inputs, Outcome
from workbench.text.normalise import same_text, words
from workbench.text.union_find import UnionFind

_ORDER: tuple[GroupedBy, ...] = ("topic", "part_of", "dataset")
_TELLING_PROMPT_WORDS = 5
"""Records that share a shorter prompt ("Continue.") are not tied by it."""
_ROWS_BETWEEN_LOOKS = 1000


@dataclass(frozen=True, slots=True)
class _Row:
    """What the choice needs of a record."""

    id: str
    ties: tuple[str, ...]
    """Keys that tied records share."""
    part_of: str | None
    topics: tuple[str | None, ...] | None
    """By `topic`, `part_of` and `dataset`; None where the record may not be set aside."""


@dataclass(frozen=True, slots=True)
class _Chosen:
    """Which rows are set aside."""

    by: GroupedBy
    cluster_of: dict[int, str]
    """Row of each tied record, documents or not, to its cluster's name."""
    too_small: int


def set_aside(config: DevelopmentNode, inputs: Inputs, ctx: Context) -> Outcome:
    """Writes the parts `DevelopmentNode` names. IncompleteError if no two topics have enough documents."""
    curated = inputs["curate"]
    rows: list[_Row] = []
    for record in read_rows(curated.part("records.jsonl"), Record):
        if len(rows) % _ROWS_BETWEEN_LOOKS == 0:
            ctx.progress(len(rows), None, "rows", "choosing development documents")
            if ctx.cancelled():
                return Cancelled()
        rows.append(_row(record, config))
    edges = [(edge.left, edge.right) for edge in read_rows(curated.part("edges.jsonl"), Edge)]
    chosen = _choose(rows, edges, config)
    found = _write(curated.part("records.jsonl"), rows, chosen, ctx)
    ctx.info(
        f"set aside {found.documents} documents of {found.topics} topics (by {found.by}) to find weaknesses on; "
        f"{found.topics_too_small} topics are too small for it"
    )
    return Done(
        {
            "by": found.by,
            "documents": found.documents,
            "clusters": found.clusters,
            "topics": found.topics,
            "topics_too_small": found.topics_too_small,
            "set_aside": found.set_aside,
            "rows_out": len(rows) - len(chosen.cluster_of),
        }
    )


def _row(record: Record, config: DevelopmentNode) -> _Row:
    ties = [f"id {record.id}"]
    if record.kind == "document":
        ties.append(f"text {same_text(record.text or '')}")
    elif len(words(record.prompt())) >= _TELLING_PROMPT_WORDS:
        ties.append(f"prompt {same_text(record.prompt())}")
    fit = (
        record.kind == "document"
        and bool((record.text or "").strip())
        and record.source.dataset not in config.replayed
    )
    part = record.source.part_of
    shared = None if part is None else f"part {record.source.dataset} {part}"
    return _Row(
        id=record.id,
        ties=tuple(short_id(tie) for tie in ties),
        part_of=shared,
        topics=tuple(topic_of(record, by) for by in _ORDER) if fit else None,
    )


def _choose(rows: Sequence[_Row], edges: Sequence[tuple[str, str]], config: DevelopmentNode) -> _Chosen:
    needed = math.ceil(config.min_documents / config.share)
    by, enough, too_small = _grouping(rows, needed, config)
    clusters = _clusters(rows, edges, by)
    place = _ORDER.index(by)
    of_topic: dict[str, list[list[int]]] = {topic: [] for topic in enough}
    for members in clusters:
        topics = [found for row in members if (found := _topic(rows[row], place)) is not None]
        if topics and topics[0] in of_topic:
            of_topic[topics[0]].append(members)
    waiting: dict[str, list[list[int]]] = {}
    for name, own in of_topic.items():
        allowed = math.floor(config.share * enough[name])
        ordered = sorted(own, key=lambda members: short_id([config.seed, min(rows[row].id for row in members)]))
        waiting[name] = list(_within(ordered, allowed))
    judged = _fitting(waiting, enough, config)
    if len(judged) < 2:
        raise _too_few(by, needed, config, tied=True)
    taken = _in_turn(judged, config.most)
    cluster_of = {row: min(rows[one].id for one in members) for members in taken for row in members}
    return _Chosen(by, cluster_of, too_small + len(enough) - len(judged))


def _topic(row: _Row, place: int) -> str | None:
    return None if row.topics is None else row.topics[place]


def _grouping(
    rows: Sequence[_Row], needed: int, config: DevelopmentNode
) -> tuple[GroupedBy, dict[str, int], int]:
    """What topics are, the documents of each that has enough, and how many have not."""
    for by in _ORDER if config.by is None else (config.by,):
        place = _ORDER.index(by)
        sizes = Counter(topic for row in rows if (topic := _topic(row, place)) is not None)
        enough = {topic: size for topic, size in sorted(sizes.items()) if size >= needed}
        if len(enough) >= 2:
            return by, enough, len(sizes) - len(enough)
    if not any(row.topics for row in rows):
        raise IncompleteError(
            "there is no document to find weaknesses on or to make pairs from: the data holds conversations alone",
            where="iterate",
            next_step="add a dataset of texts (format: text) to `data`",
        )
    raise _too_few(config.by, needed, config, tied=False)


def _too_few(by: GroupedBy | None, needed: int, config: DevelopmentNode, *, tied: bool) -> IncompleteError:
    kind = "topics by " + (by or "topic, part_of or dataset")
    why = " that are not tied to each other as duplicates or parts of one thing" if tied else ""
    return IncompleteError(
        f"fewer than two {kind} have {needed} documents{why}, of which {config.min_documents} can be set aside",
        where="iterate",
        next_step="lower iterate.min_documents, raise iterate.development_share, or choose another iterate.by",
    )


def _clusters(rows: Sequence[_Row], edges: Sequence[tuple[str, str]], by: GroupedBy) -> list[list[int]]:
    sets = UnionFind(len(rows))
    first: dict[str, int] = {}
    for position, row in enumerate(rows):
        keys = row.ties if by == "part_of" or row.part_of is None else (*row.ties, row.part_of)
        for key in keys:
            sets.join(first.setdefault(key, position), position)
    positions = {row.id: position for position, row in enumerate(rows)}
    for left, right in edges:
        if left in positions and right in positions:
            sets.join(positions[left], positions[right])
    return sets.clusters()


def _within(clusters: Sequence[list[int]], allowed: int) -> Iterator[list[int]]:
    """Clusters in order, as long as they fit into the documents a topic may give away."""
    given = 0
    for members in clusters:
        if given + len(members) <= allowed:
            given += len(members)
            yield members


def _fitting(
    waiting: dict[str, list[list[int]]], sizes: dict[str, int], config: DevelopmentNode
) -> dict[str, list[list[int]]]:
    """The topics that can be judged, largest first, as many as `most` rows are enough for.

    Fewer documents of more topics would judge none of them."""
    chosen: dict[str, list[list[int]]] = {}
    rows = 0
    for topic in sorted(waiting, key=lambda name: (-sizes[name], name)):
        least = sum(len(members) for members in waiting[topic][: config.min_documents])
        if len(waiting[topic]) >= config.min_documents and rows + least <= config.most:
            chosen[topic] = waiting[topic]
            rows += least
    return chosen


def _in_turn(waiting: dict[str, list[list[int]]], most: int) -> list[list[int]]:
    """The first cluster of every topic, then the second of every topic, up to `most` rows."""
    taken: list[list[int]] = []
    rows = 0
    for turn in range(max((len(found) for found in waiting.values()), default=0)):
        for topic in sorted(waiting):
            if turn < len(waiting[topic]) and rows + len(waiting[topic][turn]) <= most:
                taken.append(waiting[topic][turn])
                rows += len(waiting[topic][turn])
    return taken


def _write(records: Path, rows: Sequence[_Row], chosen: _Chosen, ctx: Context) -> Development:
    place = _ORDER.index(chosen.by)

    def kept() -> Iterator[Record]:
        for position, record in enumerate(read_rows(records, Record)):
            if position not in chosen.cluster_of:
                yield record

    def development() -> Iterator[dict[str, str]]:
        for position, record in enumerate(read_rows(records, Record)):
            topic = _topic(rows[position], place)
            if position in chosen.cluster_of and topic is not None:
                yield {"text": record.text or "", "group": topic, "cluster": chosen.cluster_of[position]}

    write_rows(ctx.out_dir / "records.jsonl", kept())
    documents = list(development())
    write_documents(ctx.out_dir / "development.jsonl", documents)
    found = Development(
        by=chosen.by,
        documents=len(documents),
        clusters=len({document["cluster"] for document in documents}),
        topics=len({document["group"] for document in documents}),
        topics_too_small=chosen.too_small,
        set_aside=len(chosen.cluster_of) - len(documents),
    )
    write_model(ctx.out_dir / "development.json", found)
    return found
