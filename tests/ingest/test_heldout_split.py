from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.core.records import Message, Record, Source, record_id
from workbench.ingest.clusters import cluster_texts
from workbench.ingest.heldout import Chooser, heldout_document, prompt_document
from workbench.text.normalise import normalised
from workbench.text.shingles import jaccard, shingles

WORDS = [f"word{number}" for number in range(400)]


@dataclass
class HeldOut:
    record: Record
    cluster: str


@dataclass
class Sides:
    train: list[Record]
    heldout: list[HeldOut]
    clusters: int


def split(records: Sequence[Record], fraction: float, most: int, seed: int) -> Sides:
    """Both sides, each in the order of the input."""
    chooser = Chooser()
    for record in records:
        chooser.add(record)
    chosen = chooser.choose(fraction, most, seed)
    return Sides(
        [record for position, record in enumerate(records) if position not in chosen.cluster_of],
        [HeldOut(records[position], cluster) for position, cluster in chosen.cluster_of.items()],
        chosen.clusters,
    )


def document(text: str, part_of: str | None = None) -> Record:
    source = Source(dataset="data", part_of=part_of)
    return Record(id=record_id("document", text=text), kind="document", text=text, source=source)


def chat(prompt: str, answer: str, label: bool | None = None) -> Record:
    messages = (Message(role="user", content=prompt), Message(role="assistant", content=answer))
    source = Source(dataset="data")
    return Record(id=record_id("chat", messages), kind="chat", messages=messages, label=label, source=source)


def some_text(seed: int, words: int = 40) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=words))


def edited(text: str, changes: int, seed: int) -> str:
    pieces = text.split()
    for position in random.Random(seed).sample(range(len(pieces)), changes):
        pieces[position] = "changed"
    return " ".join(pieces)


def corpus() -> list[str]:
    """60 texts, of which 20 have an exact copy under another spelling and 20 a copy with one or two words changed."""
    texts = [some_text(seed) for seed in range(60)]
    spelled = [text.upper() + "  " for text in texts[:20]]
    near = [edited(text, 1 + seed % 2, seed) for seed, text in enumerate(texts[20:40])]
    return texts + spelled + near


def true_clusters(texts: list[str]) -> set[frozenset[int]]:
    """Connected components by brute force over all pairs."""
    sets = [shingles(text, 5) for text in texts]
    cluster = {position: {position} for position in range(len(texts))}
    for left, right in combinations(range(len(texts)), 2):
        if normalised(texts[left]) == normalised(texts[right]) or jaccard(sets[left], sets[right]) >= 0.7:
            union = cluster[left] | cluster[right]
            cluster |= dict.fromkeys(union, union)
    return {frozenset(members) for members in cluster.values()}


def test_clusters_are_the_connected_components_of_brute_force() -> None:
    texts = [*corpus(), "...", "?!", "...", "one two"]
    found = cluster_texts(texts)

    assert {frozenset(members) for members in found} == true_clusters(texts)
    assert sorted(position for members in found for position in members) == list(range(len(texts)))
    assert sum(len(members) == 2 for members in found) > 30  # 20 other spellings, most of the 20 edits, "..."


@pytest.mark.parametrize("seed", range(5))
def test_no_cluster_is_on_both_sides_and_nothing_is_lost(seed: int) -> None:
    texts = corpus()
    sides = split([document(text) for text in texts], 0.2, 200, seed)
    held = {entry.record.text for entry in sides.heldout}

    assert 0 < len(sides.heldout) <= round(0.2 * len(texts))
    assert sorted([*held, *(record.text or "" for record in sides.train)]) == sorted(texts)
    for members in true_clusters(texts):
        assert len({texts[position] in held for position in members}) == 1
    names = {entry.cluster for entry in sides.heldout}
    assert len(names) == sum(any(texts[position] in held for position in members) for members in true_clusters(texts))


@given(st.permutations(range(30)), st.integers(0, 3))
def test_the_order_of_the_rows_plays_no_part(order: list[int], seed: int) -> None:
    records = [document(f"{some_text(number, 8)}") for number in range(30)]
    straight = split(records, 0.2, 200, seed)
    shuffled = split([records[position] for position in order], 0.2, 200, seed)

    assert {entry.record.id for entry in straight.heldout} == {entry.record.id for entry in shuffled.heldout}
    assert {(entry.record.id, entry.cluster) for entry in straight.heldout} == {
        (entry.record.id, entry.cluster) for entry in shuffled.heldout
    }


def test_another_seed_holds_out_other_records() -> None:
    records = [document(some_text(number)) for number in range(50)]
    chosen = [frozenset(entry.record.id for entry in split(records, 0.1, 200, seed).heldout) for seed in range(4)]

    assert len(set(chosen)) == 4 and {len(ids) for ids in chosen} == {5}


def test_parts_of_one_thing_stay_together() -> None:
    records = [document(some_text(number), part_of=f"page{number // 4}") for number in range(40)]
    sides = split(records, 0.25, 200, 0)
    held = {entry.record.source.part_of for entry in sides.heldout}

    assert len(held) == 2 and len(sides.heldout) == 8
    assert held.isdisjoint({record.source.part_of for record in sides.train})


def test_answers_to_one_prompt_stay_together_unless_the_prompt_says_nothing() -> None:
    question = "What is the capital city of Peru?"
    same = [chat(question, some_text(number)) for number in range(10)]
    others = [chat("Continue.", some_text(100 + number)) for number in range(30)]
    for seed in range(6):
        sides = split([*same, *others], 0.25, 200, seed)
        assert sum(entry.record.prompt() == question for entry in sides.heldout) in (0, 10)
        assert 0 < len(sides.heldout) <= 10


def test_records_that_cannot_be_tested_on_stay_in_training() -> None:
    records = [
        chat(f"Question number {number} is this?", "" if number % 2 else some_text(number)) for number in range(20)
    ]
    marked_bad = [
        chat(f"And {number} is another question?", some_text(50 + number), label=False) for number in range(20)
    ]
    sides = split([*records, *marked_bad], 0.3, 200, 0)

    assert len(sides.heldout) == 10
    assert all(entry.record.answer() and entry.record.label is not False for entry in sides.heldout)


@pytest.mark.parametrize(("fraction", "most", "expected"), [(0.1, 200, 5), (0.5, 7, 7), (0.001, 200, 1)])
def test_as_many_are_held_out_as_the_card_says(fraction: float, most: int, expected: int) -> None:
    assert len(split([document(some_text(number)) for number in range(50)], fraction, most, 0).heldout) == expected


def test_a_dataset_that_is_one_cluster_stays_whole() -> None:
    assert split([document(some_text(1)) for _ in range(20)], 0.5, 200, 0).heldout == []


def test_documents_of_the_suites_have_text_prompt_group_and_cluster() -> None:
    records = [chat(f"Question number {number}, please?", some_text(number)) for number in range(4)]
    (held,) = split(records, 0.25, 200, 0).heldout

    assert heldout_document(held.record, held.cluster) == {
        "text": held.record.answer(),
        "prompt": held.record.prompt(),
        "group": "data",
        "cluster": held.record.id,
    }
    assert prompt_document(held.record, held.cluster)["reference"] == held.record.answer()
    (page,) = split([document(some_text(number), f"p{number}") for number in range(4)], 0.25, 200, 0).heldout
    assert heldout_document(page.record, page.cluster) == {
        "text": page.record.text,
        "group": page.record.source.part_of,
        "cluster": page.record.id,
    }
