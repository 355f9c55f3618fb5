"""Development documents: enough of every topic, nothing tied to them on the training side, the same for any order."""

from __future__ import annotations

import json
import random
from collections import Counter
from itertools import product
from pathlib import Path

import pytest
from contexts import made_up_context
from manifests import made_up_manifest

from workbench.core.errors import IncompleteError
from workbench.core.iteration import Development, DevelopmentNode
from workbench.core.parts import read_model, read_rows, write_rows
from workbench.core.records import Edge, Message, Record, Source, record_id
from workbench.core.stage import Artifact, Done
from workbench.curate.stage import STAGE

NODE = DevelopmentNode(datasets=("docs",), replayed=(), by=None, share=0.25, most=400, min_documents=5, seed=0)


def document(text: str, topic: str | None, part_of: str | None = None, dataset: str = "docs") -> Record:
    source = Source(dataset=dataset, part_of=part_of)
    return Record(id=record_id("document", text=text), kind="document", text=text, source=source, topic=topic)


def chat(question: str, answer: str, part_of: str | None = None) -> Record:
    turns = (Message(role="user", content=question), Message(role="assistant", content=answer))
    source = Source(dataset="docs", part_of=part_of)
    return Record(id=record_id("chat", turns), kind="chat", messages=turns, source=source)


def split(
    root: Path, records: list[Record], node: DevelopmentNode = NODE, edges: list[Edge] | None = None
) -> tuple[list[Record], list[dict[str, str]], Development]:
    """What may be trained on, the development documents, and what is said of them."""
    write_rows(root / "curate" / "records.jsonl", records)
    write_rows(root / "curate" / "edges.jsonl", edges or [])
    context = made_up_context("curate:development", root / "out", work_dir=root / "work", project=root)
    outcome = STAGE.run(node, {"curate": Artifact(root / "curate", made_up_manifest("curate"))}, context)
    assert isinstance(outcome, Done), outcome
    lines = (root / "out" / "development.jsonl").read_text().splitlines()
    found = read_model(root / "out" / "development.json", Development)
    return list(read_rows(root / "out" / "records.jsonl", Record)), [json.loads(line) for line in lines], found


def test_large_topics_give_a_quarter_at_most_and_small_ones_nothing(tmp_path: Path) -> None:
    sizes = {"a": 40, "b": 60, "small": 19}
    records = [document(f"{topic} document {number}", topic) for topic, size in sizes.items() for number in range(size)]
    kept, development, found = split(tmp_path, records)
    assert Counter(one["group"] for one in development) == {"a": 10, "b": 15}
    assert (found.by, found.documents, found.topics, found.topics_too_small) == ("topic", 25, 2, 1)
    texts = {one["text"] for one in development}
    assert {record.text for record in records} == texts | {record.text for record in kept}
    assert not texts & {record.text for record in kept}
    few, development, _ = split(tmp_path / "few", records, NODE.model_copy(update={"most": 12}))
    assert Counter(one["group"] for one in development) == {"a": 6, "b": 6}, "not spread evenly"
    assert len(few) == len(records) - 12


def test_where_few_may_be_set_aside_the_largest_topics_are_judged_and_the_others_give_none(tmp_path: Path) -> None:
    records = [document(f"topic {topic} document {n}", f"t{topic}") for topic in range(10) for n in range(30 + topic)]
    _, development, found = split(tmp_path, records, NODE.model_copy(update={"most": 17}))
    taken = Counter(one["group"] for one in development)
    assert set(taken) == {"t9", "t8", "t7"} and sorted(taken.values()) == [5, 6, 6]
    assert found.topics_too_small == 7


def test_the_order_of_the_rows_plays_no_part_and_the_seed_does(tmp_path: Path) -> None:
    records = [document(f"{topic} document {number}", topic) for topic in "ab" for number in range(40)]
    _, first, _ = split(tmp_path / "1", records)
    shuffled = random.Random(1).sample(records, len(records))
    _, again, _ = split(tmp_path / "2", shuffled)
    _, other, _ = split(tmp_path / "3", records, NODE.model_copy(update={"seed": 1}))
    chosen = [{one["text"] for one in found} for found in (first, again, other)]
    assert chosen[0] == chosen[1] != chosen[2]


def test_what_is_tied_to_a_development_document_is_never_trained_on(tmp_path: Path) -> None:
    """Against brute force over all pairs of the two sides."""
    chance = random.Random(0)
    records = [
        document(f"{topic} {min(number, 30 + number // 2)}{' ' * (number % 2)}", topic, f"{topic}{number // 3}")
        for topic in "ab"
        for number in range(60)
    ]
    records += [chat(f"What stands on page {page} of the book?", f"it is {page}", f"a{page}") for page in range(20)]
    pairs = [tuple(chance.sample([r for r in records if r.topic == topic], 2)) for topic in "ab" for _ in range(4)]
    edges = [Edge(left=a.id, right=b.id, left_row=0, right_row=1, jaccard=0.9) for a, b in pairs]
    node = NODE.model_copy(update={"by": "topic", "share": 0.5, "min_documents": 3})
    kept, development, found = split(tmp_path, records, node, edges)
    aside = [record for record in records if record.text in {one["text"] for one in development}]
    assert len(aside) == found.documents >= 10 and found.set_aside > 0, "no chat was tied to a development document"
    linked = {frozenset((edge.left, edge.right)) for edge in edges}
    for one, other in product(aside, kept):
        assert one.source.part_of != other.source.part_of
        assert (one.text or "").strip() != (other.text or "").strip()
        assert frozenset((one.id, other.id)) not in linked
    assert len({one["cluster"] for one in development}) == found.clusters


def test_modules_are_topics_where_every_document_has_a_topic_of_its_own(tmp_path: Path) -> None:
    records = [document(f"{part} document {n}", f"{part}.f{n}", part) for part in ("os", "json") for n in range(30)]
    _, development, found = split(tmp_path, records)
    assert found.by == "part_of" and Counter(one["group"] for one in development) == {"os": 7, "json": 7}


def test_replayed_data_is_left_alone(tmp_path: Path) -> None:
    origin = {"a": "docs", "b": "docs", "c": "general"}
    records = [document(f"{t} document {n}", t, None, dataset) for t, dataset in origin.items() for n in range(40)]
    _, development, _ = split(tmp_path, records, NODE.model_copy(update={"replayed": ("general",)}))
    assert {one["group"] for one in development} == {"a", "b"}


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([chat(f"How much is {n} and one in all?", str(n + 1)) for n in range(60)], "conversations alone"),
        ([document(f"document {n}", "only") for n in range(60)], "fewer than two topics"),
        ([document(f"{t} {n}", t) for t in "ab" for n in range(10)], "lower iterate.min_documents"),
        ([document(f"{t} {n}", t, "one page") for t in "ab" for n in range(60)], "not tied to each other"),
    ],
)
def test_data_without_enough_independent_documents_is_refused(
    tmp_path: Path, records: list[Record], message: str
) -> None:
    node = NODE.model_copy(update={"by": "topic"} if "one page" in str(records[0].source) else {})
    with pytest.raises(IncompleteError, match=message):
        split(tmp_path, records, node)
