from __future__ import annotations

import inspect
import textwrap
from pathlib import Path

import pytest
from synth_world import SynthWorld, document

from workbench.core.config import StrategyConfig
from workbench.core.stage import Done
from workbench.synth.strategies.doc_pairs import read_entry
from workbench.text.normalise import normalised

RULES = StrategyConfig(strategy="doc_pairs", count=500)


def functions_of(module: object) -> list[tuple[str, str, str]]:
    """Name, signature and docstring of each documented function."""
    return [
        (f"{module.__name__}.{name}", f"{name}{inspect.signature(value)}", inspect.getdoc(value) or "")
        for name, value in inspect.getmembers(module, inspect.isfunction)
        if not name.startswith("_") and inspect.getdoc(value)
    ]


@pytest.fixture
def world(tmp_path: Path) -> SynthWorld:
    made = SynthWorld(tmp_path)
    made.records = [
        document(f"{signature}\n\n{text}", topic=name, part_of="textwrap")
        for name, signature, text in functions_of(textwrap)
    ]
    return made


def test_real_docstrings_become_pairs_whose_answers_are_the_documents_own_words(world: SynthWorld) -> None:
    outcome = world.run(RULES)
    accepted = world.accepted()
    assert isinstance(outcome, Done)
    assert outcome.summary["accepted"] == len(accepted) >= 2 * len(world.records)
    texts = {record.topic: normalised(record.text or "") for record in world.records}
    for record in accepted:
        assert record.topic is not None
        assert f"`{record.topic}`" in record.messages[0].content
        assert normalised(record.messages[1].content) in texts[record.topic]
        assert (record.source.dataset, record.source.part_of) == ("synth:doc_pairs", "textwrap")
        assert (record.source.file, record.source.row) == ("docs.txt", 3)
    first = {r.topic: inspect.getdoc(getattr(textwrap, (r.topic or "").rpartition(".")[2])) for r in accepted}
    assert {text.split("\n\n")[0] for text in first.values() if text} <= {r.messages[1].content for r in accepted}


def test_every_candidate_keeps_the_score_of_every_check(world: SynthWorld) -> None:
    world.run(RULES)
    names = {tuple(check.name for check in candidate.checks) for candidate in world.candidates()}
    assert len(names) == 1
    assert {"parsed", "length", "evidence", "grounding", "leak", "novelty", "contamination"} <= set(names.pop())


def test_the_same_seed_gives_the_same_files_and_another_seed_others(world: SynthWorld) -> None:
    part = world.root / "out" / "candidates.jsonl"
    world.run(RULES)
    first = part.read_bytes()
    world.run(RULES)
    assert part.read_bytes() == first
    world.run(RULES, seed=1)
    assert part.read_bytes() != first


def test_count_limits_candidates_and_the_documents_are_drawn_from_everywhere(world: SynthWorld) -> None:
    world.records = [
        document(f"thing{number}(value)\n\nReturn the value number {number} of the long table of values.")
        for number in range(300)
    ]
    world.run(StrategyConfig(strategy="doc_pairs", count=60))
    candidates = world.candidates()
    assert len(candidates) == 60
    order = [record.id for record in world.records]
    places = sorted({order.index(candidate.seed_ids[0]) for candidate in candidates})
    assert places[0] < 100
    assert places[-1] > 200


def test_only_the_named_datasets_are_used(world: SynthWorld) -> None:
    world.records.append(document("other.thing(x)\n\nDo the other thing with x.", topic="other.thing", dataset="other"))
    world.run(StrategyConfig(strategy="doc_pairs", datasets=("other",)))
    assert {record.topic for record in world.accepted()} == {"other.thing"}


@pytest.mark.parametrize(
    ("text", "topic", "subject", "call", "first"),
    [
        ("dedent(text)\n\nRemove it.", "textwrap.dedent", "`textwrap.dedent`", "dedent(text)", "Remove it."),
        ("dedent(text) -> str\n\nRemove it.", None, "`dedent`", "dedent(text) -> str", "Remove it."),
        ("close(self)\n\nClose the file.", "io.IOBase.close", "`io.IOBase.close`", "", "Close the file."),
        ("class Thing(Base)\n\nA thing.", "mod.Thing", "`mod.Thing`", "", "A thing."),
        ("anext(...)\n\nasync anext(it[, d])\n\nGet it.", "anext", "`anext`", "async anext(it[, d])", "Get it."),
        ('The "assert" statement\n*****\n\nIt checks.', "assert", '"The `assert` statement"', "", "It checks."),
        ("Tools for text.\n\nMore.", "textwrap", "`textwrap`", "", "Tools for text."),
    ],
)
def test_the_subject_is_the_topic_or_what_the_document_opens_with(
    text: str, topic: str | None, subject: str, call: str, first: str
) -> None:
    entry = read_entry(document(text, topic, part_of="textwrap"))
    assert entry is not None
    assert (entry.subject, entry.call, entry.paragraphs[0]) == (subject, call, first)


@pytest.mark.parametrize(
    ("text", "topic"),
    [
        ("It goes on in the middle of a chapter.", "assert"),
        ("Once upon a time there was a king.", None),
        ("dedent(text)", "textwrap.dedent"),
        ("", "textwrap.dedent"),
    ],
)
def test_a_document_that_names_no_subject_or_says_nothing_gives_no_pair(text: str, topic: str | None) -> None:
    entry = read_entry(document(text, topic, part_of="topics/assert"))
    assert entry is None or entry.paragraphs == ()


def test_an_interactive_session_becomes_the_answer_to_a_question_for_an_example() -> None:
    text = "double(x)\n\nTwice the number.\n\n    >>> double(2)\n    4\n\nNot for strings."
    entry = read_entry(document(text, "mod.double"))
    assert entry is not None
    assert entry.example == ">>> double(2)\n4"
    assert entry.paragraphs == ("Twice the number.",)


def test_near_copies_are_rejected_for_lack_of_novelty_and_kept_with_the_reason(world: SynthWorld) -> None:
    body = "Report whether another set contains this set, element by element."
    world.records = [document(f"issubset(self, other)\n\n{body}", f"{kind}.issubset") for kind in ("set", "frozenset")]
    world.run(RULES)
    rejected = [candidate for candidate in world.candidates() if candidate.status == "rejected"]
    assert {check.name for candidate in rejected for check in candidate.checks if not check.passed} == {"novelty"}
    assert all("nearest" in check.detail for c in rejected for check in c.checks if not check.passed)
    assert len(world.accepted()) == 2
