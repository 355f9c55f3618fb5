from __future__ import annotations

import asyncio
import inspect
import json
import os.path
import subprocess
import sys
import textwrap
import unittest
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from contexts import made_up_context
from ingest_makers import RunStage, StageRun

from workbench.core.cards import Card
from workbench.core.parts import read_rows
from workbench.core.records import Record
from workbench.core.stage import Cancelled, Done
from workbench.ingest.builders import python_docs
from workbench.ingest.builders.docstrings import Docstring, collect
from workbench.ingest.builders.multiple_choice import first_sentence, make_items
from workbench.text.normalise import normalised
from workbench.text.shingles import jaccard, shingles


def card(**settings: Any) -> Card:
    source = {"kind": "builder", "builder": "python-docs"}
    return Card.model_validate({"name": "python-docs", "source": source, "heldout_max": 60, **settings})


@pytest.fixture(scope="module")
def docstrings() -> dict[str, Docstring]:
    return {docstring.name: docstring for docstring in collect()}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> StageRun:
    """The stage, run once for all tests of this file."""
    from workbench.core.nodes import IngestNode
    from workbench.ingest.stage import STAGE

    out = tmp_path_factory.mktemp("python-docs")
    context = made_up_context("ingest:python-docs", out)
    return StageRun(STAGE.run(IngestNode(card=card(), seed=0), {}, context), out)


def documents(built: StageRun, part: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (built.out / part).read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize(
    ("name", "thing", "kind", "module"),
    [
        ("textwrap.dedent", textwrap.dedent, "function", "textwrap"),
        ("os.path.join", os.path.join, "function", "os"),
        ("json.JSONDecoder.raw_decode", json.JSONDecoder.raw_decode, "method", "json"),
        ("unittest.TestCase.assertEqual", unittest.TestCase.assertEqual, "method", "unittest"),
        ("asyncio.run", asyncio.run, "function", "asyncio"),
        ("str.split", str.split, "method", "builtins"),
        ("str.maketrans", str.maketrans, "method", "builtins"),
        ("len", len, "function", "builtins"),
        ("collections.Counter", Counter, "class", "collections"),
        ("textwrap", textwrap, "module", "textwrap"),
    ],
)
def test_docstrings_are_those_that_inspect_finds_under_the_name_one_imports(
    docstrings: dict[str, Docstring], name: str, thing: Any, kind: str, module: str
) -> None:
    found = docstrings[name]

    assert found.text == (inspect.getdoc(thing) or "").strip()
    assert (found.kind, found.module) == (kind, module)


def test_signatures_are_those_of_the_source(docstrings: dict[str, Docstring]) -> None:
    assert docstrings["textwrap.dedent"].signature == "dedent(text)"
    assert docstrings["textwrap.wrap"].signature == "wrap(text, width=70, **kwargs)"
    assert docstrings["len"].signature == "len(obj, /)"
    assert docstrings["json.JSONDecoder"].signature == "class JSONDecoder(object)"


def test_thousands_of_docstrings_and_no_private_or_skipped_module(docstrings: dict[str, Docstring]) -> None:
    assert len(docstrings) > 3000
    assert not any(piece.startswith("_") for name in docstrings for piece in name.split("."))
    assert {"this", "antigravity", "idlelib", "test", "turtledemo"}.isdisjoint(
        docstring.module for docstring in docstrings.values()
    )


def test_collecting_imports_no_module_with_side_effects(docstrings: dict[str, Docstring]) -> None:
    assert docstrings["webbrowser.open"].text
    assert {"this", "antigravity", "idlelib", "turtle", "tkinter", "lib2to3"}.isdisjoint(sys.modules)


def test_no_module_is_on_both_sides(built: StageRun) -> None:
    trained = {record.source.part_of for record in read_rows(built.out / "records.jsonl", Record)}
    for part in ("heldout.jsonl", "choice.jsonl", "prompts.jsonl"):
        held = {row["group"] for row in documents(built, part)}
        assert len(held) >= 10
        assert held.isdisjoint(trained)


def test_no_heldout_text_or_sentence_stands_in_the_training_side(built: StageRun) -> None:
    records = list(read_rows(built.out / "records.jsonl", Record))
    texts = [record.text or "" for record in records]
    trained = {normalised(piece) for text in texts for piece in (text, *text.split("\n\n"))}
    everything = "\n".join(normalised(text) for text in texts)

    for row in documents(built, "heldout.jsonl"):
        assert normalised(row["text"]) not in everything
    for row in documents(built, "choice.jsonl"):
        assert normalised(row["choices"][row["answer"]]) not in trained
    for row in documents(built, "prompts.jsonl"):
        assert normalised(row["reference"]) not in trained


def test_no_heldout_document_is_a_near_duplicate_of_a_trained_one_by_brute_force(
    built: StageRun, docstrings: dict[str, Docstring]
) -> None:
    trained_names = {record.topic for record in read_rows(built.out / "records.jsonl", Record)}
    trained = [shingles(docstrings[name].text, 5) for name in trained_names & docstrings.keys() if name]

    for row in documents(built, "heldout.jsonl"):
        own = shingles(row["text"], 5)
        assert max(jaccard(own, other) for other in trained) < 0.7


def test_heldout_documents_have_the_wanted_number_and_length_and_one_per_cluster(built: StageRun) -> None:
    rows = documents(built, "heldout.jsonl")

    assert len(rows) == 60 == len({row["cluster"] for row in rows})
    assert all(40 <= len(row["text"].split()) <= 250 for row in rows)
    assert all(row["prompt"].startswith("What does `") for row in rows)
    assert max(Counter(row["group"] for row in rows).values()) <= 12


def test_prompts_ask_for_what_their_reference_says(built: StageRun, docstrings: dict[str, Docstring]) -> None:
    rows = documents(built, "prompts.jsonl")

    assert len(rows) == 40
    for row in rows:
        name = row["prompt"].split("`")[1]
        assert row["reference"] == " ".join(docstrings[name].text.split("\n\n")[0].split())


def test_choices_are_balanced_distinct_and_do_not_name_what_is_asked(
    built: StageRun, docstrings: dict[str, Docstring]
) -> None:
    rows = documents(built, "choice.jsonl")

    assert len(rows) == 120
    assert Counter(row["answer"] for row in rows) == {0: 30, 1: 30, 2: 30, 3: 30}
    assert len({row["cluster"] for row in rows}) == 120
    for row in rows:
        name = row["question"].split("`")[1]
        right = row["choices"][row["answer"]]
        assert right.rstrip(".") in " ".join(docstrings[name].text.split())
        assert len({normalised(choice) for choice in row["choices"]}) == 4
        last = name.split(".")[-1].lower()
        assert not any(last in choice.lower().replace("`", " ").replace("(", " ").split() for choice in row["choices"])


def test_the_length_of_a_choice_does_not_give_the_answer_away(built: StageRun) -> None:
    rows = documents(built, "choice.jsonl")
    longest = sum(max(range(4), key=lambda index, row=row: len(row["choices"][index])) == row["answer"] for row in rows)

    # Binomial(120, 1/4) lies outside of 15..45 with probability below 0.002.
    assert 15 <= longest <= 45


@pytest.mark.slow
def test_another_process_with_other_hashes_builds_the_same_bytes(built: StageRun, tmp_path: Path) -> None:
    program = f"""
from pathlib import Path
from workbench.core.cards import Card
from workbench.core.nodes import IngestNode
from workbench.core.stage import Context
from workbench.ingest.stage import STAGE
out = Path({str(tmp_path)!r})
card = Card.model_validate_json({card().model_dump_json()!r})
quiet = lambda *given: None
context = Context("ingest:python-docs", out, out, out, 0, quiet, lambda: "", lambda: False)
STAGE.run(IngestNode(card=card, seed=0), {{}}, context)
"""
    subprocess.run([sys.executable, "-c", program], env=os.environ | {"PYTHONHASHSEED": "7"}, check=True)
    for part in ("records.jsonl", "heldout.jsonl", "choice.jsonl", "prompts.jsonl"):
        assert (tmp_path / part).read_bytes() == (built.out / part).read_bytes()


def test_the_seed_moves_the_split(
    run_stage: RunStage, docstrings: dict[str, Docstring], monkeypatch: pytest.MonkeyPatch
) -> None:
    some = [docstring for docstring in docstrings.values() if docstring.module < "d"]
    monkeypatch.setattr(python_docs, "collect", lambda: some)
    groups = [
        {row["group"] for row in documents(run_stage(card(heldout_fraction=0.3), seed=seed), "heldout.jsonl")}
        for seed in (0, 1)
    ]

    assert groups[0] and groups[1] and groups[0] != groups[1]


def test_builtins_and_the_language_reference_are_trained_on(built: StageRun) -> None:
    records = list(read_rows(built.out / "records.jsonl", Record))
    topics = [record for record in records if (record.source.part_of or "").startswith("topics/")]

    assert any(record.topic == "len" for record in records)
    assert {record.topic for record in topics} >= {"assert", "with", "yield"}
    assert max(len((record.text or "").split()) for record in topics) < 1200


def test_the_summary_tells_what_was_made(built: StageRun) -> None:
    assert isinstance(built.outcome, Done)
    summary = built.outcome.summary
    assert (summary["heldout"], summary["choice"], summary["prompts"]) == (60, 120, 40)
    assert summary["records"] == sum(1 for _ in read_rows(built.out / "records.jsonl", Record))


def test_a_cancelled_build_writes_nothing(run_stage: RunStage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(python_docs, "collect", list)
    run = run_stage(card(), cancelled=True)

    assert run.outcome == Cancelled() and not list(Path(run.out).iterdir())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Remove any common leading\nwhitespace.  Then more.\n\nDetails.", "Remove any common leading whitespace."),
        ("Return the length of the object", "Return the length of the object."),
        ("dict(**kwargs) -> new dictionary", None),
        ("Too short.", None),
        ("Usage is as follows for this function:", None),
        ("e.g. this one starts small.", None),
    ],
)
def test_first_sentences_are_prose_that_stands_alone(text: str, expected: str | None) -> None:
    assert first_sentence(text) == expected


def test_items_are_not_made_from_sentences_the_training_side_knows() -> None:
    pool = [
        (
            Docstring(
                f"pkg.f{number}", "pkg", "function", "", f"Alpha{number} beta{number} gamma{number} delta{number}."
            ),
            str(number),
        )
        for number in range(10)
    ]
    known = {normalised(docstring.text) for docstring, _ in pool[:4]}

    assert len(make_items(pool, set(), 20, 0)) == 10
    items = make_items(pool, known, 20, 0)
    assert len(items) == 6
    assert not known & {normalised(choice) for item in items for choice in item["choices"]}
