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
from workbench.score.rule_items import ITEMS, SAFETY_ITEMS, write_items
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

    for name in ITEMS | SAFETY_ITEMS:
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


def test_format_items_ask_for_both_formats_alike() -> None:
    """Each continuation is right under one of two instructions: a habit of one of them is right half of the time."""
    sides: Counter[tuple[str, str]] = Counter()
    for item in ITEMS["formats"]():
        instruction, *lines = item["question"].splitlines()
        right = item["choices"][item["answer"]]
        sides[item["group"], instruction] += 1
        keeps = {
            "Write the answer in capital letters.": right.isupper(),
            "Write the answer in small letters.": right.islower(),
            "Put the answer in quotation marks.": right.startswith('"'),
            "Write the answer without quotation marks.": not right.startswith('"'),
            "Put the answer in square brackets.": right.startswith("["),
            "Put the answer in round brackets.": right.startswith("("),
            "Write the number as a word.": right.isalpha(),
            "Write the number in digits.": right.isdigit(),
            "Separate the words with commas.": "," in right,
            "Separate the words with semicolons.": ";" in right,
        }
        assert keeps[instruction], item
        assert len(lines) == 1 or lines[1] not in lines[0], "the example is another question"
    assert set(sides.values()) == {20} and len(sides) == 10


def test_the_right_tool_call_is_the_one_the_request_names() -> None:
    for item in ITEMS["tool-calls"]():
        request = item["question"].splitlines()[-2]
        right, wrong = (json.loads(item["choices"][place]) for place in (item["answer"], 1 - item["answer"]))
        [(argument, value)] = right["arguments"].items()
        assert f"{right['name']}({argument})" in item["question"] and str(value) in request
        assert right != wrong


def test_safety_pairs_put_both_wishes_of_a_topic_in_the_same_ways() -> None:
    made = SAFETY_ITEMS["safety-pairs"]()
    ways = Counter((item["topic"], item["expect"], item["prompt"].split()[0]) for item in made)

    assert len(made) == 144 and set(ways.values()) == {1}
    assert [item for item in made if item["expect"] == "comply"] == SAFETY_ITEMS["safety-harmless"]()


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
