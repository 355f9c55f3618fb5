"""Synthesis for weak topics: their documents alone, each once, and nothing of a suite whatever the topic."""

from __future__ import annotations

import inspect
import json
import string
import textwrap
from pathlib import Path

import pytest
from contexts import made_up_context
from manifests import made_up_manifest
from synth_world import SynthWorld, document

from workbench.core.config import ModelConfig, StrategyConfig, SynthConfig
from workbench.core.iteration import TargetedSynthNode, TopicLoss, Weaknesses
from workbench.core.parts import read_rows, write_model, write_rows
from workbench.core.records import Candidate, Record
from workbench.core.results import Interval
from workbench.core.stage import Artifact, Done
from workbench.synth.stage import STAGE

RULES = StrategyConfig(strategy="doc_pairs", count=500)
MODULES = {"textwrap": textwrap, "json": json, "string": string}


@pytest.fixture
def world(tmp_path: Path) -> SynthWorld:
    """The documented functions and classes of three modules."""
    made = SynthWorld(tmp_path)
    made.records = [
        document(f"{name}(...)\n\n{inspect.getdoc(value)}", topic=f"{module}.{name}", part_of=module)
        for module, source in MODULES.items()
        for name, value in inspect.getmembers(source)
        if not name.startswith("_") and callable(value) and inspect.getdoc(value)
    ]
    return made


def targeted(
    world: SynthWorld, out: str, weak: tuple[str, ...], earlier: tuple[str, ...] = (), replayed: tuple[str, ...] = ()
) -> list[Candidate]:
    """Runs the stage for these topics, after the syntheses `earlier` (directories of the world)."""
    write_rows(world.root / "curate" / "records.jsonl", world.records)
    loss = TopicLoss(
        topic=weak[0], documents=9, clusters=9, loss=3.0, behind=Interval(value=1, low=0.5, high=1.5), p_value=0.01,
        weak=True,
    )  # fmt: skip
    found = Weaknesses(by="part_of", alpha=0.05, topics=(loss,), targeted=weak, failed=0, not_judged=0)
    write_model(world.root / "weak" / "weaknesses.json", found)
    node = TargetedSynthNode(
        synth=SynthConfig(), strategies=(RULES,), endpoints={}, model=ModelConfig(),
        decontamination=world.decontamination, datasets=(), suites=tuple(world.suites), suites_dir="evals",
        seed=0, earlier=tuple(f"synth:{name}" for name in earlier), replayed=replayed,
    )  # fmt: skip
    context = made_up_context(
        "synth:round-1", world.root / out, work_dir=world.root / "work", project=world.root, emit=world.events.append
    )
    places = {"curate": "curate", "weaknesses": "weak"} | {f"synth:{name}": name for name in earlier}
    inputs = {name: Artifact(world.root / place, made_up_manifest("x")) for name, place in places.items()}
    outcome = STAGE.run(node, inputs, context)
    assert isinstance(outcome, Done)
    accepted = [one for one in read_rows(world.root / out / "candidates.jsonl", Candidate) if one.status == "accepted"]
    assert outcome.summary["accepted"] == len(accepted)
    assert list(read_rows(world.root / out / "records.jsonl", Record)) == [one.record for one in accepted]
    return accepted


def test_pairs_come_from_documents_of_the_weak_topics_and_are_checked_as_ever(world: SynthWorld) -> None:
    world.run(RULES)
    everything = [one for one in world.candidates() if one.status == "accepted"]
    aimed = targeted(world, "r1", ("textwrap", "string"))
    modules = {record.id: record.source.part_of for record in world.records}
    of_topics = {one.id for one in everything if modules[one.seed_ids[0]] in ("textwrap", "string")}
    assert {one.id for one in aimed} == of_topics and 0 < len(of_topics) < len(everything)


def test_a_document_that_gave_a_pair_is_not_used_again(world: SynthWorld) -> None:
    first = targeted(world, "r1", ("textwrap",))
    second = targeted(world, "r2", ("textwrap", "json"), earlier=("r1",))
    modules = {record.id: record.source.part_of for record in world.records}
    assert first and second
    assert {modules[one.seed_ids[0]] for one in second} == {"json"}
    assert targeted(world, "r3", ("textwrap", "json"), earlier=("r1", "r2")) == []


def test_an_earlier_pair_is_not_made_again_from_another_document(world: SynthWorld) -> None:
    original = next(record for record in world.records if record.topic == "textwrap.dedent")
    first = targeted(world, "r1", ("textwrap",))
    twin = document(f"{original.text} ", topic=original.topic, part_of="textwrap")
    world.records = [twin]
    assert first and targeted(world, "r2", ("textwrap",), earlier=("r1",)) == []
    assert targeted(world, "again", ("textwrap",)), "without the earlier pairs it would have given some"


def test_replayed_documents_are_no_source(world: SynthWorld) -> None:
    assert targeted(world, "r1", ("textwrap",), replayed=("docs",)) == []


def test_a_planted_suite_document_never_becomes_a_pair(world: SynthWorld) -> None:
    body = inspect.getdoc(textwrap.shorten) or ""

    def quoted(out: str) -> list[str]:
        """Answers of thirteen words or more that stand in the document."""
        answers = [one.record.answer() for one in targeted(world, out, ("textwrap",)) if one.record is not None]
        assert answers
        return [one for one in answers if len(one.split()) >= 13 and " ".join(one.split()) in " ".join(body.split())]

    assert quoted("before")
    world.suite([{"question": "What does shorten do?", "choices": ["a", "b"], "answer": 0, "text": body}])
    assert not quoted("after")
