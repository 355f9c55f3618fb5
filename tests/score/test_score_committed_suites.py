"""The suites that ship: readable, made by the rules they name, and as hard as their descriptions say."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest
import yaml

from workbench.core.config import ModelConfig
from workbench.core.fingerprints import fingerprint
from workbench.core.suites import Suite, read_documents
from workbench.core.yamlfile import load_model
from workbench.score.freeze import Provenance, freeze
from workbench.score.kinds.registry import KINDS
from workbench.score.rule_items import ITEMS, write_items
from workbench.score.scoring import Job
from workbench.score.tasks import check_suite

ROOT = Path(__file__).parents[2]
EVALS = ROOT / "evals"
NAMES = sorted(path.stem for path in EVALS.glob("*.yaml"))
BASICS = EVALS / "regression-basics.candidates.jsonl"


def suite(name: str) -> Suite:
    return load_model(EVALS / f"{name}.yaml", Suite)


@pytest.mark.parametrize("name", NAMES)
def test_every_suite_loads_and_can_be_scored(name: str) -> None:
    loaded = suite(name)

    assert loaded.name == name
    check_suite(loaded)
    if loaded.documents.file is not None:
        documents = read_documents(EVALS / loaded.documents.file, loaded)
        assert {document.occurrence for document in documents} == {0}, "no document twice"
        for field in filter(None, (loaded.groups, loaded.cluster)):
            assert all(field in document.fields for document in documents)


def test_every_role_of_the_demo_is_filled() -> None:
    roles = Counter(suite(name).role for name in NAMES)

    assert roles["target"] >= 3 and roles["general"] >= 5 and roles["safety"] >= 1


def test_the_general_suites_are_what_their_rules_make(tmp_path: Path) -> None:
    write_items(tmp_path)

    for name in ITEMS:
        assert (tmp_path / f"{name}.jsonl").read_bytes() == (EVALS / f"{name}.jsonl").read_bytes()


@pytest.mark.parametrize("name", sorted(ITEMS))
def test_the_right_choice_stands_first_about_half_of_the_time(name: str) -> None:
    answers = Counter(item["answer"] for item in ITEMS[name]())

    assert sum(answers.values()) == 200
    assert 80 <= answers[0] <= 120
    assert all(len(set(item["choices"])) == 2 for item in ITEMS[name]())


def test_arithmetic_items_are_right() -> None:
    for item in ITEMS["arithmetic"]():
        last = item["question"].splitlines()[-1]
        right, wrong = item["choices"][item["answer"]], item["choices"][1 - item["answer"]]
        numbers = [int(number) for number in re.findall(r"\d+", last)]
        if "+" in last:
            expected = sum(numbers)
        elif "*" in last:
            expected = numbers[0] * numbers[1]
        else:
            expected = numbers[-1] + (numbers[1] - numbers[0])
            assert numbers[2] - numbers[1] == numbers[1] - numbers[0]
        assert int(right) == expected != int(wrong)


def test_copying_items_can_be_answered_from_their_prompt() -> None:
    for item in ITEMS["copying"]():
        right = item["choices"][item["answer"]]
        if "Again:" in item["question"]:
            first, again = item["question"].split(". Again: ")
            words = first.split(", ")
            assert right == words[len(again.rstrip(",").split(", "))]
        else:
            *pairs, asked = item["question"].split("; ")
            assert dict(pair.split(" is ") for pair in pairs)[asked.removesuffix(" is")] == right


def test_agreement_items_agree_in_number() -> None:
    singular = {"is", "was", "has", "needs"}
    for item in ITEMS["agreement"]():
        head = item["question"].split()[1]
        assert (item["choices"][item["answer"]] in singular) == (head == item["cluster"])


def test_the_regression_suite_is_a_part_of_its_candidates_and_says_how_it_was_chosen() -> None:
    note = Provenance.model_validate_json((EVALS / "regression-basics.provenance.json").read_bytes())
    candidates = [json.loads(line) for line in BASICS.read_text(encoding="utf-8").splitlines()]
    items = [json.loads(line) for line in (EVALS / "regression-basics.jsonl").read_text(encoding="utf-8").splitlines()]

    assert note.candidates_sha256 == fingerprint(candidates)
    assert (note.candidates, note.kept) == (len(candidates), len(items))
    assert note.kept + note.wrong + note.narrow == note.candidates
    assert all(item in candidates for item in items)


def test_safety_requests_come_with_a_look_alike_each() -> None:
    lines = (EVALS / "safety-refusals.jsonl").read_text(encoding="utf-8").splitlines()
    topics = Counter((document["topic"], document["expect"]) for document in map(json.loads, lines))

    assert set(topics.values()) == {1}
    assert {topic for topic, expect in topics if expect == "refuse"} == {
        t for t, expect in topics if expect == "comply"
    }


def stated_accuracy(name: str) -> float:
    """The accuracy at nf4 that the suite's description states."""
    description = yaml.safe_load((EVALS / f"{name}.yaml").read_text(encoding="utf-8"))["description"]
    found = re.search(r"Base SmolLM2-135M-Instruct: (\.\d+) at nf4", description)
    assert found is not None, description
    return float(found[1])


@pytest.mark.parametrize("name", sorted(ITEMS))
def test_the_stated_accuracy_leaves_room_both_ways(name: str) -> None:
    assert 0.6 <= stated_accuracy(name) <= 0.9


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_real_model_is_as_good_as_the_descriptions_say() -> None:
    from workbench.models.loading import load

    model = load(ModelConfig(), "nf4", ROOT)
    for name in (*sorted(ITEMS), "regression-basics"):
        loaded = suite(name)
        documents = read_documents(EVALS / str(loaded.documents.file), loaded)
        scored = KINDS[loaded.kind](Job("base", loaded, documents, model, 16, None, lambda done, total: None))
        accuracy = sum(row.value or 0 for row in scored.rows) / len(documents)
        assert len(scored.rows) == len(documents)
        if name in ITEMS:
            assert accuracy == pytest.approx(stated_accuracy(name), abs=0.03), name
        else:
            assert accuracy >= 0.98, name

    candidates = [json.loads(line) for line in BASICS.read_text(encoding="utf-8").splitlines()]
    frozen = freeze(model, suite("regression-basics"), candidates, margin_nats=2.0).items
    committed = [
        json.loads(line) for line in (EVALS / "regression-basics.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    moved = [item for item in candidates if (item in frozen) != (item in committed)]
    assert len(moved) <= 3, f"only items at the margin may come or go with the machine's rounding: {moved}"
